/* proto/vmess/kdf.h - the keys of VMess AEAD: a hash nested in itself, once for each word of a path
 * (Xray-core 25.12.1 proxy/vmess/aead/kdf.go). Pure.
 *
 *   H0(m) = HMAC-SHA256("VMess AEAD KDF", m)
 *   Hi(m) = H(i-1)(pad(p_i) ^ 5c.. | H(i-1)(pad(p_i) ^ 36.. | m))
 *   KDF(key, p_1..p_n) = Hn(key)
 *
 * What begins with a constant is hashed once, at start: a request's keys cost 80 compressions
 * instead of 184, an answer's 16. Const after vmess_kdf_init, so that all workers may share one. */
#ifndef PROTO_VMESS_KDF_H
#define PROTO_VMESS_KDF_H

#include <stdint.h>

#include "crypto/sha256.h"

#define VMESS_KEY_LEN   16u
#define VMESS_NONCE_LEN 12u /* of every AEAD: the first bytes of a key */

/* The first word of a path. */
enum vmess_label {
    VMESS_LABEL_AUTH_ID,
    /* of the request header's length; the path goes on with AuthID, nonce */
    VMESS_LABEL_LENGTH_KEY,
    VMESS_LABEL_LENGTH_IV,
    VMESS_LABEL_HEADER_KEY, /* of the request header; the path goes on likewise */
    VMESS_LABEL_HEADER_IV,
    VMESS_LABEL_ANSWER_LENGTH_KEY,
    VMESS_LABEL_ANSWER_LENGTH_IV,
    VMESS_LABEL_ANSWER_KEY,
    VMESS_LABEL_ANSWER_IV,
    VMESS_LABEL_CHUNK_LENGTH, /* of authenticated lengths in the body */
    VMESS_LABELS,
};

struct vmess_kdf {
    sha256_mix_fn *mix;
    struct sha256_state outer; /* after the constant key ^ 5c.. */
    struct {
        struct sha256_state in, out; /* after the constant key and the label ^ 36.., ^ 5c.. */
    } label[VMESS_LABELS];
};

/* Hashes the constants. */
void vmess_kdf_init(struct vmess_kdf *k);
/* KDF of @key with the label alone. @out may be @key. */
void vmess_kdf_key(const struct vmess_kdf *k, enum vmess_label label,
                   const uint8_t key[VMESS_KEY_LEN], uint8_t out[VMESS_KEY_LEN]);
/* KDF of @key with the label, the AuthID and the nonce of a request. */
void vmess_kdf_request(const struct vmess_kdf *k, enum vmess_label label,
                       const uint8_t key[VMESS_KEY_LEN], const uint8_t auth_id[16],
                       const uint8_t nonce[8], uint8_t out[VMESS_KEY_LEN]);

/* The first half of SHA-256 of 16 bytes: keys of the answer from those of the request. */
void vmess_kdf_answer(const struct vmess_kdf *k, const uint8_t in[VMESS_KEY_LEN],
                      uint8_t out[VMESS_KEY_LEN]);
/* MD5(@uuid | a constant): what all keys of a user come from. */
void vmess_kdf_user(const uint8_t uuid[16], uint8_t key[VMESS_KEY_LEN]);

#endif
