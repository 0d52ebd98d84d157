/* panelserver/ratelimit.h - a token bucket for each source address, in a table of fixed size. Pure;
 * time is an argument.
 *
 * IPv6 sources count by /64, what one household or server gets. When a set of the table is full the
 * source that has been quiet longest is forgotten: a flood of addresses costs strangers their
 * history, never memory. */
#ifndef PANELSERVER_RATELIMIT_H
#define PANELSERVER_RATELIMIT_H

#include <stdint.h>

#include "base/addr.h"

#define RATELIMIT_OFF  UINT32_MAX
#define RATELIMIT_SETS 512u
#define RATELIMIT_WAYS 4u

struct ratelimit {
    uint64_t cost_us;  /* what one request takes from the bucket, in time to refill it */
    uint64_t burst_us; /* what the bucket holds */
    uint8_t key[16];   /* of the hash, random */
    struct ratelimit_source {
        uint8_t ip[16];   /* IPv4 mapped, IPv6 cut to /64 */
        uint64_t full_us; /* when the bucket will be full again; 0: never used */
    } sources[RATELIMIT_SETS][RATELIMIT_WAYS];
};

/* @per_s requests a second on average, @burst at once (both at least 1; @per_s RATELIMIT_OFF: no
 * limit). @key: 16 random bytes. */
void ratelimit_init(struct ratelimit *rl, uint32_t per_s, uint32_t burst, const uint8_t key[16]);
/* Takes @cost requests from the bucket of @who. Returns 0, or, when they are not there, how many
 * microseconds until they are; then nothing was taken. */
uint64_t ratelimit_take(struct ratelimit *rl, const struct addr *who, uint32_t cost,
                        uint64_t now_us);
/* Takes @cost requests even into debt, which is bounded by one more full bucket. */
void ratelimit_charge(struct ratelimit *rl, const struct addr *who, uint32_t cost, uint64_t now_us);

#endif
