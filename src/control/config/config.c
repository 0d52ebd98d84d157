#include "control/config/config_keys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/mem.h"

/* What config_load hands out is the first member. */
struct box {
    struct config cfg;
    struct arena *arena;
    _Atomic unsigned refs;
};

static struct box *box_of(const struct config *cfg)
{
    union {
        const struct config *in;
        struct box *out;
    } u = {.in = cfg};
    return u.out;
}

static void wipe(const char *secret)
{
    union {
        const char *in;
        void *out;
    } u = {.in = secret};
    if (*secret != '\0')
        crypto_wipe(u.out, strlen(secret));
}

const struct config *config_ref(const struct config *cfg)
{
    atomic_fetch_add_explicit(&box_of(cfg)->refs, 1, memory_order_relaxed);
    return cfg;
}

void config_unref(const struct config *cfg)
{
    struct box *b = cfg != NULL ? box_of(cfg) : NULL;
    if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < cfg->node_count; i++) {
        const struct config_node *n = &cfg->nodes[i];
        wipe(n->api.key);
        wipe(n->options.reality.private_key);
        wipe(n->options.reality.mldsa65_seed);
        wipe(n->options.device_store.password);
        for (size_t j = 0; j < n->options.cert.dns_env_count; j++)
            wipe(n->options.cert.dns_env[j].value);
    }
    arena_free(b->arena);
    free(b);
}

static void set_defaults(struct config *cfg, const char *name)
{
    *cfg = (struct config){
        .file = name,
        .log = {.level = LOG_INFO,
                .output = "",
                .max_size_mb = 100,
                .max_backups = 3,
                .max_age_days = 28,
                .access = ""},
        .state_dir = "",
        .drain_ms = 2000,
    };
    config_device_store_init(&cfg->device_store);
}

/* The directory can be written, or made inside one that can. */
static bool can_use(const char *dir)
{
    if (access(dir, W_OK | X_OK) == 0)
        return true;
    if (errno != ENOENT)
        return false;
    const char *slash = strrchr(dir, '/');
    char parent[256];
    size_t len = slash != NULL ? (size_t)(slash - dir) : 0;
    if (len == 0 || len >= sizeof(parent))
        return false;
    memcpy(parent, dir, len);
    parent[len] = '\0';
    return access(parent, W_OK | X_OK) == 0;
}

/* A relative StateDir is one beside the file: a service has / as its working directory. */
static void settle_state_dir(struct config_reader *r)
{
    struct config *cfg = r->cfg;
    const char *dir = cfg->state_dir[0] != '\0'       ? cfg->state_dir
                      : can_use(CONFIG_STATE_DEFAULT) ? CONFIG_STATE_DEFAULT
                                                      : "state";
    const char *slash = strrchr(cfg->file, '/');
    char *p = NULL;
    if (*dir == '/')
        p = arena_strdup(r->a, dir);
    else if (slash != NULL)
        p = arena_printf(r->a, "%.*s/%s", (int)(slash - cfg->file), cfg->file, dir);
    else
        p = arena_printf(r->a, "./%s", dir);
    if (p == NULL)
        r->nomem = true;
    size_t len = p != NULL ? strlen(p) : 0;
    while (len > 1 && p[len - 1] == '/')
        p[--len] = '\0';
    cfg->state_dir = p != NULL ? p : "";
}

static bool is_our_core(const char *type)
{
    return *type == '\0' || strcasecmp(type, "xray") == 0 || strcasecmp(type, "sing") == 0 ||
           strcasecmp(type, "v2sp") == 0;
}

/* Reads "Cores" and puts the built-in core behind the last. */
static struct config_core *read_cores(struct config_reader *r, const struct config_path *at,
                                      const struct json_t *list, size_t *count)
{
    bool single = json_is_object(list) && !json_is_array(list);
    size_t n = single ? 1 : json_array_len(list);
    struct config_core *cores = config_alloc(r, (n + 1) * sizeof(*cores));
    *count = n;
    if (cores == NULL)
        return NULL;
    if (list != NULL && !single && !json_is_array(list))
        config_report(r, CONFIG_ERROR, at, "must be a list [ ] of objects");
    for (size_t i = 0; i <= n; i++) {
        struct config_core *c = &cores[i];
        *c = (struct config_core){.type = "", .name = "", .access = ""};
        config_timeouts_init(&c->timeouts);
        if (i < n) {
            const struct json_t *v = single ? list : json_at(list, i);
            const struct config_path *where = single ? at : CONFIG_AT(at, i);
            if (json_is_object(v))
                config_walk(r, where, v, &config_scope_core, ~0u, c);
            else
                config_report(r, CONFIG_ERROR, where, "must be an object in braces { }");
            if (!is_our_core(c->type))
                config_report(r, CONFIG_WARNING, where,
                              "there is no core of type \"%.32s\" in v2sp; nodes cannot use it",
                              c->type);
        }
        c->usable = is_our_core(c->type);
    }
    return cores;
}

static void read_nodes(struct config_reader *r, const struct config_path *at,
                       const struct json_t *list, struct config_nodes *ns)
{
    if (list != NULL && !json_is_array(list)) {
        if (json_is_object(list))
            config_nodes_add(r, ns, at, list);
        else
            config_report(r, CONFIG_ERROR, at, "must be a list [ ] of objects");
        return;
    }
    for (size_t i = 0; i < json_array_len(list) && !r->nomem; i++)
        config_nodes_add(r, ns, CONFIG_AT(at, i), json_at(list, i));
}

/* The member of the top level as it is written, for positions. */
static const struct json_t *top(const struct json_t *doc, const char *name, const char **written)
{
    const struct json_t *found = NULL;
    *written = name;
    for (void *it = json_first(doc); it != NULL; it = json_next(doc, it)) {
        if (strcasecmp(json_iter_key(it), name) == 0) {
            found = json_iter_value(it);
            *written = json_iter_key(it);
        }
    }
    return json_is_null(found) ? NULL : found;
}

static void read_document(struct config_reader *r, const struct json_t *doc)
{
    const char *key;
    size_t core_count;
    config_walk(r, NULL, doc, &config_scope_top, ~0u, r->cfg);
    if (strcasecmp(r->cfg->log.access, "none") == 0)
        r->cfg->log.access = "";
    settle_state_dir(r);
    const struct json_t *list = top(doc, "Cores", &key);
    struct config_core *cores = read_cores(r, CONFIG_KEY(NULL, key), list, &core_count);
    if (cores == NULL)
        return;
    for (size_t i = 0; i < core_count && r->cfg->log.access[0] == '\0'; i++)
        if (strcasecmp(cores[i].access, "none") != 0)
            r->cfg->log.access = cores[i].access;
    struct config_nodes *ns = config_nodes_new(r, cores, core_count);
    if (ns == NULL)
        return;
    list = top(doc, "Nodes", &key);
    read_nodes(r, CONFIG_KEY(NULL, key), list, ns);
    config_nodes_end(r, ns);
    if (list == NULL)
        config_report(r, CONFIG_WARNING, NULL, "there is no \"Nodes\": nothing will be served");
}

static enum status finish(struct config_reader *r, struct box *b, bool usable,
                          const struct config **out)
{
    config_report_end(r);
    if (r->nomem) {
        config_unref(&b->cfg);
        return ST_E_NOMEM;
    }
    *out = &b->cfg;
    return usable ? ST_OK : ST_E_CONFIG;
}

static struct box *box_new(struct config_reader *r, const char *name,
                           const struct config_env_io *io)
{
    struct box *b = calloc(1, sizeof(*b));
    struct arena *a = arena_new();
    if (b == NULL || a == NULL) {
        free(b);
        arena_free(a);
        return NULL;
    }
    b->arena = a;
    atomic_init(&b->refs, 1);
    *r = (struct config_reader){.a = a, .cfg = &b->cfg, .io = io};
    name = config_copy(r, name);
    set_defaults(&b->cfg, name);
    r->file = (struct config_file){.name = name, .text = NULL, .len = 0};
    return b;
}

static enum status parse(struct config_reader *r, struct box *b, const char *text, size_t len,
                         const struct config **out)
{
    struct json_t *doc;
    struct json_error err;
    enum status st = json_parse(text, len, &doc, &err);
    bool usable = st == ST_OK && json_is_object(doc);
    if (st == ST_E_NOMEM) {
        r->nomem = true;
    } else if (st != ST_OK) {
        config_report_json(r, &err);
    } else {
        r->file.text = text;
        r->file.len = len;
        if (usable)
            read_document(r, doc);
        else
            config_report(r, CONFIG_ERROR, NULL, "must be an object in braces { }");
    }
    if (!usable)
        settle_state_dir(r);
    json_unref(doc);
    return finish(r, b, usable, out);
}

enum status config_parse(const char *text, size_t len, const char *name,
                         const struct config_env_io *io, const struct config **out)
{
    struct config_reader r;
    *out = NULL;
    struct box *b = box_new(&r, name, io);
    return b != NULL ? parse(&r, b, text, len, out) : ST_E_NOMEM;
}

char *config_at_start_str(const struct config *a, const struct config *b,
                          char dst[CONFIG_AT_START_MAX])
{
    const struct {
        const char *key;
        bool differs;
    } keys[] = {
        {"Workers", a->workers != b->workers},
        {"MemoryBudget", a->memory_budget != b->memory_budget},
        {"StateDir", strcmp(a->state_dir, b->state_dir) != 0},
        {"Log.Format", a->log.json != b->log.json},
        {"Log.Access", strcmp(a->log.access, b->log.access) != 0},
    };
    size_t used = 0;

    dst[0] = '\0';
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].differs)
            used += (size_t)snprintf(dst + used, CONFIG_AT_START_MAX - used, "%s%s",
                                     used > 0 ? ", " : "", keys[i].key);
    return dst;
}

enum status config_load(const char *path, const struct config_env_io *io, const struct config **out)
{
    static const struct config_env_io files_only = {.fetch = NULL};
    struct config_reader r;
    size_t len;
    *out = NULL;
    struct box *b = box_new(&r, path, io != NULL ? io : &files_only);
    if (b == NULL)
        return ST_E_NOMEM;
    config_source_add(&r, path);
    char *text = config_slurp(path, &len);
    if (text == NULL) {
        if (errno == ENOENT)
            config_report(&r, CONFIG_ERROR, NULL,
                          "no such file; make one with: v2sp config init -c %.200s", path);
        else
            config_report(&r, CONFIG_ERROR, NULL, "cannot be read: %s", strerror(errno));
        settle_state_dir(&r);
        return finish(&r, b, false, out);
    }
    enum status st = parse(&r, b, text, len, out);
    crypto_wipe(text, len);
    free(text);
    return st;
}
