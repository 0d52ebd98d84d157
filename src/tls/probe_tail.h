/* tls/probe_tail.h - which records another server sends once a handshake is over, before it is
 * asked anything: tickets, HTTP/2's SETTINGS. OpenSSL's client in memory, record by record. Pure.
 *
 * Life: probe_tail_init -> probe_tail_take -> (probe_tail_feed -> probe_tail_take)* until ready ->
 * probe_tail_begin, when everything is sent -> probe_tail_feed for as long as one likes to wait ->
 * probe_tail_fini. */
#ifndef TLS_PROBE_TAIL_H
#define TLS_PROBE_TAIL_H

#include "tls/probe.h"
#include "tls/record.h"

#define PROBE_TAIL_MAX 31u /* records; what a client takes in a row, and one in the flight */

struct probe_tail {
    struct tls_probe *tls;
    size_t have; /* bytes of the record in @record */
    bool ready;  /* the handshake is done */
    bool counts; /* from now on, but for a record that has begun before */
    bool half;   /* such a record is in @record */
    bool over;   /* an alert, or more than can be counted: no more is */
    uint8_t count;
    uint16_t len[PROBE_TAIL_MAX]; /* totals */
    uint8_t record[RECORD_HEADER + RECORD_CIPHER_MAX];
};

/* As tls_probe_new_suite. */
NODISCARD enum status probe_tail_init(struct probe_tail *t, const char *name,
                                      enum tls_probe_alpn alpn, uint16_t suite);
void probe_tail_fini(struct probe_tail *t); /* safe on a zeroed one and twice */
/* Takes @len bytes that the server sent (0: just begin). ST_MORE: the handshake goes on; ST_OK: it
 * is done; ST_EOF: done, and the server has ended the connection; ST_E_PROTO: no TLS 1.3 with this
 * suite, tls_probe_error says why; ST_E_NOMEM. */
NODISCARD enum status probe_tail_feed(struct probe_tail *t, const uint8_t *in, size_t len);
/* Bytes for the server, at most @cap; returns how many. */
size_t probe_tail_take(struct probe_tail *t, void *out, size_t cap);
/* What was fed until here came with the server's flight; what comes from now on is its tail. */
void probe_tail_begin(struct probe_tail *t);

#endif
