/* transport/vlessenc/vlessenc_mask.h - mode `random`: the headers of records are XORed with a key
 * stream that runs on, 5 bytes a record; also those of a TLS flow that passes by after Vision's
 * direct-copy command (Xray-core proxy/vless/encryption/xor.go). Pure; one per direction. */
#ifndef TRANSPORT_VLESSENC_MASK_H
#define TRANSPORT_VLESSENC_MASK_H

#include "base/span.h"
#include "crypto/aes_ctr.h"

#define VLESSENC_HEADER 5u
/* Key stream made at once: whole AES blocks and whole headers. */
#define VLESSENC_STREAM 80u

/* Holds secrets: crypto_wipe when done. */
struct vlessenc_mask {
    uint8_t key[AES_CTR_KEY_LEN], iv[AES_CTR_IV_LEN];
    uint64_t block;                  /* the next one of the key stream */
    uint8_t stream[VLESSENC_STREAM]; /* its last @left bytes are unused */
    uint8_t left;
    uint8_t have;                  /* bytes of the present header that are known */
    uint8_t head[VLESSENC_HEADER]; /* unmasked */
    uint32_t skip;                 /* bytes up to the next header */
};

/* The key is derived from @secret; @iv as the peers agreed on it. */
void vlessenc_mask_init(struct vlessenc_mask *m, const uint8_t *secret, size_t secret_len,
                        const uint8_t iv[AES_CTR_IV_LEN]);
/* XORs @n bytes with the key stream. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status vlessenc_mask_xor(struct vlessenc_mask *m, uint8_t *data, size_t n);
/* Masks (@masking) or unmasks the headers in the next @n bytes of the flow, in place. What does not
 * begin like a record of application data counts as a header with nothing behind it, as in
 * Xray-core. Same answers. */
NODISCARD enum status vlessenc_mask_flow(struct vlessenc_mask *m, uint8_t *data, size_t n,
                                         bool masking);
/* Moves what fits from @src to @dst, masking or unmasking: a span that somebody else holds is
 * copied if it has to be written into. ST_OK @src is empty, ST_FULL, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status vlessenc_mask_move(struct vlessenc_mask *m, struct pool *p, struct bufq *src,
                                         struct bufq *dst, bool masking);

#endif
