/* tls/schedule.h - the key schedule of TLS 1.3 without PSK (RFC 8446 section 7.1) over the
 * messages so far. Pure. Messages are borrowed, not copied: they stay where they are until
 * schedule_wipe. */
#ifndef TLS_SCHEDULE_H
#define TLS_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/hash.h"

#define SCHEDULE_MESSAGES 8u

struct schedule {
    enum hash_alg hash;
    unsigned count;
    struct hash_piece message[SCHEDULE_MESSAGES];
    uint8_t secret[HASH_MAX_LEN]; /* handshake secret */
};

/* Starts for a cipher suite (enum record_suite). ST_OK or ST_E_UNSUPPORTED. */
NODISCARD enum status schedule_init(struct schedule *s, uint16_t suite);
void schedule_wipe(struct schedule *s);
/* Adds a whole handshake message with its 4 byte header, without record headers. */
void schedule_add(struct schedule *s, const void *msg, size_t len);

/* All secrets and digests below are hash_len(s->hash) bytes. They return ST_OK, ST_E_NOMEM (@cc
 * NULL only) or ST_E_CRYPTO. */

/* Transcript hash of the messages so far. */
NODISCARD enum status schedule_transcript(const struct schedule *s, struct crypto_ctx *cc,
                                          uint8_t *out);
/* Handshake traffic secrets from the key exchange's @shared; messages: both hellos. */
NODISCARD enum status schedule_handshake(struct schedule *s, struct crypto_ctx *cc,
                                         const uint8_t *shared, size_t shared_len, uint8_t *client,
                                         uint8_t *server);
/* Application traffic secrets; messages: up to the server's Finished. After
 * schedule_handshake. */
NODISCARD enum status schedule_application(const struct schedule *s, struct crypto_ctx *cc,
                                           uint8_t *client, uint8_t *server);
/* What the Finished of the owner of handshake secret @secret says after the messages so far. */
NODISCARD enum status schedule_finished(const struct schedule *s, struct crypto_ctx *cc,
                                        const uint8_t *secret, uint8_t *out);

#endif
