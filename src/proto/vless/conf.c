#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "policy/key_index.h"
#include "proto/vless/header.h"
#include "proto/vless/vless.h"

/* What the panel asks for and this server does not do must stop the node: its users would all be
 * turned away without a word. Encryption is a layer of its own below (transport/vlessenc). */
static enum status parse_conf(struct arena *a, const struct json_t *node,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err)
{
    const char *flow = json_get_str(node, "flow", "");
    struct vless_conf *c;

    bool vision = strcmp(flow, VLESS_FLOW_VISION) == 0;
    if (flow[0] != '\0' && !vision) {
        snprintf(err->text, sizeof(err->text), "vless flow: unknown: %.64s", flow);
        return ST_E_CONFIG;
    }
    c = arena_alloc(a, sizeof(*c));
    if (c == NULL)
        return ST_E_NOMEM;
    c->fallback = ctx->fallback;
    c->vision = vision;
    *conf = c;
    return ST_OK;
}

static const char *const aliases[] = {NULL};

const struct proto proto_vless = {
    .name = "vless",
    .aliases = aliases,
    .parse_conf = parse_conf,
    .server = &vless_server_ops,
    .users = &uuid_index_ops,
};
