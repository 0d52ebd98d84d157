#include "base/arena.h"
#include "proto/vmess/lookup.h"
#include "proto/vmess/vmess.h"

/* Nothing of the node's object is VMess's own: securities and options are the clients' choice. */
static enum status parse_conf(struct arena *a, const struct json_t *node,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err)
{
    struct vmess_conf *c = arena_alloc(a, sizeof(*c));

    (void)node;
    (void)err;
    if (c == NULL)
        return ST_E_NOMEM;
    vmess_kdf_init(&c->kdf);
    c->drain = ctx->bare;
    *conf = c;
    return ST_OK;
}

static const char *const aliases[] = {"v2ray", NULL};

const struct proto proto_vmess = {
    .name = "vmess",
    .aliases = aliases,
    .parse_conf = parse_conf,
    .server = &vmess_server_ops,
    .users = &vmess_users_ops,
    .shared_size = sizeof(struct vmess_shared),
    .shared_init = vmess_shared_init,
    .shared_fini = vmess_shared_fini,
};
