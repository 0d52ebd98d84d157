/* proto/shadowsocks/method.h - the methods of Shadowsocks, and how each turns texts into keys.
 * Pure.
 *
 * Sources: Xray-core 25.12.1 proxy/shadowsocks/config.go; SIP022 and sing-shadowsocks 0.2.7
 * shadowaead_2022. */
#ifndef PROTO_SHADOWSOCKS_METHOD_H
#define PROTO_SHADOWSOCKS_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/ctx.h"

#define SS_KEY_MAX  32u
#define SS_SALT_MAX 32u
#define SS_TAG      16u

enum ss_family {
    SS_PLAIN, /* none: addresses and bytes as they are */
    SS_AEAD,  /* SIP004, no word on who speaks */
    SS_2022,  /* SIP022 */
};

struct ss_method {
    const char *name;
    const char *const *aliases; /* NULL-ended */
    enum ss_family family;
    enum aead_alg alg;
    uint8_t key_len; /* of the salt, too */
    bool wide;       /* nonces of 24 bytes: XChaCha20-Poly1305 (2022: of datagrams only) */
    bool identity;   /* 2022: an identity header can name one of many users */
};

/* By any of its names, in any case. NULL: unknown. */
const struct ss_method *ss_method_find(const char *name);
/* All of them; NULL past the last. */
const struct ss_method *ss_method_at(size_t i);

/* ---- AEAD ------------------------------------------------------------------------------------ */

/* The master key of a password: EVP_BytesToKey with MD5, one round, no salt. */
void ss_master_key(const struct ss_method *m, const char *password, uint8_t key[SS_KEY_MAX]);
/* The key of one stream or datagram: HKDF-SHA1 with info "ss-subkey". @salt has key_len bytes. */
void ss_subkey(const struct ss_method *m, const uint8_t *key, const uint8_t *salt,
               uint8_t subkey[SS_KEY_MAX]);

/* ---- 2022 ------------------------------------------------------------------------------------ */

/* The key that panels make of a user's credential: its first key_len characters, as they are.
 * False: it is too short. */
bool ss2022_user_key(const struct ss_method *m, const char *text, uint8_t key[SS_KEY_MAX]);
/* A key in standard base64. One that is too long is replaced by its SHA-256, as Xray-core does it.
 * ST_OK; ST_E_PROTO: no base64 or too short; ST_E_CRYPTO. */
NODISCARD enum status ss2022_read_key(const struct ss_method *m, const char *base64,
                                      uint8_t key[SS_KEY_MAX]);
/* The key of a stream (@salt: its salt, of key_len bytes) or of a session of datagrams (@salt: its
 * id, of 8 bytes). */
void ss2022_subkey(const struct ss_method *m, const uint8_t *key, const uint8_t *salt,
                   size_t salt_len, uint8_t subkey[SS_KEY_MAX]);
/* The key of a stream's identity header. */
void ss2022_identity_key(const struct ss_method *m, const uint8_t *server_key, const uint8_t *salt,
                         uint8_t subkey[SS_KEY_MAX]);
/* What identity headers name a user by. */
#define SS2022_NAME_LEN 16u
void ss2022_user_name(const struct ss_method *m, const uint8_t *key, uint8_t name[SS2022_NAME_LEN]);

#endif
