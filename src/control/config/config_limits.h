/* control/config/config_limits.h - the limits of a node as config.json or its panel describe
 * them. */
#ifndef CONTROL_CONFIG_CONFIG_LIMITS_H
#define CONTROL_CONFIG_CONFIG_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* 0 = unlimited. (docs/configuration.md, "Limits of users".) */
struct config_limits {
    uint32_t speed_kbps, device, conn; /* of each user */
    uint32_t total_kbps;               /* NodeTotalSpeedLimit: of all users together */
    /* EnableDynamicSpeedLimit: who moves so many bytes within a period ... */
    bool dynamic;
    uint64_t dynamic_traffic; /* both directions */
    uint32_t dynamic_period_s;
    uint32_t dynamic_warnings; /* periods that go unpunished */
    /* ... is held to that for so long. */
    uint32_t dynamic_speed_kbps, dynamic_expire_s;
    uint32_t dynamic_usual_kbps; /* AutoSpeedLimitConfig.Limit; 0: dynamic_traffic as written */
};

/* Is there a dynamic limit? It needs both its traffic and its rate. */
static inline bool config_limits_dynamic(const struct config_limits *l)
{
    return l->dynamic && l->dynamic_traffic > 0 && l->dynamic_speed_kbps > 0 &&
           l->dynamic_period_s > 0 && l->dynamic_expire_s > 0;
}

#endif
