#include "control/admin/spool_service.h"

#include <stdlib.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/admin/admin.h"
#include "control/admin/spool_orders.h"
#include "control/node/node.h"
#include "control/node/reporter.h"
#include "control/store/counters.h"
#include "io/loop.h"

struct spool_service {
    struct node_env *env;
    const struct list *nodes;
};

/* Nodes that end are there, too: they still report. */
static struct spool_places places_of(const struct spool_service *s,
                                     struct spool_place places[VIEW_NODES_MAX])
{
    struct spool_places p = {.list = places};

    LIST_FOREACH(l, tmp, s->nodes) {
        const struct node *n = LIST_ENTRY(l, struct node, link);
        places[p.count++] = (struct spool_place){
            .node = n->store_node, .tag = n->conf->tag, .sending = reporter_sending(n->reporter)};
    }
    return p;
}

static void on_list(void *arg, struct http_call *call)
{
    struct spool_service *s = arg;
    struct spool_place places[VIEW_NODES_MAX];
    struct json_out o = {.t = http_call_text(call)};

    /* What moved since the last sample belongs to the sums as well; where it cannot be stored the
     * store has said so. */
    enum status st = counters_sample(s->env->counters, loop_unix_s(s->env->loop), NULL);
    if (st != ST_E_NOMEM && spool_orders_list(&o, s->env->store, places_of(s, places)) == ST_OK) {
        textbuf_puts(o.t, "\n");
        admin_done(call);
        return;
    }
    admin_fail(call, 503, "the state database cannot be read; the log says why");
}

static void make_due(const struct spool_service *s, uint32_t store_node)
{
    LIST_FOREACH(l, tmp, s->nodes) {
        struct node *n = LIST_ENTRY(l, struct node, link);
        if (n->store_node == store_node && n->state < NODE_DRAINING)
            reporter_poke(n->reporter);
    }
}

static void obey(struct spool_service *s, struct http_call *call, bool drop)
{
    struct spool_place places[VIEW_NODES_MAX];
    struct json_t *body = admin_body(call);
    struct json_out o = {.t = http_call_text(call)};
    struct spool_order order;
    struct spool_outcome out;

    if (body == NULL)
        return;
    if (!spool_order_read(body, drop, &order)) {
        admin_fail(call, 400, "a node or a batch is to be named");
        goto out;
    }
    /* It may have a batch on its way, and put accounts once more. */
    bool alone = s->env->reports && !counters_has_others(s->env->counters);
    if (!alone && (drop || order.to != NULL)) {
        admin_fail(call, 409,
                   "another process with this StateDir still lives (after an upgrade it "
                   "lets its sessions end): try again when it has ended");
        goto out;
    }
    enum status st = spool_order_run(s->env->store, places_of(s, places), &order, &out);
    if (st != ST_OK) {
        admin_fail(call, st == ST_E_NOTFOUND ? 404 : st == ST_E_IO ? 503 : 409, "%s", out.text);
        goto out;
    }
    log_line(s->env->lg, drop ? LOG_WARNING : LOG_INFO, NULL, "spool: by command, %s", out.text);
    json_out_object(&o, NULL);
    json_out_str(&o, "done", out.text);
    json_out_num(&o, "rows", out.sum.rows);
    json_out_num(&o, "up", out.sum.up);
    json_out_num(&o, "down", out.sum.down);
    json_out_end_object(&o);
    textbuf_puts(o.t, "\n");
    admin_done(call);
    if (!drop)
        make_due(s, out.node);
out:
    json_unref(body);
}

static void on_replay(void *arg, struct http_call *call)
{
    obey(arg, call, false);
}

static void on_drop(void *arg, struct http_call *call)
{
    obey(arg, call, true);
}

struct spool_service *spool_service_new(struct node_env *env, const struct list *nodes,
                                        struct admin *admin)
{
    struct spool_service *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    *s = (struct spool_service){.env = env, .nodes = nodes};
    admin_add(admin, "GET", "/spool", on_list, s);
    admin_add(admin, "POST", "/spool/replay", on_replay, s);
    admin_add(admin, "POST", "/spool/drop", on_drop, s);
    return s;
}

void spool_service_free(struct spool_service *s)
{
    free(s);
}
