/* tls/test_target.h - the first flight of another TLS 1.3 server, as far as somebody without its
 * keys can tell: a true ServerHello and noise in records of given lengths. For tests; no program
 * links it. */
#ifndef TLS_TEST_TARGET_H
#define TLS_TEST_TARGET_H

#include "tls/flight.h"

struct test_target {
    uint16_t suite, group;
    uint16_t len[FLIGHT_PARTS]; /* totals from FLIGHT_EXTENSIONS on; 0: leave out */
};

/* Answers the ClientHello @msg (message, well formed); returns how many of @cap bytes it wrote. */
size_t test_target_answer(const struct test_target *t, const uint8_t *msg, size_t len, uint8_t *out,
                          size_t cap);
/* The shape of that answer. */
struct flight_shape test_target_shape(const struct test_target *t);

#endif
