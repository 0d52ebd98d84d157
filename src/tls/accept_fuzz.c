/* Our TLS 1.3 handshake: any ClientHello, then any second flight, encrypted where the input says
 * so. Whatever hello is answered, OpenSSL's server must answer in the same way.
 * Input: u16 length, ClientHello message, then steps as `enum step` says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "tls/accept.h"
#include "tls/record_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each a byte, then a length byte and as many bytes. */
enum step {
    RAW,      /* these bytes */
    SEALED,   /* an encrypted record of them: type first, then content */
    PADDED,   /* the same and many zeros */
    FINISHED, /* the true Finished, cut after the first byte's number of bytes */
    CCS,
    STEPS
};

static struct {
    struct arena *arena;
    struct ossl_conf ossl;
    struct accept_conf conf;
    struct crypto_ctx crypto;
    struct rng rng;
} shared;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void prepare(void)
{
    static const char *const alpn[] = {"h2", "http/1.1"};
    static struct cert_pem pem;
    struct cert cert;
    struct cert_error err;
    struct ossl_settings s = {.cert = &cert, .alpn = alpn, .alpn_count = 2};

    if (shared.arena != NULL)
        return;
    shared.arena = arena_new();
    must(crypto_ctx_init(&shared.crypto) == ST_OK && rng_init(&shared.rng) == ST_OK);
    must(cert_self_signed("a.test", &pem) == ST_OK);
    must(cert_parse(&cert, pem.chain, strlen(pem.chain), pem.key, strlen(pem.key), &err) == ST_OK);
    must(ossl_conf_init(&shared.ossl, shared.arena, &s, &err) == ST_OK);
    must(accept_conf_init(&shared.conf, shared.arena, &shared.ossl, &s) == ST_OK);
    cert_fini(&cert);
}

struct fuzz {
    struct pool *pool;
    struct bufq in, out, other;
    struct accept accept;
    struct record_keys client; /* as the client has them */
    bool finished;             /* a true Finished was fed */
};

static void feed(struct fuzz *f, const uint8_t *p, size_t n)
{
    if (n > 0)
        must(bufq_put(&f->in, p, n, f->pool) == ST_OK);
}

/* OpenSSL's answer to the same hello. */
static void ask_library(struct fuzz *f, const uint8_t *msg, size_t len)
{
    struct ossl o = {0};
    struct why why = {0};
    struct bufq in;

    bufq_init(&in, UINT32_MAX);
    for (size_t at = 0; at < len;) {
        size_t n = len - at < RECORD_PLAIN_MAX ? len - at : RECORD_PLAIN_MAX;
        uint8_t header[RECORD_HEADER] = {RECORD_HANDSHAKE, 3, 1};
        put_be16(header + 3, (uint16_t)n);
        must(bufq_put(&in, header, sizeof(header), f->pool) == ST_OK);
        must(bufq_put(&in, msg + at, n, f->pool) == ST_OK);
        at += n;
    }
    must(ossl_init(&o, &shared.ossl) == ST_OK);
    must(ossl_handshake(&o, f->pool, &in, &f->other, &why) == ST_MORE);
    ossl_fini(&o);
    bufq_clear(&in, f->pool);
}

/* ServerHello, change_cipher_spec, EncryptedExtensions: all but random numbers and ciphertext. */
static void compare(const struct fuzz *f)
{
    uint8_t ours[1024] = {0}, theirs[1024] = {0};
    size_t n = bufq_peek(&f->out, ours, sizeof(ours));

    must(n > 150 && bufq_peek(&f->other, theirs, sizeof(theirs)) > 150);
    size_t random = RECORD_HEADER + 6, len = RECORD_HEADER + get_be16(ours + 3);
    must(len == 5u + 4 + 2 + 32 + 1 + ours[43] + 2 + 1 + 2 + 6 + 40);
    size_t share = len - 32, tail = len + 6 + RECORD_HEADER;
    must(memcmp(ours, theirs, random) == 0);
    must(memcmp(ours + random + 32, theirs + random + 32, share - random - 32) == 0);
    must(memcmp(ours + len, theirs + len, tail - len) == 0);
}

static void seal(struct fuzz *f, uint8_t type, const uint8_t *content, size_t n, size_t pad)
{
    static uint8_t record[RECORD_OVERHEAD + RECORD_PLAIN_MAX + 512];
    uint8_t nonce[AEAD_IV_LEN], *inner = record + RECORD_HEADER;
    size_t len = n + 1 + pad;

    record[0] = RECORD_DATA;
    record[1] = record[2] = 3;
    put_be16(record + 3, (uint16_t)(len + AEAD_TAG_LEN));
    memcpy(inner, content, n);
    inner[n] = type;
    memset(inner + n + 1, 0, pad);
    record_nonce(&f->client, nonce);
    f->client.seq++;
    must(aead_seal(&shared.crypto, (enum aead_alg)f->client.alg, f->client.key, nonce, record,
                   RECORD_HEADER, inner, len, inner + len) == ST_OK);
    feed(f, record, RECORD_HEADER + len + AEAD_TAG_LEN);
}

static void seal_finished(struct fuzz *f, size_t cut)
{
    uint8_t msg[4 + HASH_MAX_LEN] = {20, 0, 0, f->accept.finished_len};
    size_t n = 4u + f->accept.finished_len;

    memcpy(msg + 4, f->accept.finished, f->accept.finished_len);
    if (cut > 0 && cut < n) {
        seal(f, RECORD_HANDSHAKE, msg, cut, 0);
        seal(f, RECORD_HANDSHAKE, msg + cut, n - cut, 0);
    } else {
        seal(f, RECORD_HANDSHAKE, msg, n, cut);
    }
    f->finished = true;
}

static void step(struct fuzz *f, enum step s, const uint8_t *p, size_t n)
{
    static const uint8_t ccs[] = {RECORD_CCS, 3, 3, 0, 1, 1};
    uint8_t first = n > 0 ? p[0] : 0;

    switch (s) {
    case SEALED:
    case PADDED:
        seal(f, first, p, n, s == PADDED ? first * 64u : 0);
        break;
    case FINISHED:
        seal_finished(f, first);
        break;
    case CCS:
        feed(f, ccs, sizeof(ccs));
        break;
    default:
        feed(f, p, n);
    }
}

static void second_flight(struct fuzz *f, const uint8_t *p, size_t size)
{
    const struct accept_env env = {&shared.crypto, &shared.rng, f->pool};
    enum status st = ST_MORE;

    f->client = f->accept.handshake;
    while (size >= 2 && st == ST_MORE) {
        struct record_note note = {0};
        size_t n = p[1] < size - 2 ? p[1] : size - 2;
        step(f, (enum step)(p[0] % STEPS), p + 2, n);
        p += 2 + n;
        size -= 2 + n;
        st = accept_finish(&f->accept, &env, &f->in, &note);
        must(st != ST_OK || f->finished);
        must(st >= 0 || note.text != NULL);
        must(st >= 0 || st == ST_E_CLOSED || note.alert != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {0};
    struct record_keys rx, tx;
    struct accept_choice choice;
    struct hello h;

    if (size < 2)
        return 0;
    prepare();
    f.pool = pool_new(0);
    bufq_init(&f.in, UINT32_MAX);
    bufq_init(&f.out, UINT32_MAX);
    bufq_init(&f.other, UINT32_MAX);
    size_t len = get_be16(data) < size - 2 ? get_be16(data) : size - 2;
    const struct accept_env env = {&shared.crypto, &shared.rng, f.pool};
    uint8_t *msg = malloc(len + 1);
    memcpy(msg, data + 2, len);
    enum status st =
        accept_hello(&f.accept, &shared.conf, &env, msg, len, &choice, &h, &rx, &tx, &f.out);
    must(st == ST_OK || (st == ST_E_UNSUPPORTED && f.out.bytes == 0));
    if (st == ST_OK) {
        ask_library(&f, msg, len);
        compare(&f);
        second_flight(&f, data + 2 + len, size - 2 - len);
    }
    free(msg);
    accept_wipe(&f.accept);
    bufq_clear(&f.in, f.pool);
    bufq_clear(&f.out, f.pool);
    bufq_clear(&f.other, f.pool);
    must(pool_used(f.pool) == 0);
    pool_free(f.pool);
    return 0;
}
