#include "app/spool_offline.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/config/config.h"
#include "control/store/counters.h"
#include "control/store/store.h"

/* Which rows of the database are the configured nodes'. */
struct finder {
    const struct config *cfg;
    struct spool_place list[VIEW_NODES_MAX];
    size_t count;
};

static enum status match(void *arg, const struct spool_node_info *n)
{
    struct finder *f = arg;
    char identity[CONFIG_IDENTITY_MAX];

    for (size_t i = 0; i < f->cfg->node_count && f->count < VIEW_NODES_MAX; i++) {
        const struct config_node *c = &f->cfg->nodes[i];
        if (strcmp(config_node_identity(c, identity), n->identity) == 0)
            f->list[f->count++] = (struct spool_place){.node = n->node, .tag = c->tag};
    }
    return ST_OK;
}

static enum status find_places(struct finder *f, const struct config *cfg, struct store *s,
                               struct spool_places *out)
{
    *f = (struct finder){.cfg = cfg};
    enum status st = spool_admin_nodes(s, match, f);
    *out = (struct spool_places){.list = f->list, .count = f->count};
    return st;
}

enum status spool_offline_list(const struct config *cfg, struct textbuf *out,
                               char problem[SPOOL_OFFLINE_TEXT])
{
    struct store *s = store_open_read(cfg->state_dir, problem);
    struct json_out o = {.t = out};
    struct spool_places places;
    struct finder f;

    if (s == NULL)
        return ST_E_IO;
    enum status st = find_places(&f, cfg, s, &places);
    if (st == ST_OK)
        st = spool_orders_list(&o, s, places);
    if (st != ST_OK)
        snprintf(problem, SPOOL_OFFLINE_TEXT, "%.200s: the state database cannot be read",
                 cfg->state_dir);
    store_close(s);
    return st;
}

static void to_stderr(struct log_sink *sink, const char *line, size_t len)
{
    (void)sink;
    fwrite(line, 1, len, stderr);
}

static uint64_t wall_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static enum status refuse(struct spool_outcome *out, enum status st, const char *dir,
                          const char *text)
{
    snprintf(out->text, sizeof(out->text), "%.200s: %s", dir, text);
    return st;
}

static enum status run(struct store *s, const struct config *cfg, const struct log *lg,
                       const struct spool_order *order, struct spool_outcome *out)
{
    const char *dir = cfg->state_dir;
    struct spool_places places;
    struct finder f;

    if (!store_is_durable(s))
        return refuse(out, ST_E_IO, dir, "the state database cannot be used");
    if (!store_is_alone(s))
        return refuse(out, ST_E_BUSY, dir,
                      "another v2sp uses it, but does not answer on its socket there");
    struct counters *c = counters_open(dir, s, 1, lg);
    if (c == NULL)
        return refuse(out, ST_E_NOMEM, dir, "out of memory");
    enum status st = find_places(&f, cfg, s, &places);
    if (st == ST_OK)
        st = spool_order_run(s, places, order, out);
    else
        st = refuse(out, st, dir, "the state database cannot be read");
    counters_close(c);
    return st;
}

enum status spool_offline_run(const struct config *cfg, const struct spool_order *order,
                              struct spool_outcome *out)
{
    struct log_sink sink = {.write = to_stderr};
    struct log lg = {.sink = &sink, .level = LOG_INFO, .wall_us = wall_us};
    char path[1100];

    *out = (struct spool_outcome){.node = 0};
    snprintf(path, sizeof(path), "%s/" STORE_FILE, cfg->state_dir);
    if (access(path, R_OK | W_OK) != 0)
        return refuse(out, ST_E_NOTFOUND, path, "is not there, or not yours");
    struct store *s = store_open(cfg->state_dir, &lg);
    if (s == NULL)
        return refuse(out, ST_E_NOMEM, path, "out of memory");
    enum status st = run(s, cfg, &lg, order, out);
    store_close(s);
    return st;
}
