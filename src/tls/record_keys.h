/* tls/record_keys.h - what both directions of the record layer do with their keys. Internal to
 * tls/record*.c and tls/flight*.c. */
#ifndef TLS_RECORD_KEYS_H
#define TLS_RECORD_KEYS_H

#include "tls/record.h"

/* Steps to the next traffic secret (RFC 8446 section 7.2); sequence number 0 again. ST_OK or
 * ST_E_CRYPTO. */
NODISCARD enum status record_keys_update(struct record_keys *k, struct crypto_ctx *cc);
/* The nonce of the next record (RFC 8446 section 5.3). */
void record_nonce(const struct record_keys *k, uint8_t nonce[12]);

#endif
