#include "tls/flight_cert.h"

#include <string.h>

#include "crypto/hash.h"
#include "crypto/mem.h"

/* Version 3, serial 0, Ed25519, no names, both dates 0001-01-01. */
#define TBS_HEAD                                                                                   \
    0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,      \
        0x30, 0x00, 0x30, 0x22, 0x18, 0x0f, '0', '0', '0', '1', '0', '1', '0', '1', '0', '0', '0', \
        '0', '0', '0', 'Z', 0x18, 0x0f, '0', '0', '0', '1', '0', '1', '0', '1', '0', '0', '0',     \
        '0', '0', '0', 'Z', 0x30, 0x00, 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,      \
        0x03, 0x21, 0x00

static const uint8_t HEAD[] = {0x30, 0x81, 0xaf, 0x30, 0x63, TBS_HEAD};
static const uint8_t MLDSA_HEAD[] = {0x30, 0x82, 0x0d, 0xb1, 0x30, 0x82, 0x0d, 0x63, TBS_HEAD};
/* One extension, OID 0.0, an octet string of MLDSA_SIG_LEN bytes. */
static const uint8_t MLDSA_EXTENSION[] = {0xa3, 0x82, 0x0c, 0xfc, 0x30, 0x82, 0x0c,
                                          0xf8, 0x30, 0x82, 0x0c, 0xf4, 0x06, 0x01,
                                          0x00, 0x04, 0x82, 0x0c, 0xed};
/* Ed25519, a bit string of 64 bytes. */
static const uint8_t SIGNATURE[] = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00};

_Static_assert(sizeof(HEAD) + ED25519_PUBLIC_LEN + sizeof(SIGNATURE) + HASH_SHA512_LEN ==
                   FLIGHT_CERT_LEN,
               "frame of the certificate");
_Static_assert(sizeof(MLDSA_HEAD) + ED25519_PUBLIC_LEN + sizeof(MLDSA_EXTENSION) + MLDSA_SIG_LEN +
                       sizeof(SIGNATURE) + HASH_SHA512_LEN ==
                   FLIGHT_CERT_MLDSA_LEN,
               "frame of the certificate with ML-DSA");

enum status flight_identity_init(struct flight_identity *id, const uint8_t *seed)
{
    memset(id, 0, sizeof(*id));
    enum status st = ed25519_public(seed, id->pub);
    return st == ST_OK ? ed25519_key_new(seed, &id->key) : st;
}

void flight_identity_fini(struct flight_identity *id)
{
    ed25519_key_free(id->key);
    crypto_wipe(id, sizeof(*id));
}

static uint8_t *put(uint8_t *p, const void *data, size_t n)
{
    memcpy(p, data, n);
    return p + n;
}

static enum status sign_mldsa(const struct flight_input *in, const uint8_t *server_hello,
                              struct crypto_ctx *cc, uint8_t sig[MLDSA_SIG_LEN])
{
    const struct hash_piece pieces[] = {{in->identity->pub, ED25519_PUBLIC_LEN},
                                        {in->client_hello, in->client_hello_len},
                                        {server_hello, in->server_hello_len}};
    uint8_t msg[HASH_SHA512_LEN];
    enum status st = hash_hmac(cc, HASH_SHA512, in->auth_key, FLIGHT_AUTH_KEY_LEN, pieces, 3, msg);

    return st == ST_OK ? mldsa_sign(in->identity->mldsa_seed, msg, sizeof(msg), sig) : st;
}

enum status flight_cert_write(uint8_t der[FLIGHT_CERT_MAX], size_t *len,
                              const struct flight_input *in, const uint8_t *server_hello,
                              struct crypto_ctx *cc)
{
    const struct flight_identity *id = in->identity;
    uint8_t *p = der;
    enum status st = ST_OK;

    p = id->mldsa ? put(p, MLDSA_HEAD, sizeof(MLDSA_HEAD)) : put(p, HEAD, sizeof(HEAD));
    p = put(p, id->pub, ED25519_PUBLIC_LEN);
    if (id->mldsa) {
        p = put(p, MLDSA_EXTENSION, sizeof(MLDSA_EXTENSION));
        st = sign_mldsa(in, server_hello, cc, p);
        p += MLDSA_SIG_LEN;
    }
    p = put(p, SIGNATURE, sizeof(SIGNATURE));
    if (st == ST_OK)
        st = hash_hmac(cc, HASH_SHA512, in->auth_key, FLIGHT_AUTH_KEY_LEN,
                       &(struct hash_piece){id->pub, ED25519_PUBLIC_LEN}, 1, p);
    *len = (size_t)(p - der) + HASH_SHA512_LEN;
    return st;
}
