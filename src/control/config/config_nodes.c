/* Entries of "Nodes" become nodes: each on its own, the bad ones left out. */
#include "control/config/config_keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/hash.h"

struct entry {
    struct entry *next;
    struct config_node node;
};

struct config_nodes {
    const struct config_core *cores;
    size_t core_count;
    struct entry *first, *last;
    size_t count;
};

struct config_nodes *config_nodes_new(struct config_reader *r, const struct config_core *cores,
                                      size_t core_count)
{
    struct config_nodes *ns = config_alloc(r, sizeof(*ns));
    if (ns != NULL) {
        ns->cores = cores;
        ns->core_count = core_count;
    }
    return ns;
}

/* Member @name or @alias of @obj, and its name as written. */
static const struct json_t *member(const struct json_t *obj, const char *name, const char *alias,
                                   const char **written)
{
    const struct json_t *found = NULL;
    if (json_is_array(obj))
        return NULL;
    for (void *it = json_first(obj); it != NULL; it = json_next(obj, it)) {
        const char *key = json_iter_key(it);
        if (strcasecmp(key, name) == 0 || (alias != NULL && strcasecmp(key, alias) == 0)) {
            found = json_iter_value(it);
            *written = key;
        }
    }
    return json_is_null(found) ? NULL : found;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The length of scheme, host and port in an address of a panel, without a port that the scheme has
 * anyway; *@path is what follows. */
static size_t authority(const char *url, const char **path)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;
    const char *port = tls ? ":443" : ":80", *host = strstr(url, "://");
    size_t n = strlen(port), end = host == NULL ? 0 : (size_t)(host + 3 - url);

    end += strcspn(url + end, "/?#");
    *path = url + end;
    return end > n && strncmp(url + end - n, port, n) == 0 ? end - n : end;
}

/* The same panel: letter case, trailing slashes and a port that its scheme has anyway do not make
 * another one of it. */
static bool same_host(const char *a, const char *b)
{
    const char *p, *q;
    size_t i = authority(a, &p), k = authority(b, &q), n = strlen(p), m = strlen(q);

    while (n > 0 && p[n - 1] == '/')
        n--;
    while (m > 0 && q[m - 1] == '/')
        m--;
    return i == k && strncasecmp(a, b, i) == 0 && n == m && strncasecmp(p, q, n) == 0;
}

char *config_node_identity(const struct config_node *node, char dst[CONFIG_IDENTITY_MAX])
{
    snprintf(dst, CONFIG_IDENTITY_MAX, "%s|%" PRIu64 "|%s", node->api.host, node->api.node_id,
             node->api.node_type);
    return dst;
}

bool config_node_same(const struct config_node *a, const struct config_node *b)
{
    return a->api.node_id == b->api.node_id && same_host(a->api.host, b->api.host) &&
           same_text(a->api.node_type, b->api.node_type);
}

bool config_node_equal(const struct config_node *a, const struct config_node *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* The name to use in findings before anything is checked. */
static const char *draft_tag(struct config_reader *r, const struct config_path *at,
                             const struct json_t *api, const struct json_t *opt)
{
    const char *name = json_get_str(opt, "Name", "");
    const char *host = json_get_str(api, "ApiHost", "");
    const char *type = json_get_str(api, "NodeType", "");
    int64_t id = json_get_int(api, "NodeID", 0);
    char place[64];
    char *tag;
    if (*name != '\0')
        tag = arena_printf(r->a, "%.64s", name);
    else if (*host != '\0' && id > 0)
        tag = arena_printf(r->a, "[%.200s]-%.16s:%lld", host, type, (long long)id);
    else
        tag = arena_strdup(r->a, config_path_str(at, place, sizeof(place)));
    if (tag == NULL)
        r->nomem = true;
    return tag != NULL ? tag : "";
}

static const char *final_tag(struct config_reader *r, const struct config_draft *d)
{
    if (d->name[0] != '\0')
        return d->name;
    char *tag = arena_printf(r->a, "[%s]-%s:%llu", d->api.host, d->api.node_type,
                             (unsigned long long)d->api.node_id);
    if (tag == NULL)
        r->nomem = true;
    return tag != NULL ? tag : "";
}

/* The core that serves the node; NULL with an error if it names none of ours. */
static const struct config_core *choose_core(struct config_reader *r, const struct config_path *at,
                                             const struct config_nodes *ns,
                                             const struct config_draft *d)
{
    static const char *const ours[] = {"", "xray", "sing", "v2sp"};
    bool known = false;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        known = known || strcasecmp(d->core, ours[i]) == 0;
    if (!known) {
        config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "Core"),
                      "\"%.32s\" is no core of v2sp (xray, sing and v2sp all mean the one that is "
                      "built in)",
                      d->core);
        return NULL;
    }
    for (size_t i = 0; i < ns->core_count; i++) {
        const struct config_core *c = &ns->cores[i];
        if (d->core_name[0] == '\0' ? c->usable : same_text(d->core_name, c->name)) {
            if (c->usable)
                return c;
            config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "CoreName"),
                          "the core \"%.32s\" is of type %.32s, which v2sp does not have", c->name,
                          c->type);
            return NULL;
        }
    }
    if (d->core_name[0] == '\0')
        return &ns->cores[ns->core_count]; /* the built-in one stands behind the last */
    config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "CoreName"),
                  "no entry of Cores has the Name \"%.64s\"", d->core_name);
    return NULL;
}

/* Switched off, or left to the panel: whatever stands in it is not read (XrayR's meaning). */
static bool reality_is_off(const struct json_t *opt)
{
    const char *key;
    const struct json_t *on = member(opt, "EnableREALITY", NULL, &key);
    return (on != NULL && !json_get_bool(opt, "EnableREALITY", true)) ||
           json_get_bool(opt, "DisableLocalREALITYConfig", false);
}

/* What only shows when the whole node is read. */
static void check_draft(struct config_reader *r, const struct config_path *at,
                        const struct config_path *api_at, const struct config_path *opt_at,
                        struct config_draft *d)
{
    struct config_options *o = &d->opt;
    o->reality_on = o->reality_on && !d->reality_off;
    bool clean = !r->node_bad;
    if (clean && d->api.host[0] == '\0')
        config_report(r, CONFIG_ERROR, at, "ApiHost is missing: the URL of the panel");
    if (clean && d->api.key[0] == '\0')
        config_report(r, CONFIG_ERROR, at, "ApiKey is missing: the panel's token for this node");
    if (clean && d->api.node_id == 0)
        config_report(r, CONFIG_ERROR, at, "NodeID is missing: the panel's number of this node");
    if (d->enable_vless && same_text(d->api.node_type, "vmess"))
        d->api.node_type = "vless"; /* XrayR's way to say VLESS */
    if (o->cert.mode == CONFIG_CERT_FILE &&
        (o->cert.cert_file[0] == '\0' || o->cert.key_file[0] == '\0'))
        config_report(r, CONFIG_ERROR, CONFIG_KEY(opt_at, "CertConfig"),
                      "CertMode file needs CertFile and KeyFile");
    if (o->fallback && o->fallback_count == 0)
        config_report(r, CONFIG_WARNING, opt_at,
                      "EnableFallback is on but FallBackConfigs is empty: there is nothing to fall "
                      "back to");
    if (o->proxy_from_count > 0 && !o->proxy_protocol)
        config_report(r, CONFIG_WARNING, opt_at,
                      "ProxyProtocolFrom has no effect without EnableProxyProtocol");
    if (strncasecmp(d->api.host, "http://", 7) == 0 && d->api.ca[0] != '\0')
        config_report(r, CONFIG_WARNING, api_at, "ApiCA has no effect for a http:// ApiHost");
}

bool config_listens_clash(const struct config_options *a, const struct config_options *b)
{
    if (a->port == 0 || a->port != b->port)
        return false;
    for (unsigned i = 0; i < a->listen_count; i++) {
        for (unsigned j = 0; j < b->listen_count; j++) {
            const struct addr *x = &a->listen[i], *y = &b->listen[j];
            bool dual = (x->family == ADDR_IP6 && addr_is_any(x)) ||
                        (y->family == ADDR_IP6 && addr_is_any(y));
            if (addr_ip_equal(x, y) || dual ||
                (x->family == y->family && (addr_is_any(x) || addr_is_any(y))))
                return true;
        }
    }
    return false;
}

/* Two nodes that cannot live side by side: the second goes. */
static void check_others(struct config_reader *r, const struct config_path *at,
                         const struct config_nodes *ns, struct config_node *n)
{
    for (const struct entry *e = ns->first; e != NULL; e = e->next) {
        const struct config_node *o = &e->node;
        bool same = same_host(o->api.host, n->api.host) && o->api.node_id == n->api.node_id;
        bool twice = same && (same_text(o->api.node_type, n->api.node_type) ||
                              !o->api.node_type[0] || !n->api.node_type[0]);
        if (twice)
            config_report(
                r, CONFIG_ERROR, at,
                "the same ApiHost and NodeID as in line %d of %s: traffic would be counted "
                "twice; this second one is left out",
                o->line, o->file);
        else if (config_listens_clash(&o->options, &n->options))
            config_report(r, CONFIG_ERROR, at,
                          "listens on port %u like %s (line %d of %s); two nodes cannot share a "
                          "port, this second one is left out",
                          n->options.port, o->tag, o->line, o->file);
        if (!twice && same_text(o->tag, n->tag)) {
            config_report(r, CONFIG_ERROR, at, "the Name \"%.64s\" is taken by line %d of %s",
                          n->tag, o->line, o->file);
        }
    }
}

static void make_digest(struct config_reader *r, struct config_node *n)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    if (f != NULL)
        config_print_node(n, f, true);
    if (f == NULL || fclose(f) != 0 || hash_sum(NULL, HASH_SHA256, text, len, n->digest) != ST_OK)
        r->nomem = true;
    if (text != NULL)
        explicit_bzero(text, len);
    free(text);
}

static void append(struct config_reader *r, struct config_nodes *ns, const struct config_node *n)
{
    struct entry *e = config_alloc(r, sizeof(*e));
    if (e == NULL)
        return;
    e->node = *n;
    if (ns->last != NULL)
        ns->last->next = e;
    else
        ns->first = e;
    ns->last = e;
    ns->count++;
}

static void read_node(struct config_reader *r, struct config_nodes *ns,
                      const struct config_path *at, const struct json_t *entry)
{
    const char *api_key = NULL, *opt_key = NULL;
    const struct json_t *api = member(entry, "ApiConfig", NULL, &api_key);
    const struct json_t *opt = member(entry, "Options", "ControllerConfig", &opt_key);
    const struct config_path *api_at = api != NULL ? CONFIG_KEY(at, api_key) : at;
    const struct config_path *opt_at = opt != NULL ? CONFIG_KEY(at, opt_key) : at;
    struct config_node n = {.file = r->file.name};
    struct config_draft d = {.api = {.host = "",
                                     .key = "",
                                     .node_type = "",
                                     .panel_type = "v2sp",
                                     .timeout_ms = 30000,
                                     .proxy = "",
                                     .ca = ""},
                             .name = "",
                             .core = "",
                             .core_name = ""};

    d.reality_off = reality_is_off(opt != NULL ? opt : entry);
    r->node = draft_tag(r, at, api != NULL ? api : entry, opt != NULL ? opt : entry);
    r->node_bad = false;
    r->given = n.given;
    config_options_init(&d.opt);
    char *dir = arena_printf(r->a, "%s/cert", r->cfg->state_dir);
    if (dir == NULL)
        r->nomem = true;
    else
        d.opt.cert.dir = dir;
    if (r->file.text != NULL)
        config_where(r->file.text, r->file.len, at, &n.line, &n.column);

    config_walk(r, at, entry, &config_scope_node,
                PART_ENTRY | (api != NULL ? 0 : PART_API) | (opt != NULL ? 0 : PART_OPTION), &d);
    if (api != NULL && json_is_object(api))
        config_walk(r, api_at, api, &config_scope_node, PART_API, &d);
    if (opt != NULL && json_is_object(opt))
        config_walk(r, opt_at, opt, &config_scope_node, PART_OPTION, &d);
    if ((api != NULL && !json_is_object(api)) || (opt != NULL && !json_is_object(opt)))
        config_report(r, CONFIG_ERROR, at, "ApiConfig and Options must be objects in braces { }");

    config_options_end(r, &d.opt);
    check_draft(r, at, api_at, opt_at, &d);
    const struct config_core *core = choose_core(r, opt_at, ns, &d);
    n.api = d.api;
    n.options = d.opt;
    n.tag = final_tag(r, &d);
    if (core != NULL)
        n.timeouts = core->timeouts;
    if (!r->node_bad)
        check_others(r, at, ns, &n);
    if (!r->node_bad)
        make_digest(r, &n);
    if (!r->node_bad && !r->nomem)
        append(r, ns, &n);
    r->node = NULL;
    r->given = NULL;
}

static bool has_other_keys(const struct json_t *entry)
{
    for (void *it = json_first(entry); it != NULL; it = json_next(entry, it))
        if (strcasecmp(json_iter_key(it), "Include") != 0)
            return true;
    return false;
}

void config_nodes_add(struct config_reader *r, struct config_nodes *ns,
                      const struct config_path *at, const struct json_t *entry)
{
    const char *key = NULL;
    if (!json_is_object(entry) || json_is_array(entry)) {
        config_report(r, CONFIG_ERROR, at, "must be an object in braces { }: one node");
        return;
    }
    const struct json_t *include = member(entry, "Include", NULL, &key);
    if (include == NULL) {
        read_node(r, ns, at, entry);
        return;
    }
    if (has_other_keys(entry))
        config_report(r, CONFIG_WARNING, at,
                      "Include stands for the whole entry; the other keys beside it are not read");
    config_include(r, ns, CONFIG_KEY(at, key), include);
}

void config_nodes_end(struct config_reader *r, struct config_nodes *ns)
{
    struct config_node *list = config_alloc(r, (ns->count + 1) * sizeof(*list));
    size_t n = 0;
    if (list == NULL)
        return;
    for (const struct entry *e = ns->first; e != NULL; e = e->next) {
        config_source_add_node(r, &e->node);
        list[n++] = e->node;
    }
    r->cfg->nodes = list;
    r->cfg->node_count = n;
}
