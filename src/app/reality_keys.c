#include "app/reality_keys.h"

#include <string.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/mem.h"
#include "crypto/rng.h"

#define URL            (BASE64_URL | BASE64_UNPADDED)
#define KEY_READ_MAX   64u
#define SHORT_ID_BYTES 8u

enum status reality_keys_of(struct reality_keys *k, const uint8_t priv[X25519_LEN])
{
    uint8_t pub[X25519_LEN];
    enum status st = x25519_public(priv, pub);
    if (st != ST_OK)
        return st;
    base64_encode(k->private_key, priv, X25519_LEN, URL);
    base64_encode(k->public_key, pub, X25519_LEN, URL);
    return ST_OK;
}

enum status reality_keys_new(struct reality_keys *k)
{
    uint8_t priv[X25519_LEN], pub[X25519_LEN], id[SHORT_ID_BYTES];
    struct rng rng;
    enum status st = rng_init(&rng);
    if (st != ST_OK)
        return st;
    st = x25519_keypair(&rng, priv, pub);
    if (st == ST_OK)
        st = reality_keys_of(k, priv);
    rng_bytes(&rng, id, sizeof(id));
    hex_encode(k->short_id, id, sizeof(id));
    rng_fini(&rng);
    crypto_wipe(priv, sizeof(priv));
    return st;
}

bool reality_key_read(const char *text, uint8_t key[32])
{
    uint8_t raw[BASE64_DECODED_MAX(KEY_READ_MAX)];
    size_t n = strlen(text), len = 0;
    unsigned flags = BASE64_UNPADDED | BASE64_ANY_TAIL;
    while (n > 0 && text[n - 1] == '=')
        n--;
    if (n > KEY_READ_MAX)
        return false;
    if (memchr(text, '+', n) == NULL && memchr(text, '/', n) == NULL)
        flags |= BASE64_URL;
    bool ok = base64_decode(raw, &len, text, n, flags) == ST_OK && len == 32;
    if (ok)
        memcpy(key, raw, 32);
    crypto_wipe(raw, sizeof(raw));
    return ok;
}

bool reality_short_id_ok(const char *text)
{
    uint8_t id[SHORT_ID_BYTES];
    size_t n = strlen(text);
    return n <= 2 * sizeof(id) && hex_decode(id, text, n) == ST_OK;
}

enum status reality_mldsa(char seed[REALITY_KEY_TEXT], char verify[REALITY_VERIFY_TEXT])
{
    uint8_t raw[MLDSA_SEED_LEN], pub[MLDSA_PUBLIC_LEN];
    struct rng rng;
    enum status st = ST_OK;
    if (!mldsa_available())
        return ST_E_UNSUPPORTED;
    if (seed[0] != '\0' && !reality_key_read(seed, raw))
        return ST_E_CONFIG;
    if (seed[0] == '\0') {
        st = rng_init(&rng);
        if (st != ST_OK)
            return st;
        rng_bytes(&rng, raw, sizeof(raw));
        rng_fini(&rng);
    }
    st = mldsa_public(raw, pub);
    if (st == ST_OK) {
        base64_encode(seed, raw, sizeof(raw), URL);
        base64_encode(verify, pub, sizeof(pub), URL);
    }
    crypto_wipe(raw, sizeof(raw));
    return st;
}
