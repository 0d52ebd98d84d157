/* tls/flight_cert.h - the certificate of a flight: a fixed frame around the Ed25519 key and the
 * proofs (xtls/reality 20251014 handshake_server_tls13.go). Internal to tls/flight*.c. */
#ifndef TLS_FLIGHT_CERT_H
#define TLS_FLIGHT_CERT_H

#include "tls/flight.h"

#define FLIGHT_CERT_LEN       178u
#define FLIGHT_CERT_MLDSA_LEN 3509u
#define FLIGHT_CERT_MAX       FLIGHT_CERT_MLDSA_LEN

/* Writes the DER for @identity: Ed25519 key, HMAC-SHA512 of it under @auth_key in place of the
 * signature, and with identity->mldsa an ML-DSA-65 signature that also covers both hellos
 * (@server_hello with our key share). *@len becomes one of the above. ST_OK, ST_E_UNSUPPORTED,
 * ST_E_CRYPTO. */
NODISCARD enum status flight_cert_write(uint8_t der[FLIGHT_CERT_MAX], size_t *len,
                                        const struct flight_input *in, const uint8_t *server_hello,
                                        struct crypto_ctx *cc);

#endif
