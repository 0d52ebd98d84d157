/* tls/sign.h - the private key of a certificate made ready for TLS 1.3 CertificateVerify (RFC 8446
 * section 4.4.3). Pure. Made once a node by the control plane; signing changes nothing in it, so
 * all workers share it. */
#ifndef TLS_SIGN_H
#define TLS_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The vendor's types, by their tags. */
struct evp_pkey_st;
struct evp_md_ctx_st;

#define SIGN_MAX 512u /* RSA with 4096 bits */

enum sign_scheme {
    SIGN_ECDSA_P256_SHA256 = 0x0403,
    SIGN_RSA_PSS_SHA256 = 0x0804, /* rsa_pss_rsae_sha256 */
};

struct sign_key {
    struct evp_md_ctx_st *ready; /* copied for each signature: spares the set-up */
    uint16_t scheme;             /* enum sign_scheme */
};

/* Keeps a reference to @key. ST_OK; ST_E_UNSUPPORTED for a key of another kind than P-256 and
 * RSA with 2048 to 4096 bits; ST_E_NOMEM. After an error nothing is left to free. */
NODISCARD enum status sign_key_init(struct sign_key *k, struct evp_pkey_st *key);
/* Safe on a zeroed one and twice. */
void sign_key_fini(struct sign_key *k);
/* Signs @len bytes; *@sig_len becomes the signature's length. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status sign_key_sign(const struct sign_key *k, const void *msg, size_t len,
                                    uint8_t sig[SIGN_MAX], size_t *sig_len);

#endif
