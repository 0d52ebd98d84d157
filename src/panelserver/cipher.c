#include "panelserver/cipher.h"

#include <stdint.h>
#include <string.h>

#include "codec/base64.h"
#include "crypto/mem.h"
#include "crypto/rng.h"

#define KEY_MAX 32

static const struct {
    const char *spelling;
    struct cipher cipher;
} TABLE[] = {
    {NULL, {"2022-blake3-aes-128-gcm", 16, false}},
    {NULL, {"2022-blake3-aes-256-gcm", 32, false}},
    {NULL, {"2022-blake3-chacha20-poly1305", 32, true}},
    {NULL, {"aes-128-gcm", 0, false}},
    {NULL, {"aes-256-gcm", 0, false}},
    {"chacha20-poly1305", {"chacha20-ietf-poly1305", 0, false}},
    {"xchacha20-poly1305", {"xchacha20-ietf-poly1305", 0, false}},
    {"plain", {"none", 0, true}},
};

const struct cipher *cipher_find(const char *name)
{
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        const char *other = TABLE[i].spelling;
        if (strcmp(name, TABLE[i].cipher.name) == 0 || (other != NULL && strcmp(name, other) == 0))
            return &TABLE[i].cipher;
    }
    return NULL;
}

bool cipher_key_ok(const struct cipher *c, const char *text)
{
    uint8_t key[BASE64_DECODED_MAX(CIPHER_KEY_TEXT)];
    size_t len = strlen(text), got = 0;
    if (c->key_bytes == 0)
        return len == 0;
    bool good = len < CIPHER_KEY_TEXT && base64_decode(key, &got, text, len, 0) == ST_OK &&
                got == c->key_bytes;
    crypto_wipe(key, sizeof key);
    return good;
}

enum status cipher_key_new(const struct cipher *c, char dst[CIPHER_KEY_TEXT])
{
    uint8_t key[KEY_MAX];
    struct rng r;
    dst[0] = '\0';
    if (c->key_bytes == 0)
        return ST_OK;
    enum status st = rng_init(&r);
    if (st != ST_OK)
        return st;
    rng_bytes(&r, key, c->key_bytes);
    rng_fini(&r);
    base64_encode(dst, key, c->key_bytes, 0);
    crypto_wipe(key, sizeof key);
    return ST_OK;
}

void cipher_user_key(const struct cipher *c, const char *uuid, char dst[CIPHER_KEY_TEXT])
{
    dst[0] = '\0';
    if (!c->single && strlen(uuid) >= c->key_bytes)
        base64_encode(dst, uuid, c->key_bytes, 0);
}
