/* control/config/config_stats.h - the stats API and the metrics page as config.json has them;
 * parts of struct config. */
#ifndef CONTROL_CONFIG_CONFIG_STATS_H
#define CONTROL_CONFIG_CONFIG_STATS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

#define CONFIG_STATS_NAMES_MAX 1000000u

/* Tags or user names; "*" among them: all. */
struct config_stats_names {
    const char *const *list;
    size_t count;
};

/* experimental.v2ray_api */
struct config_stats {
    struct addr listen; /* family 0: there is no API */
    bool enabled;       /* stats.enabled: without it the address is served, but not the service */
    struct config_stats_names inbounds, outbounds, users;
};

/* Metrics */
struct config_metrics {
    struct addr listen; /* family 0: there is no page */
    bool users;         /* a series for each user */
};

#endif
