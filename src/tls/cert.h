/* tls/cert.h - certificate chains and private keys from PEM, and self-signed certificates. Pure
 * but for reading the named files. Used by the control plane; a loaded pair is read-only
 * afterwards. */
#ifndef TLS_CERT_H
#define TLS_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The vendor's types, by their tags. */
struct x509_st;
struct stack_st_X509;
struct evp_pkey_st;
struct arena;

#define CERT_PEM_MAX  (1024u * 1024)
#define CERT_SELF_MAX 4096u

struct cert {
    struct x509_st *leaf;
    struct stack_st_X509 *chain; /* the certificates behind the leaf; may be NULL */
    struct evp_pkey_st *key;
};

/* What cannot be used and why, for the log; never holds key material. */
struct cert_error {
    char text[256];
};

/* Reads a chain (leaf first) and its key from PEM text. The key's label may be any that ends in
 * "PRIVATE KEY", whatever structure it wraps: old programs (nsevo/v2sp's `self`) write PKCS#1 under
 * "EC PRIVATE KEY". ST_OK; ST_E_CONFIG with @err (nothing usable, encrypted key, key does not
 * match); ST_E_NOMEM. */
NODISCARD enum status cert_parse(struct cert *c, const char *chain_pem, size_t chain_len,
                                 const char *key_pem, size_t key_len, struct cert_error *err);
/* The same from files of at most CERT_PEM_MAX bytes; ST_E_NOTFOUND with @err when one cannot be
 * opened. */
NODISCARD enum status cert_load(struct cert *c, const char *chain_path, const char *key_path,
                                struct cert_error *err);
/* Safe on a zeroed one and twice. */
void cert_fini(struct cert *c);

/* Names the certificate is for: its common name and every DNS name, lower case, in @a. ST_OK or
 * ST_E_NOMEM. */
NODISCARD enum status cert_names(const struct cert *c, struct arena *a, const char *const **names,
                                 size_t *count);
/* Does @sni (any case) equal one of the names, or "*" and its part from the first dot on
 * (Xray-core 25.12.1 transport/internet/tls/config.go)? */
bool cert_names_match(const char *const *names, size_t count, const char *sni);
/* Seconds since 1970 at which the leaf expires; 0 if unreadable. */
int64_t cert_not_after(const struct cert *c);

/* A fresh pair as PEM text. */
struct cert_pem {
    char chain[CERT_SELF_MAX], key[CERT_SELF_MAX]; /* NUL-terminated */
};
/* ECDSA P-256, valid for ten years from now less a day (clients' clocks are off), subject and
 * SAN @domain (a name, or an IP address; 1..255 bytes). The caller wipes @out. ST_OK,
 * ST_E_CONFIG (bad domain), ST_E_CRYPTO. */
NODISCARD enum status cert_self_signed(const char *domain, struct cert_pem *out);

#endif
