#include "control/config/config_keys.h"

#include "codec/json.h"

static const struct config_key timeout_keys[] = {
    {"handshake", .kind = KIND_MS, .unit = 1000, .min = 100, .max = 600000,
     .offset = offsetof(struct view_timeouts, handshake)},
    {"connIdle", .kind = KIND_MS, .unit = 1000, .min = 1000, .max = 30u * 86400000u,
     .offset = offsetof(struct view_timeouts, idle)},
    {"uplinkOnly", .kind = KIND_MS, .unit = 1000, .max = 86400000,
     .offset = offsetof(struct view_timeouts, uplink_only)},
    {"downlinkOnly", .kind = KIND_MS, .unit = 1000, .max = 86400000,
     .offset = offsetof(struct view_timeouts, downlink_only)},
    {"bufferSize", .state = KEY_IGNORED, .why = "buffers grow and shrink with what moves"},
};
static const struct config_scope timeout_scope = {"XrayConnectionConfig", timeout_keys,
                                                  sizeof(timeout_keys) / sizeof(timeout_keys[0]),
                                                  CONFIG_NO_BITS};

/* Xray's handshake bound is 4 s. One lost segment on a slow mobile path costs 1 s, the next 2 s
 * more, and TLS over raw TCP has two flights to lose: 8 s lets such clients in, and a silent peer
 * is still cheap to hold that long. The Go programs set connIdle to 30 s, which cuts idle SSH and
 * push connections; 300 s is what Xray itself does. */
void config_timeouts_init(struct view_timeouts *t)
{
    *t = (struct view_timeouts){
        .handshake = 8000,
        .idle = 300000,
        .uplink_only = 2000,
        .downlink_only = 4000,
    };
}

bool config_read_timeouts(struct config_reader *r, const struct config_path *at,
                          const struct json_t *v, void *dst)
{
    struct config_core *core = dst;
    if (!json_is_object(v)) {
        config_report(r, CONFIG_ERROR, at, "must be an object in braces { }");
        return false;
    }
    config_walk(r, at, v, &timeout_scope, ~0u, &core->timeouts);
    return true;
}
