/* proto/shadowsocks/sources.h - what a node remembers of where its users come from, so that few
 * clients cost a search, and what searches may cost in all. Shared by its workers: spin locks held
 * for a few look-ups. Pure.
 *
 * Only who has authenticated is noted, so strangers cannot push anyone out. A source is an IPv4
 * address or an IPv6 /64; each keeps the last SS_SOURCE_USERS users. */
#ifndef PROTO_SHADOWSOCKS_SOURCES_H
#define PROTO_SHADOWSOCKS_SOURCES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define SS_SOURCE_USERS 4u
#define SS_SOURCE_SETS  2048u /* of SS_SOURCE_WAYS sources */
#define SS_SOURCE_WAYS  4u
#define SS_RECENT       1024u /* users seen last, wherever from */

struct arena;
struct ss_source_set;

/* Work of trials, in users tried. */
struct ss_budget {
    atomic_flag lock;
    uint64_t at_us;
    int64_t all;
    int32_t left[1024]; /* of sources, by a keyed hash: who shares one shares its budget */
    uint32_t seen_ms[1024];
};

struct ss_sources {
    uint8_t key[16];
    struct arena *arena;
    struct ss_source_set *sets;
    atomic_flag locks[64];
    struct ss_budget budget;
    _Atomic uint64_t recent[SS_RECENT]; /* uid + 1; 0: none */
};

/* ST_OK or ST_E_NOMEM. */
NODISCARD enum status ss_sources_init(struct ss_sources *s, uint64_t seed);
void ss_sources_fini(struct ss_sources *s);
/* The users that came from @from, the last one first. Returns how many. */
size_t ss_sources_find(struct ss_sources *s, const struct addr *from,
                       uint64_t uids[SS_SOURCE_USERS]);
/* User @uid has authenticated himself from there. */
void ss_sources_note(struct ss_sources *s, const struct addr *from, uint64_t uid);

/* ---- budget ---------------------------------------------------------------------------------- */

/* May @n users be tried for @from? @rate: users a second that the node may try in all for clients
 * it does not find; one source gets an eighth of it. Both save up what SS_BUDGET_BURST_S seconds
 * give, and at least @least, so that one whole search is always possible. False: later. */
#define SS_BUDGET_BURST_S 2
bool ss_sources_take(struct ss_sources *s, const struct addr *from, uint32_t n, uint32_t rate,
                     uint32_t least, uint64_t now_us);
/* Gives back what a client cost that proved to be a user. */
void ss_sources_give(struct ss_sources *s, const struct addr *from, uint32_t n);

#endif
