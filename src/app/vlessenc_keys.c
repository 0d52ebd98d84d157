#include "app/vlessenc_keys.h"

#include <stdio.h>
#include <string.h>

#include "codec/base64.h"
#include "crypto/mem.h"
#include "crypto/mlkem.h"
#include "crypto/rng.h"
#include "crypto/x25519.h"

#define KEY_TEXT(n) (BASE64_ENCODED_LEN(n) + 1)
#define STYLE       (BASE64_URL | BASE64_UNPADDED)

bool vlessenc_mode_ok(const char *text)
{
    return strcmp(text, "native") == 0 || strcmp(text, "xorpub") == 0 ||
           strcmp(text, "random") == 0;
}

bool vlessenc_ticket_ok(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits;

    if (digits == 0 || digits > 5)
        return false;
    if (*rest == '-') {
        digits = strspn(++rest, "0123456789");
        if (digits == 0 || digits > 5)
            return false;
        rest += digits;
    }
    return *rest == '\0' || strcmp(rest, "s") == 0;
}

static enum status make_texts(struct rng *r, enum vlessenc_auth auth,
                              char secret[KEY_TEXT(MLKEM_SEED_LEN)],
                              char public[KEY_TEXT(MLKEM_PUBLIC_LEN)])
{
    uint8_t priv[MLKEM_SEED_LEN], pub[MLKEM_PUBLIC_LEN];
    enum status st = ST_OK;

    if (auth == VLESSENC_AUTH_MLKEM768) {
        rng_bytes(r, priv, MLKEM_SEED_LEN);
        mlkem_public(priv, pub);
        base64_encode(secret, priv, MLKEM_SEED_LEN, STYLE);
        base64_encode(public, pub, MLKEM_PUBLIC_LEN, STYLE);
    } else if ((st = x25519_keypair(r, priv, pub)) == ST_OK) {
        base64_encode(secret, priv, X25519_LEN, STYLE);
        base64_encode(public, pub, X25519_LEN, STYLE);
    }
    crypto_wipe(priv, sizeof(priv));
    return st;
}

enum status vlessenc_keys_new(const char *mode, const char *ticket, enum vlessenc_auth auth,
                              struct vlessenc_keys *out)
{
    char secret[KEY_TEXT(MLKEM_SEED_LEN)], public[KEY_TEXT(MLKEM_PUBLIC_LEN)];
    bool never = strcmp(ticket, "0s") == 0 || strcmp(ticket, "0") == 0;
    struct rng r;
    enum status st = rng_init(&r);

    if (st != ST_OK)
        return st;
    st = make_texts(&r, auth, secret, public);
    rng_fini(&r);
    if (st == ST_OK) {
        (void)!snprintf(out->decryption, sizeof(out->decryption),
                        "mlkem768x25519plus.%.8s.%.16s.%s", mode, ticket, secret);
        (void)!snprintf(out->encryption, sizeof(out->encryption), "mlkem768x25519plus.%.8s.%s.%s",
                        mode, never ? "1rtt" : "0rtt", public);
    }
    crypto_wipe(secret, sizeof(secret));
    return st;
}
