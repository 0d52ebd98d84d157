#include "panelserver/ratelimit.h"

#include <string.h>

#include "crypto/siphash.h"

void ratelimit_init(struct ratelimit *rl, uint32_t per_s, uint32_t burst, const uint8_t key[16])
{
    memset(rl, 0, sizeof *rl);
    memcpy(rl->key, key, sizeof rl->key);
    if (per_s == RATELIMIT_OFF)
        return;
    rl->cost_us = per_s < 1000000 ? 1000000 / per_s : 1;
    rl->burst_us = rl->cost_us * burst;
}

static struct ratelimit_source *find(struct ratelimit *rl, const struct addr *who)
{
    uint8_t ip[16] = {0};
    if (who->family == ADDR_IP4) {
        memset(ip + 10, 0xff, 2);
        memcpy(ip + 12, who->ip, 4);
    } else {
        memcpy(ip, who->ip, 8);
    }
    struct ratelimit_source *set = rl->sources[siphash_fast(rl->key, ip, 16) % RATELIMIT_SETS];
    struct ratelimit_source *quiet = &set[0];
    for (unsigned i = 0; i < RATELIMIT_WAYS; i++) {
        if (set[i].full_us != 0 && memcmp(set[i].ip, ip, 16) == 0)
            return &set[i];
        if (set[i].full_us < quiet->full_us)
            quiet = &set[i];
    }
    memcpy(quiet->ip, ip, 16);
    quiet->full_us = 0;
    return quiet;
}

uint64_t ratelimit_take(struct ratelimit *rl, const struct addr *who, uint32_t cost,
                        uint64_t now_us)
{
    if (rl->cost_us == 0)
        return 0;
    struct ratelimit_source *s = find(rl, who);
    uint64_t full = s->full_us > now_us ? s->full_us : now_us;
    uint64_t after = full + rl->cost_us * cost;
    if (after - now_us > rl->burst_us)
        return after - now_us - rl->burst_us;
    s->full_us = after;
    return 0;
}

void ratelimit_charge(struct ratelimit *rl, const struct addr *who, uint32_t cost, uint64_t now_us)
{
    if (rl->cost_us == 0)
        return;
    struct ratelimit_source *s = find(rl, who);
    uint64_t full = s->full_us > now_us ? s->full_us : now_us;
    uint64_t most = now_us + 2 * rl->burst_us;
    full += rl->cost_us * cost;
    s->full_us = full < most ? full : most;
}
