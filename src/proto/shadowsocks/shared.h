/* proto/shadowsocks/shared.h - what all workers of a node have in common (struct proto, shared). */
#ifndef PROTO_SHADOWSOCKS_SHARED_H
#define PROTO_SHADOWSOCKS_SHARED_H

#include "policy/seen.h"
#include "policy/sources.h"
#include "policy/trial_budget.h"

#define SS_RECENT 1024u /* users seen last, wherever from */

/* What is refused, counted by cause. */
enum ss_cause {
    SS_CAUSE_UNKNOWN,   /* no key of ours, or an identity that nobody has */
    SS_CAUSE_REPLAY,    /* a salt or packet number seen before */
    SS_CAUSE_STALE,     /* a timestamp more than 30 s off */
    SS_CAUSE_MALFORMED, /* authentic, but broken inside */
    SS_CAUSE_SHORT,     /* a datagram too small to be one */
    SS_CAUSES,
};

struct ss_shared {
    struct seen salts;
    struct sources sources; /* users by uid */
    struct trial_budget budget;
    _Atomic uint64_t recent[SS_RECENT]; /* uid + 1 at uid % SS_RECENT; 0: none */
    uint64_t seed;
    _Atomic uint64_t refused[SS_CAUSES];
};

static inline void ss_refuse(struct ss_shared *s, enum ss_cause cause)
{
    atomic_fetch_add_explicit(&s->refused[cause], 1, memory_order_relaxed);
}

/* A short text for logs. */
static inline const char *ss_cause_text(enum ss_cause cause)
{
    static const char *const texts[SS_CAUSES] = {
        [SS_CAUSE_UNKNOWN] = "shadowsocks: no key fits",
        [SS_CAUSE_REPLAY] = "shadowsocks: played back",
        [SS_CAUSE_STALE] = "shadowsocks: the client's clock is more than 30 s off",
        [SS_CAUSE_MALFORMED] = "shadowsocks: broken request",
        [SS_CAUSE_SHORT] = "shadowsocks: too short",
    };
    return texts[cause];
}

#endif
