#include "proto/shadowsocks/method.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "codec/base64.h"
#include "crypto/blake3.h"
#include "crypto/hash.h"
#include "crypto/lanes.h"
#include "crypto/md5.h"
#include "crypto/mem.h"

static const char INFO[] = "ss-subkey";
static const char SESSION[] = "shadowsocks 2022 session subkey";
static const char IDENTITY[] = "shadowsocks 2022 identity subkey";

static const char *const aes128_names[] = {"aead_aes_128_gcm", NULL};
static const char *const aes256_names[] = {"aead_aes_256_gcm", NULL};
static const char *const chacha_names[] = {"chacha20-ietf-poly1305", "aead_chacha20_poly1305",
                                           NULL};
static const char *const xchacha_names[] = {"xchacha20-ietf-poly1305", "aead_xchacha20_poly1305",
                                            NULL};
static const char *const plain_names[] = {"plain", NULL};
static const char *const no_names[] = {NULL};

static const struct ss_method methods[] = {
    {"aes-128-gcm", aes128_names, SS_AEAD, AEAD_AES_128_GCM, 16, false, false},
    {"aes-256-gcm", aes256_names, SS_AEAD, AEAD_AES_256_GCM, 32, false, false},
    {"chacha20-poly1305", chacha_names, SS_AEAD, AEAD_CHACHA20_POLY1305, 32, false, false},
    {"xchacha20-poly1305", xchacha_names, SS_AEAD, AEAD_CHACHA20_POLY1305, 32, true, false},
    {"none", plain_names, SS_PLAIN, AEAD_AES_128_GCM, 0, false, false},
    {"2022-blake3-aes-128-gcm", no_names, SS_2022, AEAD_AES_128_GCM, 16, false, true},
    {"2022-blake3-aes-256-gcm", no_names, SS_2022, AEAD_AES_256_GCM, 32, false, true},
    {"2022-blake3-chacha20-poly1305", no_names, SS_2022, AEAD_CHACHA20_POLY1305, 32, true, false},
};

#define COUNT (sizeof(methods) / sizeof(methods[0]))

const struct ss_method *ss_method_find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (strcasecmp(methods[i].name, name) == 0)
            return &methods[i];
        for (const char *const *a = methods[i].aliases; *a != NULL; a++)
            if (strcasecmp(*a, name) == 0)
                return &methods[i];
    }
    return NULL;
}

const struct ss_method *ss_method_at(size_t i)
{
    return i < COUNT ? &methods[i] : NULL;
}

void ss_master_key(const struct ss_method *m, const char *password, uint8_t key[SS_KEY_MAX])
{
    uint8_t block[MD5_LEN + 256], digest[MD5_LEN];
    size_t len = strnlen(password, 256), have = 0;

    for (size_t at = 0; at < m->key_len; at += MD5_LEN) {
        memcpy(block + have, password, len);
        md5_sum(block, have + len, digest);
        memcpy(key + at, digest, MD5_LEN); /* key lengths are multiples of it */
        memcpy(block, digest, MD5_LEN);
        have = MD5_LEN;
    }
    crypto_wipe(block, sizeof(block));
    crypto_wipe(digest, sizeof(digest));
}

void ss_subkey(const struct ss_method *m, const uint8_t *key, const uint8_t *salt,
               uint8_t subkey[SS_KEY_MAX])
{
    uint32_t in[8][LANES] = {{0}}, out[8][LANES];
    unsigned words = m->key_len / 4;
    struct lanes_salt s;

    for (unsigned i = 0; i < words; i++)
        in[i][0] = get_be32(key + 4 * i);
    lanes_salt_init(&s, salt, m->key_len);
    lanes_hkdf(&s, INFO, sizeof(INFO) - 1, (const uint32_t(*)[LANES])in, words, out, 1);
    for (unsigned i = 0; i < words; i++)
        put_be32(subkey + 4 * i, out[i][0]);
    crypto_wipe(&s, sizeof(s));
    crypto_wipe(in, sizeof(in));
    crypto_wipe(out, sizeof(out));
}

bool ss2022_user_key(const struct ss_method *m, const char *text, uint8_t key[SS_KEY_MAX])
{
    if (strnlen(text, m->key_len) < m->key_len)
        return false;
    memcpy(key, text, m->key_len);
    return true;
}

enum status ss2022_read_key(const struct ss_method *m, const char *base64, uint8_t key[SS_KEY_MAX])
{
    uint8_t bytes[256], digest[HASH_SHA256_LEN];
    size_t len = 0;
    enum status st = ST_E_PROTO;

    if (strlen(base64) > sizeof(bytes) ||
        base64_decode(bytes, &len, base64, strlen(base64), BASE64_ANY_TAIL) != ST_OK ||
        len < m->key_len)
        goto out;
    st = ST_OK;
    if (len > m->key_len) {
        st = hash_sum(NULL, HASH_SHA256, bytes, len, digest);
        memcpy(bytes, digest, sizeof(digest));
    }
    if (st == ST_OK)
        memcpy(key, bytes, m->key_len);
out:
    crypto_wipe(bytes, sizeof(bytes));
    crypto_wipe(digest, sizeof(digest));
    return st;
}

/* @context has a NUL that is no part of it. */
static void derive(const char *context, size_t context_size, const struct ss_method *m,
                   const uint8_t *key, const uint8_t *salt, size_t salt_len,
                   uint8_t subkey[SS_KEY_MAX])
{
    uint8_t material[SS_KEY_MAX + SS_SALT_MAX], out[BLAKE3_LEN];

    memcpy(material, key, m->key_len);
    memcpy(material + m->key_len, salt, salt_len);
    blake3_derive_key(context, context_size - 1, material, m->key_len + salt_len, out);
    memcpy(subkey, out, m->key_len);
    crypto_wipe(material, sizeof(material));
    crypto_wipe(out, sizeof(out));
}

void ss2022_subkey(const struct ss_method *m, const uint8_t *key, const uint8_t *salt,
                   size_t salt_len, uint8_t subkey[SS_KEY_MAX])
{
    derive(SESSION, sizeof(SESSION), m, key, salt, salt_len, subkey);
}

void ss2022_identity_key(const struct ss_method *m, const uint8_t *server_key, const uint8_t *salt,
                         uint8_t subkey[SS_KEY_MAX])
{
    derive(IDENTITY, sizeof(IDENTITY), m, server_key, salt, m->key_len, subkey);
}

void ss2022_user_name(const struct ss_method *m, const uint8_t *key, uint8_t name[SS2022_NAME_LEN])
{
    uint8_t out[BLAKE3_LEN];

    blake3_hash(key, m->key_len, out);
    memcpy(name, out, SS2022_NAME_LEN);
    crypto_wipe(out, sizeof(out));
}
