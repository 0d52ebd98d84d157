/* transport/vlessenc/vlessenc_record.h - data after the handshake: `17 03 03 length`, ciphertext,
 * tag, the header authenticated with it and, in mode `random`, masked on the wire
 * (Xray-core 25.12.1 proxy/vless/encryption/common.go). Pure; one direction each. */
#ifndef TRANSPORT_VLESSENC_RECORD_H
#define TRANSPORT_VLESSENC_RECORD_H

#include "base/span.h"
#include "transport/vlessenc/vlessenc_aead.h"
#include "transport/vlessenc/vlessenc_mask.h"

#define VLESSENC_PREFIX          16u /* bytes in front of the first record */
#define VLESSENC_RECORD_OVERHEAD (VLESSENC_HEADER + AEAD_TAG_LEN)
#define VLESSENC_RECORD_PLAIN    8192u  /* what we write, as the peers do */
#define VLESSENC_RECORD_MAX      17000u /* ciphertext and tag, as the peers accept it */

/* Opens at most @max records (0: all there are) of @in, where they lie, and moves their content to
 * @up. @mask is NULL but in mode `random`. The bytes of @in must be viewed by no other span.
 *   ST_OK    @in is empty       ST_MORE  @in holds the beginning of a record
 *   ST_FULL  @up is at its cap  ST_YIELD @max records were opened, there are more bytes
 *   ST_E_PROTO (no such header), ST_E_AUTH, ST_E_NOMEM, ST_E_CRYPTO: @in is not usable any more.
 * With @max 1 what is behind the opened record is still as the wire carried it. */
NODISCARD enum status vlessenc_record_open(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                                           struct crypto_ctx *cc, struct pool *p, struct bufq *in,
                                           struct bufq *up, unsigned max);
/* Seals @down into fresh blks of @out; SPAN_EDGE and SPAN_ALONE are obeyed and kept. @prefix
 * (VLESSENC_PREFIX bytes, or NULL) goes in front of the first record and is then set to NULL.
 * ST_OK @down is empty; ST_FULL, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status vlessenc_record_seal(struct vlessenc_aead *a, struct vlessenc_mask *mask,
                                           struct crypto_ctx *cc, struct pool *p,
                                           const uint8_t **prefix, struct bufq *down,
                                           struct bufq *out);

#endif
