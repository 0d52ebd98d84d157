#include "proto/vmess/kdf.h"

#include <string.h>

#include "crypto/md5.h"
#include "crypto/mem.h"

#define ROOT_KEY    "VMess AEAD KDF"
#define INNER       0x36
#define OUTER       0x5c
#define USER_SUFFIX "c48619fe-8f02-49e0-b9e9-edf763e17e21" /* proxy/vmess: IDBytesNamespace */

static const char *const LABELS[VMESS_LABELS] = {
    [VMESS_LABEL_AUTH_ID] = "AES Auth ID Encryption",
    [VMESS_LABEL_LENGTH_KEY] = "VMess Header AEAD Key_Length",
    [VMESS_LABEL_LENGTH_IV] = "VMess Header AEAD Nonce_Length",
    [VMESS_LABEL_HEADER_KEY] = "VMess Header AEAD Key",
    [VMESS_LABEL_HEADER_IV] = "VMess Header AEAD Nonce",
    [VMESS_LABEL_ANSWER_LENGTH_KEY] = "AEAD Resp Header Len Key",
    [VMESS_LABEL_ANSWER_LENGTH_IV] = "AEAD Resp Header Len IV",
    [VMESS_LABEL_ANSWER_KEY] = "AEAD Resp Header Key",
    [VMESS_LABEL_ANSWER_IV] = "AEAD Resp Header IV",
    [VMESS_LABEL_CHUNK_LENGTH] = "auth_len",
};

/* Mixes the block of a key of at most 64 bytes, padded with zeros. */
static void mix_pad(const struct vmess_kdf *k, struct sha256_state *s, const void *key, size_t len,
                    uint8_t pad)
{
    uint8_t block[SHA256_BLOCK];

    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < len; i++)
        block[i] ^= ((const uint8_t *)key)[i];
    k->mix(s, block, 1);
    crypto_wipe(block, sizeof(block));
}

void vmess_kdf_init(struct vmess_kdf *k)
{
    struct sha256_state inner;

    memset(k, 0, sizeof(*k));
    k->mix = sha256_mix_best();
    sha256_start(&inner);
    k->outer = inner;
    mix_pad(k, &inner, ROOT_KEY, strlen(ROOT_KEY), INNER);
    mix_pad(k, &k->outer, ROOT_KEY, strlen(ROOT_KEY), OUTER);
    for (int i = 0; i < VMESS_LABELS; i++) {
        k->label[i].in = k->label[i].out = inner;
        mix_pad(k, &k->label[i].in, LABELS[i], strlen(LABELS[i]), INNER);
        mix_pad(k, &k->label[i].out, LABELS[i], strlen(LABELS[i]), OUTER);
    }
}

/* H0 of what is in @s (@blocks blocks with the constant key) and @tail. */
static void end_h0(const struct vmess_kdf *k, const struct sha256_state *s, unsigned blocks,
                   const uint8_t *tail, size_t n, uint8_t out[SHA256_LEN])
{
    sha256_end(k->mix, s, blocks * SHA256_BLOCK, tail, n, out);
    sha256_end(k->mix, &k->outer, SHA256_BLOCK, out, SHA256_LEN, out);
}

/* H1 of what is in @s (@blocks blocks with constant key and label) and @tail. */
static void end_h1(const struct vmess_kdf *k, enum vmess_label label, const struct sha256_state *s,
                   unsigned blocks, const uint8_t *tail, size_t n, uint8_t out[SHA256_LEN])
{
    end_h0(k, s, blocks, tail, n, out);
    end_h0(k, &k->label[label].out, 2, out, SHA256_LEN, out);
}

void vmess_kdf_key(const struct vmess_kdf *k, enum vmess_label label,
                   const uint8_t key[VMESS_KEY_LEN], uint8_t out[VMESS_KEY_LEN])
{
    uint8_t sum[SHA256_LEN];

    end_h1(k, label, &k->label[label].in, 2, key, VMESS_KEY_LEN, sum);
    memcpy(out, sum, VMESS_KEY_LEN);
    crypto_wipe(sum, sizeof(sum));
}

/* H1's inner states after the AuthID ^ 36.. and ^ 5c..: H2 begins with them every time. */
struct by_auth_id {
    enum vmess_label label;
    struct sha256_state in, out;
};

/* H2(nonce ^ pad | tail). */
static void end_h2(const struct vmess_kdf *k, const struct by_auth_id *a, const uint8_t nonce[8],
                   uint8_t pad, const uint8_t *tail, size_t n, uint8_t out[SHA256_LEN])
{
    struct sha256_state s = a->in;

    mix_pad(k, &s, nonce, 8, pad);
    end_h1(k, a->label, &s, 4, tail, n, out);
    end_h1(k, a->label, &a->out, 3, out, SHA256_LEN, out);
    crypto_wipe(&s, sizeof(s));
}

void vmess_kdf_request(const struct vmess_kdf *k, enum vmess_label label,
                       const uint8_t key[VMESS_KEY_LEN], const uint8_t auth_id[16],
                       const uint8_t nonce[8], uint8_t out[VMESS_KEY_LEN])
{
    struct by_auth_id a = {.label = label, .in = k->label[label].in, .out = k->label[label].in};
    uint8_t sum[SHA256_LEN];

    mix_pad(k, &a.in, auth_id, 16, INNER);
    mix_pad(k, &a.out, auth_id, 16, OUTER);
    end_h2(k, &a, nonce, INNER, key, VMESS_KEY_LEN, sum);
    end_h2(k, &a, nonce, OUTER, sum, SHA256_LEN, sum);
    memcpy(out, sum, VMESS_KEY_LEN);
    crypto_wipe(sum, sizeof(sum));
}

void vmess_kdf_answer(const struct vmess_kdf *k, const uint8_t in[VMESS_KEY_LEN],
                      uint8_t out[VMESS_KEY_LEN])
{
    struct sha256_state s;
    uint8_t sum[SHA256_LEN];

    sha256_start(&s);
    sha256_end(k->mix, &s, 0, in, VMESS_KEY_LEN, sum);
    memcpy(out, sum, VMESS_KEY_LEN);
    crypto_wipe(sum, sizeof(sum));
}

void vmess_kdf_user(const uint8_t uuid[16], uint8_t key[VMESS_KEY_LEN])
{
    uint8_t text[16 + sizeof(USER_SUFFIX) - 1];

    memcpy(text, uuid, 16);
    memcpy(text + 16, USER_SUFFIX, sizeof(USER_SUFFIX) - 1);
    md5_sum(text, sizeof(text), key);
    crypto_wipe(text, sizeof(text));
}
