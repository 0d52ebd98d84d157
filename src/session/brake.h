/* session/brake.h - slows one direction of a relay down: so many bytes are free, the rest is paid
 * from a bucket that fills with time. Pure.
 *
 * Whoever reads asks brake_room before and says brake_take after; a read may take more than there
 * was, which is paid back by waiting longer. */
#ifndef SESSION_BRAKE_H
#define SESSION_BRAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/aux.h"

struct brake {
    uint64_t free_left;   /* bytes that cost nothing; the read that crosses the end is free too */
    uint64_t rate, burst; /* bytes a second, at most that many saved; rate 0: no brake */
    int64_t tokens;
    uint64_t at_us; /* up to when @tokens counts */
    uint32_t rest;  /* millionths of a byte */
    bool waits;     /* was empty: a step is saved before the next read, not every byte */
};

/* Both directions of an adopted relay. */
struct session_brakes {
    struct brake up, down;
};

/* The bucket is full at first. Rates above 2^40 are brought down to it. */
void brake_init(struct brake *b, const struct aux_limit *l, uint64_t now_us);
/* How many bytes may be read now; SIZE_MAX: any number. 0: none before brake_ready_us. */
size_t brake_room(struct brake *b, uint64_t now_us);
/* @n bytes were read. */
void brake_take(struct brake *b, size_t n);
/* When brake_room will not be 0 any more. Only after it was. */
uint64_t brake_ready_us(const struct brake *b);

#endif
