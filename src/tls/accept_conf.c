#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "tls/accept.h"
#include "tls/server_hello.h"

#define MESSAGE_CERTIFICATE 11u
#define MESSAGE_HEADER      4u
#define ENTRY_FRAME         5u /* length of the DER, length of no extensions */

/* ---- Certificate message (RFC 8446 section 4.4.2) -------------------------------------------- */

static X509 *nth(const struct cert *cert, int i)
{
    return i == 0 ? cert->leaf : sk_X509_value(cert->chain, i - 1);
}

/* Appends an entry; false if it does not fit. */
static bool add_entry(uint8_t *msg, size_t *at, X509 *x)
{
    int len = i2d_X509(x, NULL);

    if (len <= 0 || *at + (size_t)len + ENTRY_FRAME > ACCEPT_CERTIFICATE_MAX)
        return false;
    unsigned char *der = msg + *at + 3;
    put_be24(msg + *at, (uint32_t)len);
    (void)i2d_X509(x, &der);
    put_be16(msg + *at + 3 + len, 0);
    *at += (size_t)len + ENTRY_FRAME;
    return true;
}

static enum status make_certificate(struct accept_conf *c, struct arena *a, const struct cert *cert)
{
    int count = 1 + (cert->chain != NULL ? sk_X509_num(cert->chain) : 0);
    uint8_t msg[ACCEPT_CERTIFICATE_MAX];
    size_t at = MESSAGE_HEADER + 1 + 3;

    for (int i = 0; i < count; i++) {
        if (!add_entry(msg, &at, nth(cert, i)))
            return ST_E_UNSUPPORTED;
    }
    msg[0] = MESSAGE_CERTIFICATE;
    put_be24(msg + 1, (uint32_t)(at - MESSAGE_HEADER));
    msg[4] = 0; /* no request context */
    put_be24(msg + 5, (uint32_t)(at - MESSAGE_HEADER - 4));
    uint8_t *copy = arena_alloc(a, at);
    if (copy == NULL)
        return ST_E_NOMEM;
    memcpy(copy, msg, at);
    c->certificate = copy;
    c->certificate_len = at;
    return ST_OK;
}

/* The scheme of signature_algorithms_cert that covers the leaf's own signature. */
static uint16_t leaf_scheme(const struct cert *cert)
{
    static const struct {
        int hash, key;
        uint16_t scheme;
    } schemes[] = {
        {NID_sha256, NID_X9_62_id_ecPublicKey, 0x0403},
        {NID_sha384, NID_X9_62_id_ecPublicKey, 0x0503},
        {NID_sha512, NID_X9_62_id_ecPublicKey, 0x0603},
        {NID_sha256, NID_rsaEncryption, 0x0401},
        {NID_sha384, NID_rsaEncryption, 0x0501},
        {NID_sha512, NID_rsaEncryption, 0x0601},
    };
    int hash, key;

    if (X509_get_signature_info(cert->leaf, &hash, &key, NULL, NULL) != 1)
        return 0;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (schemes[i].hash == hash && schemes[i].key == key)
            return schemes[i].scheme;
    }
    return 0;
}

enum status accept_conf_init(struct accept_conf *c, struct arena *a, const struct ossl_conf *o,
                             const struct ossl_settings *s)
{
    enum status st;

    memset(c, 0, sizeof(*c));
    if ((s->max_version != 0 && s->max_version < 0x0304) || o->group_count == 0 ||
        (o->groups[0] != TLS_GROUP_X25519 && o->groups[0] != TLS_GROUP_X25519MLKEM768))
        return ST_E_UNSUPPORTED;
    st = sign_key_init(&c->key, s->cert->key);
    if (st != ST_OK)
        return st;
    c->ossl = o;
    c->leaf_scheme = leaf_scheme(s->cert);
    st = make_certificate(c, a, s->cert);
    ERR_clear_error();
    if (st != ST_OK)
        accept_conf_fini(c);
    return st;
}

void accept_conf_fini(struct accept_conf *c)
{
    sign_key_fini(&c->key);
    memset(c, 0, sizeof(*c));
}
