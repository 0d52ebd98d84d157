/* transport/reality/reality_tails.h - the records that a target sends after its handshakes, as far
 * as they were learnt. One thread learns, all workers read; nothing is ever changed in place. Pure.
 *
 * Life: empty -> reality_tails_publish, again at every change; a list that was published lives as
 * long as the configuration. */
#ifndef TRANSPORT_REALITY_TAILS_H
#define TRANSPORT_REALITY_TAILS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "tls/flight.h"

/* One may have come with the flight. */
#define REALITY_TAIL_MAX (FLIGHT_EMPTY_MAX - 1u)

/* Records that the target sends after the handshake, before it is asked anything. */
struct reality_tail {
    const char *server_name;
    uint16_t suite; /* 0: any */
    uint8_t alpn;   /* the client's first protocol: 2 h2, 1 another, 0 none */
    uint8_t count;
    uint16_t len[REALITY_TAIL_MAX]; /* totals */
};

struct reality_tail_list {
    size_t count;
    const struct reality_tail *at;
};

/* Zeroed: nothing is known. */
struct reality_tails {
    _Atomic(const struct reality_tail_list *) now;
};

/* Any thread. The tail for a client of @name with first protocol class @alpn under @suite; NULL:
 * none known. @t may be NULL. */
const struct reality_tail *reality_tails_find(const struct reality_tails *t, struct reader name,
                                              uint8_t alpn, uint16_t suite);
/* The learner's thread. @l and what it points at stay as they are for the configuration's life. */
void reality_tails_publish(struct reality_tails *t, const struct reality_tail_list *l);

#endif
