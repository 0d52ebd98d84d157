/* control/config/config_reality.h - what of a REALITY listener is written in config.json; part of
 * struct config_options. */
#ifndef CONTROL_CONFIG_CONFIG_REALITY_H
#define CONTROL_CONFIG_CONFIG_REALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct json_t;

/* LimitFallbackUpload, LimitFallbackDownload: a brake on strangers, as struct aux_limit. */
struct config_reality_limit {
    bool given;
    uint64_t after, rate, burst; /* bytes, bytes a second, bytes a second at times */
};

/* RealityConfig. "" and 0 items: the panel's word counts. */
struct config_reality {
    const char *dest;        /* host:port, a port, a unix socket */
    const char *private_key; /* secret; base64 */
    const char *const *server_names;
    size_t server_name_count;
    const char *const *short_ids; /* hex; "" is one */
    size_t short_id_count;
    const char *min_client_ver, *max_client_ver, *max_time_diff;
    const char *mldsa65_seed; /* secret; base64 */
    bool has_xver;
    uint8_t xver; /* PROXY protocol towards dest */
    struct config_reality_limit up, down;
};

/* What @c holds as the object that conf_context.reality is; NULL if that is nothing. The caller's,
 * for json_unref. ST_OK or ST_E_NOMEM. */
NODISCARD enum status config_reality_json(const struct config_reality *c, struct json_t **out);

#endif
