/* session/admission.h - how many connections a worker takes, and how many strangers.
 * Single-threaded.
 *
 * Bounds (docs/operations.md, "Limits"): sessions in all; connections without a known user, in all
 * and per source address (an IPv6 source is its /64). */
#ifndef SESSION_ADMISSION_H
#define SESSION_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

struct admission_source;

struct admission {
    size_t sessions, sessions_max;   /* accepting stops at max and resumes at 95 % of it */
    size_t strangers, strangers_max; /* 1/8 of sessions_max */
    /* open addressing, power of two, as many slots as 2 x strangers_max */
    struct admission_source *sources;
    size_t slots;
};

/* For at most @sessions_max sessions (16 at least). ST_OK or ST_E_NOMEM. */
NODISCARD enum status admission_init(struct admission *a, size_t sessions_max);
void admission_fini(struct admission *a);
/* Has the worker room for another session / is it so far below its bound that listeners may go
 * on? */
bool admission_full(const struct admission *a);
bool admission_may_resume(const struct admission *a);
/* A connection from @peer arrives; @source_max strangers per source. False: close it at once. */
bool admission_enter(struct admission *a, const struct addr *peer, uint32_t source_max);
/* A stranger that was counted as @from turns out to come from @to (PROXY protocol). False: @to has
 * @source_max already, and he stays counted as @from. */
bool admission_rename(struct admission *a, const struct addr *from, const struct addr *to,
                      uint32_t source_max);
/* The stranger became a user's session, or ended as a stranger. */
void admission_known(struct admission *a, const struct addr *peer);
/* A session of a user's that is no connection from outside (a stream of a carrier). False: no room.
 */
bool admission_stream(struct admission *a);
/* A session (no stranger any more) ended. */
void admission_leave(struct admission *a);

#endif
