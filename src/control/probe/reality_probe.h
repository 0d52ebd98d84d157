/* control/probe/reality_probe.h - looks at the server a REALITY node stands in for, as its
 * clients will see it: reachable, TLS 1.3, group, lengths of its first flight, and on wish
 * certificate, ALPN and the answer to one HTTP request; or what it sends after a handshake. One
 * thread; a connection for each step, one after the other. */
#ifndef CONTROL_PROBE_REALITY_PROBE_H
#define CONTROL_PROBE_REALITY_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "stream/aux.h"
#include "tls/flight.h"
#include "tls/probe_tail.h"

struct loop;
struct resolver;
struct reality_probe;

#define REALITY_PROBE_MS 5000u /* the default deadline, of all steps together */

enum reality_probe_step {
    REALITY_PROBE_FLIGHT = 1, /* always done first: a browser's hello, and how it is answered */
    REALITY_PROBE_CERT = 2,
    REALITY_PROBE_HTTP = 4,
    REALITY_PROBE_TAIL = 8, /* alone: a handshake with one suite, and what follows it by itself */
};

enum reality_probe_tail {
    REALITY_TAIL_UNKNOWN, /* not reached, or no answer: see problem */
    REALITY_TAIL_REFUSED, /* no TLS 1.3 with this suite */
    REALITY_TAIL_LEARNT,
};

struct reality_probe_result {
    /* Why no client could be served with this target; "": it will do. */
    char problem[160];
    bool down;          /* then: not even reachable */
    uint32_t answer_ms; /* from the first packet until its flight was there */
    uint16_t suite, group;
    struct flight_shape shape;
    /* REALITY_PROBE_CERT; cert_problem: why there are no facts. */
    bool has_facts;
    struct tls_probe_facts facts;
    char cert_problem[160];
    /* REALITY_PROBE_HTTP; 0: no answer. */
    int http_status;
    char location[160]; /* where a redirect leads, "" = none */
    enum reality_probe_tail tail;
    uint8_t tail_count;
    uint16_t tail_len[PROBE_TAIL_MAX];
};

/* Everything is borrowed for as long as the probe runs. */
struct reality_probe_conf {
    struct loop *loop;
    struct resolver *resolver;
    const struct aux_dest *dest;
    const char *server_name;
    bool mldsa;     /* the node's certificate is the long one */
    unsigned steps; /* reality_probe_step */
    /* REALITY_PROBE_TAIL */
    enum tls_probe_alpn alpn;
    uint16_t suite;
    uint32_t limit_ms; /* 0: REALITY_PROBE_MS */
    void *arg;
    /* Called once from the loop, never from within reality_probe_start; the probe is gone then. */
    void (*done)(void *arg, const struct reality_probe_result *r);
};

/* NULL: no memory or no randomness. */
struct reality_probe *reality_probe_start(const struct reality_probe_conf *conf);
/* Ends it without an answer. NULL is fine. */
void reality_probe_cancel(struct reality_probe *p);

#endif
