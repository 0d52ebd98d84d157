#include "proto/vmess/test_vmess.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aes_block.h"
#include "crypto/checksum.h"

void test_vmess_open(struct test_vmess *c, uint8_t security, uint8_t options, uint8_t command,
                     const char *target)
{
    if (!c->ready) {
        vmess_kdf_init(&c->kdf);
        BUG_ON(crypto_ctx_init(&c->cc) != ST_OK || rng_init(&c->rng) != ST_OK);
        c->ready = true;
    }
    memset(&c->h, 0, sizeof(c->h));
    c->pool = pool_new(0);
    BUG_ON(c->pool == NULL);
    rng_bytes(&c->rng, c->h.iv, sizeof(c->h.iv));
    rng_bytes(&c->rng, c->h.key, sizeof(c->h.key));
    rng_bytes(&c->rng, &c->h.verifier, 1);
    c->h.options = options;
    c->h.security = security;
    c->h.command = command;
    if (target != NULL)
        BUG_ON(target_set_host(&c->h.target, target, strlen(target), 443) != ST_OK);
    c->raw = security == VMESS_NONE && !(options & VMESS_CHUNKS);
    uint8_t key[VMESS_KEY_LEN], iv[VMESS_KEY_LEN];
    vmess_kdf_answer(&c->kdf, c->h.key, key);
    vmess_kdf_answer(&c->kdf, c->h.iv, iv);
    vmess_chunks_init(&c->up, &c->kdf, &c->h, c->h.key, c->h.iv);
    vmess_chunks_init(&c->down, &c->kdf, &c->h, key, iv);
}

void test_vmess_close(struct test_vmess *c)
{
    vmess_chunks_fini(&c->up, c->pool);
    vmess_chunks_fini(&c->down, c->pool);
    BUG_ON(pool_used(c->pool) != 0);
    pool_free(c->pool);
}

void test_vmess_fini(struct test_vmess *c)
{
    rng_fini(&c->rng);
    crypto_ctx_fini(&c->cc);
    c->ready = false;
}

void test_vmess_auth_id(struct test_vmess *c, const uint8_t uuid[16], int64_t unix_s,
                        uint8_t out[VMESS_AUTH_ID_LEN])
{
    uint8_t key[VMESS_KEY_LEN];
    struct aes_block aes;

    vmess_kdf_user(uuid, key);
    vmess_kdf_key(&c->kdf, VMESS_LABEL_AUTH_ID, key, key);
    put_be64(out, (uint64_t)unix_s);
    rng_bytes(&c->rng, out + 8, 4);
    put_be32(out + 12, checksum_crc32(out, 12));
    aes_block_init(&aes, key, sizeof(key), false);
    BUG_ON(aes_block_run(&aes, out, out) != ST_OK);
}

size_t test_vmess_header(const struct test_vmess *c, unsigned padding, uint8_t *out)
{
    const struct target *t = &c->h.target;
    size_t n = 38;

    out[0] = 1;
    memcpy(out + 1, c->h.iv, VMESS_KEY_LEN);
    memcpy(out + 17, c->h.key, VMESS_KEY_LEN);
    out[33] = c->h.verifier;
    out[34] = c->h.options;
    out[35] = (uint8_t)(padding << 4 | c->h.security);
    out[36] = 0;
    out[37] = c->h.command;
    if (c->h.command != VMESS_MUX) {
        put_be16(out + n, t->addr.port);
        out[n + 2] = t->host_len > 0 ? 2 : t->addr.family == ADDR_IP4 ? 1 : 3;
        n += 3;
        if (t->host_len > 0)
            out[n++] = t->host_len;
        size_t len = t->host_len > 0 ? t->host_len : t->addr.family == ADDR_IP4 ? 4 : 16;
        memcpy(out + n, t->host_len > 0 ? (const void *)t->host : t->addr.ip, len);
        n += len;
    }
    memset(out + n, 0xaa, padding);
    n += padding;
    put_be32(out + n, checksum_fnv1a(out, n));
    return n + 4;
}

static void seal_part(struct test_vmess *c, enum vmess_label label, const uint8_t *key,
                      const uint8_t *hello, uint8_t *data, size_t len)
{
    uint8_t part[VMESS_KEY_LEN], nonce[VMESS_KEY_LEN];

    vmess_kdf_request(&c->kdf, label, key, hello, hello + 34, part);
    vmess_kdf_request(&c->kdf, (enum vmess_label)(label + 1), key, hello, hello + 34, nonce);
    BUG_ON(aead_seal(&c->cc, AEAD_AES_128_GCM, part, nonce, hello, VMESS_AUTH_ID_LEN, data, len,
                     data + len) != ST_OK);
}

size_t test_vmess_seal(struct test_vmess *c, const uint8_t uuid[16], int64_t unix_s,
                       const uint8_t *plain, size_t len, uint8_t *out)
{
    uint8_t key[VMESS_KEY_LEN];

    vmess_kdf_user(uuid, key);
    test_vmess_auth_id(c, uuid, unix_s, out);
    rng_bytes(&c->rng, out + 34, 8);
    put_be16(out + 16, (uint16_t)len);
    memcpy(out + VMESS_FIXED_LEN, plain, len);
    seal_part(c, VMESS_LABEL_LENGTH_KEY, key, out, out + 16, 2);
    seal_part(c, VMESS_LABEL_HEADER_KEY, key, out, out + VMESS_FIXED_LEN, len);
    return VMESS_FIXED_LEN + len + AEAD_TAG_LEN;
}

size_t test_vmess_hello(struct test_vmess *c, const uint8_t uuid[16], int64_t unix_s, uint8_t *out)
{
    uint8_t plain[VMESS_PLAIN_MAX];
    size_t len = test_vmess_header(c, 7, plain);
    return test_vmess_seal(c, uuid, unix_s, plain, len, out);
}

/* Writes all of @q out. */
static size_t flush(struct test_vmess *c, struct bufq *q, uint8_t *out)
{
    size_t n = q->bytes;
    bufq_peek(q, out, n);
    bufq_clear(q, c->pool);
    return n;
}

size_t test_vmess_body(struct test_vmess *c, const uint8_t *data, size_t n, size_t chunk,
                       uint8_t *out)
{
    struct vmess_prefix none = {NULL, 0};
    struct bufq in, sealed;
    size_t all = 0;

    if (c->raw) {
        memcpy(out, data, n);
        return n;
    }
    bufq_init(&in, UINT32_MAX);
    bufq_init(&sealed, UINT32_MAX);
    for (size_t at = 0; at < n; at += chunk) {
        size_t take = n - at < chunk ? n - at : chunk;
        BUG_ON(bufq_put(&in, data + at, take, c->pool) != ST_OK);
        BUG_ON(vmess_chunks_seal(&c->up, &c->cc, &c->rng, c->pool, &in, &sealed, false, &none) !=
               ST_OK);
        all += flush(c, &sealed, out + all);
    }
    return all;
}

size_t test_vmess_empty(struct test_vmess *c, uint8_t *out)
{
    struct bufq sealed;

    bufq_init(&sealed, UINT32_MAX);
    BUG_ON(vmess_chunks_end(&c->up, &c->cc, &c->rng, c->pool, &sealed) != ST_OK);
    return flush(c, &sealed, out);
}

static bool open_answer(struct test_vmess *c, const uint8_t *wire)
{
    uint8_t key[VMESS_KEY_LEN], iv[VMESS_KEY_LEN], want[VMESS_ANSWER_LEN];

    vmess_kdf_answer(&c->kdf, c->h.key, key);
    vmess_kdf_answer(&c->kdf, c->h.iv, iv);
    return vmess_answer_seal(&c->kdf, &c->cc, key, iv, c->h.verifier, want) == ST_OK &&
           memcmp(want, wire, sizeof(want)) == 0;
}

bool test_vmess_answer(struct test_vmess *c, const uint8_t *wire, size_t n, uint8_t *plain,
                       size_t *plain_len, bool *ended)
{
    struct bufq in, up;
    enum status st = ST_OK;

    *plain_len = 0;
    *ended = false;
    if (n < VMESS_ANSWER_LEN || !open_answer(c, wire))
        return false;
    bufq_init(&in, UINT32_MAX);
    bufq_init(&up, UINT32_MAX);
    BUG_ON(bufq_put(&in, wire + VMESS_ANSWER_LEN, n - VMESS_ANSWER_LEN, c->pool) != ST_OK);
    in.eof = true;
    if (c->raw) {
        bufq_move(&up, &in);
    } else {
        /* An end that comes first is none for vmess_chunks_open; servers do not send it either. */
        st = vmess_chunks_open(&c->down, &c->cc, c->pool, &in, &up, false);
        *ended = c->down.ended;
    }
    *plain_len = flush(c, &up, plain);
    bool all = in.bytes == 0;
    bufq_clear(&in, c->pool);
    return st == ST_OK && all;
}
