/* tls/record.h - TLS 1.3 records after the handshake (RFC 8446 sections 5, 4.6.3, 6.1). Pure.
 *
 * Records are opened where they lie, however many spans they cross, and plaintext moves on as
 * the same spans once its tag was verified; small records are copied together. Sealing uses the
 * room around a span when nobody else looks at its blk. A direction costs struct record_keys and
 * nothing else; cipher contexts are the worker's (crypto/ctx.h). Life: record_keys_init ->
 * record_open* (one direction) or record_seal* (the other) -> record_keys_wipe. */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "crypto/ctx.h"

#define RECORD_HEADER     5u
#define RECORD_PLAIN_MAX  16384u
#define RECORD_CIPHER_MAX (RECORD_PLAIN_MAX + 256u)
#define RECORD_TAIL       17u /* inner type and tag */
#define RECORD_OVERHEAD   (RECORD_HEADER + RECORD_TAIL)
#define RECORD_SECRET_MAX 48u

enum record_type {
    RECORD_CCS = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    RECORD_DATA = 23,
};

/* Cipher suites by their registered numbers. */
enum record_suite {
    RECORD_AES_128_GCM_SHA256 = 0x1301,
    RECORD_AES_256_GCM_SHA384 = 0x1302,
    RECORD_CHACHA20_POLY1305_SHA256 = 0x1303,
};

/* Traffic keys of one direction. */
struct record_keys {
    uint64_t seq;
    uint8_t key[AEAD_KEY_MAX];
    uint8_t iv[12];
    uint8_t alg;                       /* enum aead_alg */
    uint8_t hash;                      /* enum hash_alg */
    uint8_t idle;                      /* rx: records in a row that carried no data */
    bool closed;                       /* rx: close_notify came */
    uint8_t secret[RECORD_SECRET_MAX]; /* for the next KeyUpdate */
};

/* Keys from an application traffic secret (@secret_len bytes, as long as the suite's hash),
 * sequence number 0. ST_OK; ST_E_UNSUPPORTED for another suite or length; ST_E_CRYPTO. */
NODISCARD enum status record_keys_init(struct record_keys *k, struct crypto_ctx *cc, uint16_t suite,
                                       const uint8_t *secret, size_t secret_len);
void record_keys_wipe(struct record_keys *k);

/* What record_open learnt beside data. */
struct record_note {
    uint8_t alert;      /* enum tls_alert to send with an error; 0: none */
    uint8_t peer_alert; /* with ST_E_CLOSED: the alert that came */
    bool update_asked;  /* the peer wants our keys updated: record_seal_update */
    const char *text;   /* with an error: what was wrong */
};

/* Opens at most @max records (0: as many as there are) of @in and appends what they carry to
 * @up; sets up->eof at close_notify, after which everything is dropped. The bytes of @in must be
 * viewed by no other span: they are overwritten. The caller clears @note first.
 *   ST_OK     @in is empty       ST_MORE  @in holds the beginning of a record
 *   ST_FULL   @up is at its cap  ST_YIELD @max records were opened, there are more bytes
 *   ST_E_PROTO, ST_E_LIMIT (too long, or a flood of empty records), ST_E_AUTH (tag) with
 *   note->alert; ST_E_CLOSED the peer sent a fatal alert; ST_E_NOMEM, ST_E_CRYPTO. After an
 *   error @in is not usable any more.
 * Trap for Vision: with @max 1 the bytes behind the opened record are still what the wire
 * carried. */
NODISCARD enum status record_open(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                                  struct bufq *in, struct bufq *up, unsigned max,
                                  struct record_note *note);

/* Seals @down into @out: one record a big span, in place where possible; small spans share
 * records; SPAN_EDGE and SPAN_ALONE are obeyed and kept. Updates its keys by itself before the
 * AES-GCM limit of RFC 8446 section 5.5. ST_OK @down is empty; ST_FULL; ST_E_NOMEM; ST_E_CRYPTO. */
NODISCARD enum status record_seal(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                                  struct bufq *down, struct bufq *out);
/* Appends an alert; level warning for close_notify, else fatal. ST_OK, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status record_seal_alert(struct record_keys *k, struct crypto_ctx *cc,
                                        struct pool *p, uint8_t alert, struct bufq *out);
/* Appends KeyUpdate(update_not_requested) under the present keys and steps to the next ones.
 * Same answers. */
NODISCARD enum status record_seal_update(struct record_keys *k, struct crypto_ctx *cc,
                                         struct pool *p, struct bufq *out);

#endif
