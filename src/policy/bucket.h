/* policy/bucket.h - how fast one user may go, over all his sessions and all workers. Pure, no lock.
 *
 * A bucket is the virtual time up to which its rate is spent (GCRA) in one 64-bit word. A direction
 * of a session books a quantum with one compare-and-swap, even when that makes a debt: the quantum
 * says itself when it may be used. So sessions take turns in the order in which they asked, nobody
 * polls, and there is no timer of the user. What one books is 32 ms of the rate, and less the more
 * sessions wait, so that none waits for long. After a pause a user may move 100 ms of his rate at
 * once.
 *
 * Rates are in kbit/s of 1000 bits (125 bytes a second); 0 is no limit. Time is the loop's
 * monotonic clock in microseconds. */
#ifndef POLICY_BUCKET_H
#define POLICY_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUCKET_QUANTUM_MIN 2048u /* less is not worth a turn */
#define BUCKET_QUANTUM_MAX (4096u * 1024)
#define BUCKET_BURST_MIN   (16u * 1024) /* bytes that a rested user may move at once, at any rate */
#define BUCKET_LOOK_US     250000u      /* who waits looks again after that: rates change */

/* Zeroed: nothing is spent. */
struct bucket {
    _Atomic uint64_t spent; /* virtual time, 1/16 ns */
};

/* What one direction of one session has booked. Zeroed: nothing. */
struct pace {
    uint64_t at_us;   /* from when it may be used */
    uint32_t granted; /* bytes */
    uint32_t kbps;    /* the rate it was booked at */
};

/* How many bytes the session may move now: SIZE_MAX without a limit; 0: none before
 * pace_wake_us. */
size_t pace_room(struct pace *p, struct bucket *b, uint32_t kbps, uint64_t now_us);
/* @n bytes were moved. What is more than was granted becomes a debt of the bucket. */
void pace_take(struct pace *p, struct bucket *b, uint64_t n);
/* When to ask again, after pace_room was 0. */
uint64_t pace_wake_us(const struct pace *p, uint64_t now_us);
/* The session ends: what it booked and did not use is the others'. */
void pace_end(struct pace *p, struct bucket *b);

/* Books @n bytes however long they have to wait; returns from when they may be used. */
uint64_t bucket_book(struct bucket *b, uint32_t kbps, uint32_t n, uint64_t now_us);
/* @n bytes that were booked are not used. */
void bucket_unbook(struct bucket *b, uint32_t kbps, uint32_t n);
/* How long who books now has to wait. */
uint64_t bucket_wait_us(const struct bucket *b, uint32_t kbps, uint64_t now_us);

/* A datagram of @n bytes: true if it may pass now (and is paid for), false if it would have to wait
 * for more than @slack_us: drop it. */
bool bucket_pass(struct bucket *b, uint32_t kbps, size_t n, uint64_t now_us, uint64_t slack_us);
/* The rate has changed: the debts of the old one are forgotten. Any thread. */
void bucket_reset(struct bucket *b);

#endif
