/* A wire made of honest records, sealed hostile records and rubbish, opened with the right keys
 * in odd cuts. Input: suite and cut, then steps of one byte kind, two bytes length, that many
 * bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "tls/record.h"
#include "tls/record_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { RAW, INNER, HONEST, UPDATE, KINDS };

struct fuzz {
    struct crypto_ctx cc;
    struct pool *pool;
    struct record_keys tx, rx;
    struct bufq down, wire;
    uint8_t *sent; /* content of honest records */
    size_t sent_len;
    bool honest; /* nothing hostile went yet */
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void put_inner(struct fuzz *f, const uint8_t *inner, size_t len)
{
    static uint8_t record[RECORD_HEADER + 65536 + 16];
    uint8_t nonce[12];

    memcpy(record, (uint8_t[]){RECORD_DATA, 3, 3}, 3);
    put_be16(record + 3, (uint16_t)(len + 16));
    memcpy(record + 5, inner, len);
    record_nonce(&f->tx, nonce);
    f->tx.seq++;
    must(aead_seal(&f->cc, (enum aead_alg)f->tx.alg, f->tx.key, nonce, record, 5, record + 5, len,
                   record + 5 + len) == ST_OK);
    must(bufq_put(&f->wire, record, 5 + len + 16, f->pool) == ST_OK);
}

static void step(struct fuzz *f, enum kind kind, const uint8_t *p, size_t len)
{
    switch (kind) {
    case RAW:
        f->honest = false;
        must(bufq_put(&f->wire, p, len, f->pool) == ST_OK);
        break;
    case INNER:
        f->honest = false;
        put_inner(f, p, len);
        break;
    case HONEST:
        must(bufq_put(&f->down, p, len, f->pool) == ST_OK);
        if (f->down.tail != NULL && len % 3 == 0)
            f->down.tail->flags = (uint8_t)(len & 3);
        must(record_seal(&f->tx, &f->cc, f->pool, &f->down, &f->wire) == ST_OK);
        if (f->honest) {
            memcpy(f->sent + f->sent_len, p, len);
            f->sent_len += len;
        }
        break;
    default:
        must(record_seal_update(&f->tx, &f->cc, f->pool, &f->wire) == ST_OK);
        break;
    }
}

/* Opens everything @cut bytes at a time; what came out must begin with what was honestly sent. */
static void open_all(struct fuzz *f, size_t cut)
{
    struct bufq in, up;
    enum status st = ST_OK;
    size_t at = 0;

    bufq_init(&in, UINT32_MAX);
    bufq_init(&up, (uint32_t)cut * 3);
    while (f->wire.bytes > 0 && st >= 0) {
        struct record_note note = {0};
        bufq_move_bytes(&in, &f->wire, cut, f->pool);
        do {
            st = record_open(&f->rx, &f->cc, f->pool, &in, &up, cut % 3 == 0 ? 1 : 0, &note);
            must(st >= 0 || note.text != NULL || st == ST_E_CRYPTO);
            for (struct span *s; (s = bufq_pop(&up)) != NULL; span_free(f->pool, s)) {
                size_t n = at < f->sent_len ? f->sent_len - at : 0;
                n = n < s->len ? n : s->len;
                must(n == 0 || memcmp(f->sent + at, span_data(s), n) == 0);
                at += s->len;
            }
        } while (st == ST_FULL || st == ST_YIELD);
    }
    must(st < 0 || up.eof || at >= f->sent_len || !f->honest || f->rx.idle > 0);
    must(st >= 0 || !f->honest || st == ST_E_LIMIT); /* updates without end */
    bufq_clear(&in, f->pool);
    bufq_clear(&up, f->pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t suites[] = {RECORD_AES_128_GCM_SHA256, RECORD_AES_256_GCM_SHA384,
                                      RECORD_CHACHA20_POLY1305_SHA256};
    uint8_t secret[48] = {1, 2, 3};
    struct fuzz f = {.honest = true};

    if (size < 2)
        return 0;
    unsigned which = data[0] % 3;
    size_t cut = data[1] < 128 ? data[1] + 1u : (data[1] - 127u) * 131u;
    f.pool = pool_new(0);
    f.sent = malloc(size);
    must(f.pool != NULL && f.sent != NULL && crypto_ctx_init(&f.cc) == ST_OK);
    bufq_init(&f.down, UINT32_MAX);
    bufq_init(&f.wire, UINT32_MAX);
    must(record_keys_init(&f.tx, &f.cc, suites[which], secret, which == 1 ? 48 : 32) == ST_OK);
    must(record_keys_init(&f.rx, &f.cc, suites[which], secret, which == 1 ? 48 : 32) == ST_OK);

    struct reader r = reader_of(data + 2, size - 2);
    while (reader_left(&r) > 0) {
        enum kind kind = (enum kind)(reader_u8(&r) % KINDS);
        size_t len = reader_u16(&r);
        len = len < reader_left(&r) ? len : reader_left(&r);
        const uint8_t *p = reader_take(&r, len);
        if (p == NULL)
            break;
        step(&f, kind, p, len);
    }
    open_all(&f, cut);
    bufq_clear(&f.down, f.pool);
    bufq_clear(&f.wire, f.pool);
    free(f.sent);
    crypto_ctx_fini(&f.cc);
    pool_free(f.pool);
    return 0;
}
