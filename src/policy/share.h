/* policy/share.h - how fast all users of a node may go together, each with a fair share. Pure, no
 * lock.
 *
 * The node has one bucket a direction (policy/bucket.h), in which turns are booked: its debt is the
 * queue. Each user has one turn booked at a time, whatever number of sessions he has: they use it
 * together, and book the next one when it is spent. So the queue is a round robin of users and not
 * of sessions, and who has nothing to move is not in it: what he leaves is the others'. The turn
 * gets smaller as the queue grows, so that many users do not wait long for each other.
 *
 * What a session did not use goes back to the turn; what is left of a turn that is over goes back
 * to the node when the user books again. What a session moved beyond its turn (the payload of a
 * record that had been read piece by piece) is a debt of the user: it costs him the turns that
 * follow, and nobody else.
 *
 * Rates are in kbit/s of 1000 bits; 0 is no limit. Time is the loop's monotonic clock in
 * microseconds. */
#ifndef POLICY_SHARE_H
#define POLICY_SHARE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/bucket.h"

#define SHARE_TURN_MIN 2048u /* bytes */
#define SHARE_TURN_MAX (4096u * 1024)

/* One direction of a node. */
struct share_queue {
    struct bucket bucket;
    _Atomic uint32_t round_us; /* how long it lately took until a user had his next turn */
};

/* All users of a node. Outlives its views. Zeroed: no limit. */
struct share_total {
    _Atomic uint32_t kbps; /* read at every turn: on a cache line that is rarely written */
    /* In an upgrade: one each direction, down and up, that are another process's as well. NULL: the
     * ones here. */
    _Atomic(struct share_queue *) joint_down;
    _Atomic(struct share_queue *) joint_up;
    _Alignas(64) struct share_queue down; /* of both directions where they share */
    _Alignas(64) struct share_queue up;
};

static inline struct share_queue *share_queue_of(struct share_total *t, bool up)
{
    struct share_queue *joint =
        atomic_load_explicit(up ? &t->joint_up : &t->joint_down, memory_order_acquire);

    return joint != NULL ? joint : up ? &t->up : &t->down;
}

/* A user's turn in one direction: from when it may be used, in the upper bits, and the bytes left
 * of it, which may be less than none. Zeroed: he never had one. */
struct share {
    _Atomic uint64_t turn;
};

/* What one direction of one session took out of its user's turn. Zeroed: nothing. */
struct stake {
    uint32_t bytes;
    uint32_t kbps; /* the rate it was taken at */
    bool all;      /* there was no more */
};

/* How many of @want bytes the session may move now; 0: none before *@wake_us (set only then). Asked
 * again without stake_end between, what was taken before is given back. SIZE_MAX where @kbps
 * is 0. */
size_t stake_room(struct stake *k, struct share *s, struct share_queue *q, uint32_t kbps,
                  size_t want, uint64_t now_us, uint64_t *wake_us);
/* @n bytes were moved. */
void stake_take(struct stake *k, struct share *s, uint64_t n);
/* What the session did not move is its user's again. If it moved all that he had, his next turn is
 * booked: at once, so that one with a single session is not later than one with many. */
void stake_end(struct stake *k, struct share *s, struct share_queue *q, uint64_t now_us);

/* A datagram of @n bytes: true if it may pass now (and is paid for), false if it would have to wait
 * for more than @slack_us: drop it. */
bool share_pass(struct share *s, struct share_queue *q, uint32_t kbps, uint32_t n, uint64_t now_us,
                uint64_t slack_us);
/* A datagram that was let pass is not sent. */
void share_give_back(struct share *s, uint32_t n);

/* From now on @down and @up are the queues, which outlive all use of @t; NULL: its own. @lend: they
 * are zeroed, and begin with what is spent of its own. Any thread. */
void share_total_join(struct share_total *t, struct share_queue *down, struct share_queue *up,
                      bool lend);
/* The rate has changed. Any thread: for the node first, then for each of its users. */
void share_total_set(struct share_total *t, uint32_t kbps);
void share_reset(struct share *s);

#endif
