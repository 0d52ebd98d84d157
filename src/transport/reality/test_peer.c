#include "transport/reality/test_peer.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/hkdf.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"
#include "tls/record_keys.h"
#include "tls/schedule.h"
#include "tls/server_hello.h"

static uint8_t *put(uint8_t *p, const void *data, size_t n)
{
    memcpy(p, data, n);
    return p + n;
}

static uint8_t *put16(uint8_t *p, size_t v)
{
    put_be16(p, (uint16_t)v);
    return p + 2;
}

static uint8_t *put_shares(const struct test_peer *c, uint8_t *p)
{
    uint8_t *start = p, pub[X25519_LEN];

    p += 6;
    BUG_ON(x25519_public(c->x25519, pub) != ST_OK);
    if (c->opt.hybrid || c->opt.hybrid_only) {
        p = put16(put16(p, TLS_GROUP_X25519MLKEM768), TLS_SHARE_MLKEM_CLIENT);
        mlkem_public(c->mlkem, p);
        p = put(p + MLKEM_PUBLIC_LEN, pub, sizeof(pub));
    }
    if (!c->opt.hybrid_only)
        p = put(put16(put16(p, TLS_GROUP_X25519), sizeof(pub)), pub, sizeof(pub));
    put16(put16(put16(start, 51), (size_t)(p - start) - 4), (size_t)(p - start) - 6);
    return p;
}

static void write_hello(struct test_peer *c)
{
    static const uint8_t fixed[] = {0, 6, 0x13, 1, 0x13, 2, 0x13, 3, 1, 0};
    static const uint8_t exts[] = {0, 43, 0, 3, 2, 3, 4, 0, 13, 0, 6, 0, 4, 8, 7, 4, 3};
    size_t name = strlen(c->opt.sni);
    uint8_t *p = c->hello + 4;

    p = put16(p, 0x0303);
    for (int i = 0; i < 32; i++)
        *p++ = (uint8_t)(i * 7 + 3);
    *p++ = 32;
    memset(p, 0, 32);
    p = put(p + 32, fixed, sizeof(fixed));
    uint8_t *all = p;
    p = put(p + 2, exts, sizeof(exts));
    p = put16(put16(put16(p, 0), name + 5), name + 3);
    *p++ = 0;
    p = put(put16(p, name), c->opt.sni, name);
    if (c->opt.h2)
        p = put(p, "\0\x10\0\5\0\3\2h2", 9);
    p = put_shares(c, p);
    put16(all, (size_t)(p - all) - 2);
    c->hello_len = (size_t)(p - c->hello);
    c->hello[0] = 1;
    put_be24(c->hello + 1, (uint32_t)c->hello_len - 4);
}

static bool seal_session_id(struct test_peer *c)
{
    uint8_t shared[32], prk[32], token[16], tag[16];

    if (x25519_shared(c->x25519, c->opt.server_public, shared) != ST_OK ||
        hkdf_extract(c->cc, HASH_SHA256, c->hello + 6, 20, shared, 32, prk) != ST_OK ||
        hkdf_expand(c->cc, HASH_SHA256, prk, "REALITY", 7, c->auth_key, 32) != ST_OK)
        return false;
    memcpy(token, c->opt.version, 3);
    token[3] = 0;
    put_be32(token + 4, c->opt.unix_s);
    memcpy(token + 8, c->opt.short_id, 8);
    if (aead_seal(c->cc, AEAD_AES_256_GCM, c->auth_key, c->hello + 26, c->hello, c->hello_len,
                  token, sizeof(token), tag) != ST_OK)
        return false;
    put(put(c->hello + 39, token, 16), tag, 16);
    return true;
}

bool test_peer_init(struct test_peer *c, const struct test_peer_options *o, struct crypto_ctx *cc,
                    struct pool *p)
{
    memset(c, 0, sizeof(*c));
    c->opt = *o;
    c->cc = cc;
    c->pool = p;
    bufq_init(&c->in, UINT32_MAX);
    bufq_init(&c->data, UINT32_MAX);
    memset(c->x25519, 0x42, sizeof(c->x25519));
    memset(c->mlkem, 0x24, sizeof(c->mlkem));
    write_hello(c);
    return seal_session_id(c);
}

void test_peer_fini(struct test_peer *c)
{
    bufq_clear(&c->in, c->pool);
    bufq_clear(&c->data, c->pool);
}

size_t test_peer_hello(const struct test_peer *c, uint8_t *out)
{
    uint8_t *p = put(out, "\x16\3\1", 3);

    return (size_t)(put(put16(p, c->hello_len), c->hello, c->hello_len) - out);
}

/* ---- the server's flight --------------------------------------------------------------------- */

static bool start_schedule(struct test_peer *c, struct schedule *s, struct server_hello *h)
{
    const uint8_t *share = c->server_hello;
    uint8_t shared[64];
    size_t len = 0;

    if (server_hello_parse(c->server_hello, c->server_hello_len, h) != ST_OK ||
        schedule_init(s, h->suite) != ST_OK)
        return false;
    share += h->share_off;
    if (h->group == TLS_GROUP_X25519MLKEM768) {
        mlkem_decapsulate(c->mlkem, share, shared);
        share += MLKEM_CIPHER_LEN;
        len = MLKEM_SHARED_LEN;
    }
    if (x25519_shared(c->x25519, share, shared + len) != ST_OK)
        return false;
    schedule_add(s, c->hello, c->hello_len);
    schedule_add(s, c->server_hello, c->server_hello_len);
    return schedule_handshake(s, c->cc, shared, len + 32, c->secrets[0], c->secrets[1]) == ST_OK;
}

/* Length of the handshake message at @off of what was decrypted; 0: not whole yet. */
static size_t message_at(const struct test_peer *c, size_t off)
{
    if (c->messages_len < off + 4)
        return 0;
    size_t n = 4 + get_be24(c->messages + off + 1);
    return c->messages_len < off + n ? 0 : n;
}

/* Name, key and proof of the certificate, signature and Finished. */
static bool verify_flight(struct test_peer *c, struct schedule *s, const size_t len[4])
{
    const uint8_t *cert = c->messages + len[0], *verify = cert + len[1];
    const uint8_t *der = cert + 11, *pub = der + 72;
    uint8_t proof[HASH_SHA512_LEN], text[98 + HASH_MAX_LEN], finished[HASH_MAX_LEN];

    if (len[0] != 6 || cert[0] != 11 || len[1] != 191 || verify[0] != 15)
        return false;
    if (hash_hmac(c->cc, HASH_SHA512, c->auth_key, 32, &(struct hash_piece){pub, 32}, 1, proof) !=
            ST_OK ||
        memcmp(proof, der + 114, sizeof(proof)) != 0)
        return false;
    schedule_add(s, c->messages, len[0]);
    schedule_add(s, cert, len[1]);
    memset(text, ' ', 64);
    memcpy(text + 64, "TLS 1.3, server CertificateVerify", 34);
    if (schedule_transcript(s, c->cc, text + 98) != ST_OK ||
        ed25519_verify(pub, text, 98 + hash_len(s->hash), verify + 8) != ST_OK)
        return false;
    schedule_add(s, verify, len[2]);
    if (schedule_finished(s, c->cc, c->secrets[1], finished) != ST_OK ||
        memcmp(finished, verify + len[2] + 4, hash_len(s->hash)) != 0)
        return false;
    schedule_add(s, verify + len[2], len[3]);
    return true;
}

static bool answer(struct test_peer *c, struct bufq *out)
{
    uint8_t record[5 + 4 + HASH_MAX_LEN + 1 + 16], nonce[12], secrets[2][HASH_MAX_LEN];
    size_t len[4], off = 0;
    struct server_hello h;
    struct record_keys k;
    struct schedule s;

    for (int i = 0; i < 4; off += len[i], i++) {
        len[i] = message_at(c, off);
        if (len[i] == 0)
            return true;
    }
    if (!start_schedule(c, &s, &h) || !verify_flight(c, &s, len))
        return false;
    size_t n = hash_len(s.hash);
    if (schedule_application(&s, c->cc, secrets[0], secrets[1]) != ST_OK ||
        record_keys_init(&c->tx, c->cc, h.suite, secrets[0], n) != ST_OK ||
        record_keys_init(&c->rx, c->cc, h.suite, secrets[1], n) != ST_OK ||
        record_keys_init(&k, c->cc, h.suite, c->secrets[0], n) != ST_OK ||
        schedule_finished(&s, c->cc, c->secrets[0], record + 9) != ST_OK)
        return false;
    put16(put(record, "\x17\3\3", 3), n + 21);
    record[5] = 20;
    put_be24(record + 6, (uint32_t)n);
    record[9] ^= c->wrong_finished;
    record[9 + n] = RECORD_HANDSHAKE;
    record_nonce(&k, nonce);
    if (aead_seal(c->cc, (enum aead_alg)k.alg, k.key, nonce, record, 5, record + 5, n + 5,
                  record + n + 10) != ST_OK)
        return false;
    c->ready = true;
    return bufq_put(out, "\x14\3\3\0\1\1", 6, c->pool) == ST_OK &&
           bufq_put(out, record, n + 26, c->pool) == ST_OK;
}

static bool take_record(struct test_peer *c, const uint8_t *record, size_t total)
{
    static uint8_t data[RECORD_CIPHER_MAX];
    size_t n = total - RECORD_HEADER;
    uint8_t nonce[12];
    struct server_hello h;
    struct schedule s;

    if (record[0] == RECORD_CCS)
        return true;
    if (record[0] == RECORD_HANDSHAKE && c->server_hello_len == 0 && n <= 2048) {
        memcpy(c->server_hello, record + RECORD_HEADER, n);
        c->server_hello_len = n;
        return start_schedule(c, &s, &h) &&
               record_keys_init(&c->handshake, c->cc, h.suite, c->secrets[1], hash_len(s.hash)) ==
                   ST_OK;
    }
    if (record[0] != RECORD_DATA || c->server_hello_len == 0 || n < RECORD_TAIL || n > sizeof(data))
        return false;
    memcpy(data, record + RECORD_HEADER, n);
    record_nonce(&c->handshake, nonce);
    c->handshake.seq++;
    n -= AEAD_TAG_LEN;
    if (aead_open(c->cc, (enum aead_alg)c->handshake.alg, c->handshake.key, nonce, record,
                  RECORD_HEADER, data, n, data + n) != ST_OK)
        return false;
    while (n > 0 && data[n - 1] == 0)
        n--;
    if (n == 0 || data[n - 1] != RECORD_HANDSHAKE || c->messages_len + n > sizeof(c->messages))
        return false;
    memcpy(c->messages + c->messages_len, data, n - 1);
    c->messages_len += n - 1;
    return true;
}

static void hear_handshake(struct test_peer *c, struct bufq *out)
{
    static uint8_t record[RECORD_HEADER + RECORD_CIPHER_MAX];

    while (!c->ready && !c->failed && bufq_peek(&c->in, record, 5) == 5) {
        size_t total = RECORD_HEADER + get_be16(record + 3);
        if (total > sizeof(record)) {
            c->failed = true;
            return;
        }
        if (c->in.bytes < total)
            return;
        bufq_peek(&c->in, record, total);
        bufq_drop(&c->in, total, c->pool);
        c->failed = !take_record(c, record, total) || !answer(c, out);
    }
}

void test_peer_hear(struct test_peer *c, const uint8_t *in, size_t len, struct bufq *out)
{
    struct record_note note = {0};

    if (c->failed || bufq_put(&c->in, in, len, c->pool) != ST_OK)
        return;
    hear_handshake(c, out);
    if (!c->ready || c->failed)
        return;
    enum status st = record_open(&c->rx, c->cc, c->pool, &c->in, &c->data, 0, &note);
    c->eof = c->data.eof;
    c->alert = note.peer_alert;
    c->failed = st < 0;
}

void test_peer_say(struct test_peer *c, const void *data, size_t len, struct bufq *out)
{
    struct bufq plain;

    bufq_init(&plain, UINT32_MAX);
    BUG_ON(bufq_put(&plain, data, len, c->pool) != ST_OK);
    BUG_ON(record_seal(&c->tx, c->cc, c->pool, &plain, out) != ST_OK);
}
