#include "control/node/view_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "codec/json.h"
#include "control/node/node_rules.h"
#include "control/node/self_cert.h"
#include "registry/registry.h"
#include "tls/cert.h"

/* Xray-core's patience with a silent client, and what a lost segment of a ClientHello may take. */
#define SNIFF_FIRST_MS 200
#define SNIFF_WHOLE_MS 1000

struct served_node *served_node_ref(struct served_node *s)
{
    s->refs++;
    return s;
}

void served_node_unref(struct served_node *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    for (unsigned i = 0; i < s->conf_count; i++)
        if (s->confs[i].free_conf != NULL)
            s->confs[i].free_conf(s->confs[i].conf);
    node_rules_free(s->rules);
    arena_free(s->arena);
    free(s);
}

/* ---- certificates ---- */

static uint64_t stamp_of(const char *path)
{
    struct stat st;

    if (path == NULL || path[0] == '\0' || stat(path, &st) != 0)
        return 0;
    return ((uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec) * 31u +
           (uint64_t)st.st_size * 7u + (uint64_t)st.st_ino;
}

static uint64_t cert_stamp(const struct served_node *s)
{
    if (s->cert_file == NULL)
        return 0;
    return stamp_of(s->cert_file) * 3u + stamp_of(s->key_file);
}

uint64_t served_node_cert_now(const struct served_node *s)
{
    if (s->cert_file == NULL || stamp_of(s->cert_file) == 0 || stamp_of(s->key_file) == 0)
        return 0;
    return cert_stamp(s);
}

static enum status choose_cert(struct served_node *s, const struct config_cert *c,
                               struct conf_context *ctx, char problem[NODE_PROBLEM_MAX])
{
    const char *domain = c->domain[0] != '\0' ? c->domain : ctx->server_name;
    bool named = c->cert_file[0] != '\0' && c->key_file[0] != '\0';

    ctx->cert_domain = domain;
    ctx->reject_unknown_sni = c->reject_unknown_sni;
    if (c->mode == CONFIG_CERT_FILE && !named) {
        snprintf(problem, NODE_PROBLEM_MAX, "CertConfig: CertFile and KeyFile are needed");
        return ST_E_CONFIG;
    }
    if (c->mode == CONFIG_CERT_SELF && named && domain != NULL)
        /* The same certificate at every start; where it cannot be written it is made for this one.
         */
        self_cert_ensure(c->cert_file, c->key_file, domain);
    bool there = named && stamp_of(c->cert_file) != 0 && stamp_of(c->key_file) != 0;
    if (c->mode == CONFIG_CERT_FILE || there) {
        ctx->cert_file = c->cert_file;
        ctx->key_file = c->key_file;
        s->cert_file = arena_strdup(s->arena, c->cert_file);
        s->key_file = arena_strdup(s->arena, c->key_file);
        if (s->cert_file == NULL || s->key_file == NULL)
            return ST_E_NOMEM;
        s->cert_stamp = cert_stamp(s);
    } else {
        ctx->self_signed = true;
        if (c->mode != CONFIG_CERT_SELF)
            snprintf(s->notice, sizeof(s->notice),
                     "certificates cannot be obtained yet: a self-signed one is used until %.80s "
                     "and its key are there",
                     named ? c->cert_file : "CertFile");
    }
    return ST_OK;
}

/* ---- the chain ---- */

static enum status unsupported(char problem[NODE_PROBLEM_MAX], const char *what, const char *word)
{
    snprintf(problem, NODE_PROBLEM_MAX, "%s %.40s is not supported yet", what, word);
    return ST_E_UNSUPPORTED;
}

static enum status add_stage(struct served_node *s, const struct layer_ops *ops, const void *conf,
                             void (*free_conf)(const void *), char problem[NODE_PROBLEM_MAX])
{
    unsigned n = s->node.stage_count;

    s->confs[s->conf_count].free_conf = free_conf;
    s->confs[s->conf_count++].conf = conf;
    if (ops == NULL)
        return ST_OK; /* the network adds nothing of its own */
    enum port_kind below = n == 0 ? PORT_BYTES : s->node.stages[n - 1].ops->plain;
    if (ops->wire != below) {
        snprintf(problem, NODE_PROBLEM_MAX, "%s cannot run on %s", ops->name,
                 n == 0 ? "a connection" : s->node.stages[n - 1].ops->name);
        return ST_E_CONFIG;
    }
    s->node.stages[n] = (struct view_stage){.ops = ops, .conf = conf};
    s->node.stage_count = n + 1;
    return ST_OK;
}

static enum status add_transport(struct served_node *s, const struct transport *t,
                                 const struct json_t *settings, const struct conf_context *ctx,
                                 char problem[NODE_PROBLEM_MAX])
{
    struct conf_error err = {""};
    const void *conf = NULL;
    enum status st = t->parse_conf(s->arena, settings, ctx, &conf, &err);

    if (st != ST_OK) {
        snprintf(problem, NODE_PROBLEM_MAX, "%.150s", err.text);
        return st;
    }
    return add_stage(s, t->server, conf, t->free_conf, problem);
}

static enum status add_proto(struct served_node *s, const struct proto *p,
                             const struct json_t *node, const struct conf_context *ctx,
                             char problem[NODE_PROBLEM_MAX])
{
    struct conf_error err = {""};
    const void *conf = NULL;
    enum status st = p->parse_conf(s->arena, node, ctx, &conf, &err);

    if (st != ST_OK) {
        snprintf(problem, NODE_PROBLEM_MAX, "%.150s", err.text);
        return st;
    }
    if (err.text[0] != '\0')
        snprintf(s->notice, sizeof(s->notice), "%.180s", err.text);
    s->proto = p;
    s->proto_conf = conf;
    s->node.packets = p->packets;
    s->node.packets_conf = conf;
    return add_stage(s, p->server, conf, p->free_conf, problem);
}

static enum status add_security(struct served_node *s, const struct transport *t,
                                const struct node_config *c, struct conf_context *ctx,
                                char problem[NODE_PROBLEM_MAX])
{
    struct json_t *local = NULL;
    enum status st = config_reality_json(&c->options.reality, &local);

    if (st != ST_OK)
        return st;
    ctx->reality = local;
    st = add_transport(s, t, c->object.tls_settings, ctx, problem);
    ctx->reality = NULL;
    json_unref(local);
    return st;
}

static bool is_given(const char *word)
{
    return word != NULL && strcmp(word, "none") != 0;
}

/* VLESS encryption lies right below VLESS, whatever carries it. */
static enum status add_encryption(struct served_node *s, const struct node_config *c,
                                  const struct conf_context *ctx, char problem[NODE_PROBLEM_MAX])
{
    const struct transport *t = registry_transport("mlkem768x25519plus");

    if (strcmp(c->type, "vless") != 0 ||
        (!is_given(c->object.encryption) && !is_given(c->object.decryption)))
        return ST_OK;
    return t != NULL ? add_transport(s, t, c->object.node, ctx, problem)
                     : unsupported(problem, "encryption", c->object.encryption);
}

static enum status build_chain(struct served_node *s, const struct node_config *c,
                               char problem[NODE_PROBLEM_MAX])
{
    bool secured = strcmp(c->security, "none") != 0;
    const struct transport *security = secured ? registry_transport(c->security) : NULL;
    const struct transport *network = registry_transport(c->network);
    const struct proto *proto = registry_proto(c->type);
    struct conf_context ctx = {.server_name = c->server_name,
                               .tls_engine =
                                   c->options.tls_openssl ? TLS_ENGINE_OPENSSL : TLS_ENGINE_AUTO,
                               .trusted_xff = c->options.trusted_xff,
                               .trusted_xff_count = c->options.trusted_xff_count,
                               .fallback = s->node.fallback != NULL};
    enum status st;

    if (proto == NULL)
        return unsupported(problem, "node_type", c->type);
    if (secured && (security == NULL || security->role != TRANSPORT_SECURITY))
        return unsupported(
            problem, "tls:", strcmp(c->security, "reality") == 0 ? "2 (REALITY)" : c->security);
    if (network == NULL || network->role != TRANSPORT_NETWORK)
        return unsupported(problem, "network", c->network);
    ctx.alpn = network->alpn;
    while (ctx.alpn != NULL && ctx.alpn[ctx.alpn_count] != NULL)
        ctx.alpn_count++;
    /* REALITY shows the certificate of its target. */
    if (strcmp(c->security, "tls") == 0 &&
        (st = choose_cert(s, &c->options.cert, &ctx, problem)) != ST_OK)
        return st;
    if (secured && (st = add_security(s, security, c, &ctx, problem)) != ST_OK)
        return st;
    if ((st = add_transport(s, network, c->object.network_settings, &ctx, problem)) != ST_OK)
        return st;
    if ((st = add_encryption(s, c, &ctx, problem)) != ST_OK)
        return st;
    ctx.bare = s->node.stage_count == 0;
    return add_proto(s, proto, c->object.node, &ctx, problem);
}

/* ---- the listener ---- */

static enum status build_fallback(struct served_node *s, const struct config_options *o,
                                  char problem[NODE_PROBLEM_MAX])
{
    size_t bad = 0;

    if (!o->fallback || o->fallback_count == 0)
        return ST_OK;
    enum status st =
        fallback_build(s->arena, o->fallbacks, o->fallback_count, &s->node.fallback, &bad);
    if (st == ST_E_CONFIG)
        snprintf(problem, NODE_PROBLEM_MAX, "FallBackConfigs[%zu]: cannot be used", bad);
    return st;
}

static void build_listen(struct view_node *v, const struct config_options *o, uint16_t port)
{
    bool four = false;

    for (unsigned i = 0; i < o->listen_count && i < VIEW_LISTEN_MAX; i++) {
        v->listen[i] = o->listen[i];
        if (v->listen[i].port == 0)
            v->listen[i].port = port;
        four = four || v->listen[i].family == ADDR_IP4;
    }
    v->listen_count = o->listen_count;
    if (v->listen_count == 0) {
        v->listen[0] = (struct addr){.family = ADDR_IP4, .port = port};
        v->listen_count = 1;
    }
    /* Beside an IPv4 address "::" would take its port as well. */
    v->listen_v6only = four;
}

static enum status copy_cidrs(struct served_node *s, const struct config_options *o)
{
    if (o->proxy_from_count == 0)
        return ST_OK;
    struct cidr *c = arena_alloc(s->arena, o->proxy_from_count * sizeof(*c));
    if (c == NULL)
        return ST_E_NOMEM;
    memcpy(c, o->proxy_from, o->proxy_from_count * sizeof(*c));
    s->node.proxy_from = c;
    s->node.proxy_from_count = o->proxy_from_count;
    return ST_OK;
}

static enum status fill(struct served_node *s, const struct config_node *conf,
                        const struct node_config *c, char problem[NODE_PROBLEM_MAX])
{
    const struct config_options *o = &c->options;
    struct view_node *v = &s->node;
    enum status st;

    v->tag = arena_strdup(s->arena, conf->tag);
    s->type = arena_strdup(s->arena, c->type);
    s->network = arena_strdup(s->arena, c->network);
    s->security = arena_strdup(s->arena, c->security);
    s->cert_domain = arena_strdup(s->arena, o->cert.domain);
    s->cert_mode = o->cert.mode;
    if (v->tag == NULL || s->type == NULL || s->network == NULL || s->security == NULL ||
        s->cert_domain == NULL)
        return ST_E_NOMEM;
    build_listen(v, o, c->port);
    v->tfo = o->tfo;
    v->proxy_protocol = o->proxy_protocol ||
                        json_get_bool(c->object.network_settings, "acceptProxyProtocol", false);
    v->timeouts = conf->timeouts;
    v->send_ip4 = o->send_ip4;
    v->send_ip6 = o->send_ip6;
    v->ip_strategy = o->ip_strategy;
    v->allow_private = o->allow_private;
    if (!o->disable_sniffing)
        v->sniff = (struct view_sniff){.first_ms = SNIFF_FIRST_MS, .whole_ms = SNIFF_WHOLE_MS};
    v->source_max = o->source_max;
    v->device_bits4 = (uint8_t)o->device_prefix4;
    v->device_bits6 = (uint8_t)o->device_prefix6;
    v->device_kick = o->device_kick;
    v->device_private = o->device_private;
    v->device_grace_s = o->device_grace_s;
    v->speed_shared = o->speed_shared;
    v->memory = s;
    s->port = c->port;
    s->pull_s = c->pull_s;
    s->push_s = c->push_s;
    s->report_min = c->report_min;
    s->online_min = c->online_min;
    s->limits = o->limits;
    s->drain_ms = o->drain_ms;
    s->mass_delete_guard = o->mass_delete_guard;
    s->device_limit_kick = o->device_limit_kick;
    memcpy(s->notice, c->notice, sizeof(s->notice));
    if (s->notice[0] == '\0' && c->tls_elsewhere)
        snprintf(s->notice, sizeof(s->notice),
                 "the panel says TLS, CertMode is none: the listener is plain, a proxy in front is "
                 "expected to end TLS");
    if (s->notice[0] == '\0' && o->limits.dynamic && !config_limits_dynamic(&o->limits))
        snprintf(s->notice, sizeof(s->notice),
                 "EnableDynamicSpeedLimit has no effect: DynamicSpeedLimitConfig needs Traffic, "
                 "SpeedLimit, Periodic and ExpireTime, none of them 0");
    if ((st = copy_cidrs(s, o)) != ST_OK || (st = build_fallback(s, o, problem)) != ST_OK)
        return st;
    return build_chain(s, c, problem);
}

int64_t served_node_cert_end(const struct served_node *s)
{
    struct cert c = {0};
    struct cert_error err;
    int64_t at = 0;

    if (s->cert_file == NULL || s->cert_file[0] == '\0')
        return 0;
    if (cert_load(&c, s->cert_file, s->key_file, &err) == ST_OK)
        at = cert_not_after(&c);
    cert_fini(&c);
    return at;
}

enum status view_builder_make(const struct config_node *conf, const struct json_t *reply,
                              struct served_node **out, char problem[NODE_PROBLEM_MAX])
{
    struct served_node *s = calloc(1, sizeof(*s));
    struct arena *scratch = arena_new();
    struct node_config c;
    enum status st = ST_E_NOMEM;

    *out = NULL;
    problem[0] = '\0';
    if (s == NULL || scratch == NULL || (s->arena = arena_new()) == NULL)
        goto out;
    s->refs = 1;
    if ((st = node_config_read(scratch, conf, reply, &c, problem)) != ST_OK ||
        (st = fill(s, conf, &c, problem)) != ST_OK)
        goto out;
    s->hash = v2sp_node_object_hash(reply);
    *out = s;
    s = NULL;
out:
    if (s != NULL && s->arena != NULL)
        served_node_unref(s);
    else
        free(s);
    if (scratch != NULL)
        arena_free(scratch);
    if (st == ST_E_NOMEM && problem[0] == '\0')
        snprintf(problem, NODE_PROBLEM_MAX, "out of memory");
    return st;
}
