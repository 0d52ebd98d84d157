/* transport/ws/ws_state.h - what the parts of the WebSocket layer share; nobody else includes this.
 */
#ifndef TRANSPORT_WS_WS_STATE_H
#define TRANSPORT_WS_WS_STATE_H

#include "transport/ws/ws.h"

#define WS_HEAD_US  4000000u /* time for a request's head, as Go's servers are set up */
#define WS_HOLD_US  250000u  /* longest time between a 101 and an answer to early data */
#define WS_PROBE_US 8000u    /* the first Ping meanwhile; the others at twice the time each */

/*  WS_REQUEST --101--> WS_OPEN --Close sent or received, or an error--> WS_CLOSED
 *   |     ^                                                               ^
 *   +-4xx-+ (keep-alive)   +--- broken request ---------------------------+  */
enum ws_phase { WS_REQUEST, WS_OPEN, WS_CLOSED };

struct ws {
    struct layer layer;
    const struct ws_conf *conf;
    /* waits for room in wire_out; a newer one replaces it (RFC 6455 section 5.5.3) */
    struct span *pong;
    union {
        struct { /* WS_REQUEST */
            struct http1_scan scan;
            uint64_t head_by; /* the request has to be whole by then; 0: not asked yet */
        };
        struct {              /* WS_OPEN */
            uint64_t left;    /* payload of the current data frame still to come */
            uint64_t ping_at; /* monotonic us; UINT64_MAX: never */
            uint64_t hold;    /* no payload is sent before this time; 0: go on */
        };
    };
    uint8_t mask[4];
    uint8_t phase;      /* enum ws_phase */
    uint8_t mask_phase; /* offset in the frame's payload, modulo 4 */
    bool in_message;    /* a frame without FIN came last */
    bool spoken;        /* something was sent after the 101 */
    bool close_sent;
};

/* Ends a hold and sets the time of the next heartbeat. */
void ws_release(struct ws *w, uint64_t now_us);

/* Reads requests until one is an upgrade: then the phase is WS_OPEN, early data is in t->up and
 * what was pipelined behind the request still in wire_in. Answers as layer_ops.rx. */
NODISCARD enum status ws_handshake(struct ws *w, struct turn *t);

#endif
