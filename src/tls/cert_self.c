#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "tls/cert.h"

#define DAY         86400L
#define TEN_YEARS   (3652L * DAY)
#define SERIAL_BITS 159 /* RFC 5280 section 4.1.2.2: 20 octets, positive */
#define CN_MAX      64u /* X.520 upper bound */

/* Letters a name or an address is made of; keeps the extension syntax below free of surprises. */
static bool is_domain(const char *domain)
{
    size_t n = strlen(domain);

    return n > 0 && n <= 255 &&
           strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*:") ==
               n;
}

static bool add_ext(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return ok;
}

static bool set_serial(X509 *x)
{
    BIGNUM *bn = BN_new();
    bool ok = bn != NULL && BN_rand(bn, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL;

    BN_free(bn);
    return ok;
}

/* A name over the bound of a common name stands in the SAN alone. */
static bool set_subject(X509 *x, const char *domain)
{
    X509_NAME *name = X509_get_subject_name(x);

    if (strlen(domain) <= CN_MAX &&
        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)domain, -1, -1, 0) != 1)
        return false;
    return X509_set_issuer_name(x, name) == 1;
}

static bool fill(X509 *x, EVP_PKEY *key, const char *domain)
{
    struct addr ip;
    char san[300];

    snprintf(san, sizeof(san), "%s:%s",
             addr_parse_ip(&ip, domain, strlen(domain)) == ST_OK ? "IP" : "DNS", domain);
    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) && set_subject(x, domain) &&
           X509_gmtime_adj(X509_getm_notBefore(x), -DAY) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(x), TEN_YEARS) != NULL &&
           X509_set_pubkey(x, key) == 1 && add_ext(x, NID_subject_alt_name, san) &&
           add_ext(x, NID_basic_constraints, "critical,CA:FALSE") &&
           add_ext(x, NID_key_usage, "critical,digitalSignature") &&
           add_ext(x, NID_ext_key_usage, "serverAuth") && X509_sign(x, key, EVP_sha256()) > 0;
}

/* Takes what was written to @bio as text. */
static bool take_text(BIO *bio, char out[CERT_SELF_MAX])
{
    int n = BIO_read(bio, out, CERT_SELF_MAX - 1);

    if (n <= 0 || BIO_pending(bio) != 0)
        return false;
    out[n] = '\0';
    return true;
}

enum status cert_self_signed(const char *domain, struct cert_pem *out)
{
    if (!is_domain(domain))
        return ST_E_CONFIG;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_secmem());
    bool ok = key != NULL && x != NULL && chain != NULL && secret != NULL && fill(x, key, domain) &&
              PEM_write_bio_X509(chain, x) == 1 &&
              PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              take_text(chain, out->chain) && take_text(secret, out->key);

    BIO_free(secret);
    BIO_free(chain);
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return ok ? ST_OK : ST_E_CRYPTO;
}
