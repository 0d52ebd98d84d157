/* transport/vlessenc/vlessenc_conf.h - configuration of VLESS encryption (grammar as in
 * Xray-core 25.12.1 infra/conf/vless.go; docs/panel-api.md). Internal to transport/vlessenc; const
 * once parsed but for the tickets, shared by all workers. */
#ifndef TRANSPORT_VLESSENC_CONF_H
#define TRANSPORT_VLESSENC_CONF_H

#include "crypto/blake3.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"
#include "stream/transport.h"
#include "transport/vlessenc/vlessenc_padding.h"

#define VLESSENC_KEYS_MAX 8u

enum vlessenc_mode { VLESSENC_NATIVE, VLESSENC_XORPUB, VLESSENC_RANDOM };

/* One key of the relay chain. Secret. */
struct vlessenc_key {
    struct x25519_key *x25519; /* NULL: ML-KEM-768 */
    uint8_t mlkem_seed[MLKEM_SEED_LEN];
    uint8_t hash[BLAKE3_LEN];     /* of the public key */
    uint8_t mask_key[BLAKE3_LEN]; /* of the key stream over its share */
    uint16_t share_len;
};

struct vlessenc_tickets;

struct vlessenc_conf {
    enum vlessenc_mode mode;
    uint32_t from_s, to_s; /* lifetime of tickets; to_s 0: about from_s; both 0: no tickets */
    struct vlessenc_padding padding;
    struct vlessenc_key key[VLESSENC_KEYS_MAX];
    unsigned key_count;
    uint32_t relays_len;              /* of a client's hello: shares, and hashes between them */
    struct vlessenc_tickets *tickets; /* NULL: no 0-RTT */
};

/* Reads a decryption string, "mlkem768x25519plus.MODE.SECONDS[.PADDING...].KEY...", into @c, zeroed
 * by the caller. ST_OK; ST_E_CONFIG with @err; ST_E_NOMEM, ST_E_CRYPTO. After any answer
 * vlessenc_conf_wipe. */
NODISCARD enum status vlessenc_conf_read(struct vlessenc_conf *c, const char *text,
                                         struct conf_error *err);
void vlessenc_conf_wipe(struct vlessenc_conf *c);

/* The parse_conf and free_conf of transport_vlessenc: stream/transport.h. @settings is the panel's
 * node object: `decryption`, a whole string, or else `encryption` with `encryption_settings` {mode,
 * ticket, server_padding, private_key}. */
NODISCARD enum status vlessenc_conf_parse(struct arena *a, const struct json_t *settings,
                                          const struct conf_context *ctx, const void **conf,
                                          struct conf_error *err);
void vlessenc_conf_free(const void *conf);

#endif
