#include "control/admin/spool_orders.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "control/config/config_node.h"

static const struct spool_place *place_of(struct spool_places places, uint32_t node)
{
    for (size_t i = 0; i < places.count; i++)
        if (places.list[i].node == node)
            return &places.list[i];
    return NULL;
}

/* A node that ends and is configured again is there twice. */
static uint64_t sending(struct spool_places places, uint32_t node)
{
    uint64_t seq = 0;

    for (size_t i = 0; i < places.count; i++)
        if (places.list[i].node == node && places.list[i].sending != 0)
            seq = places.list[i].sending;
    return seq;
}

/* ---- nodes, taken down before they are worked on --------------------------------------------- */

struct known {
    uint32_t node;
    char *identity;
};

struct known_list {
    struct known *list;
    size_t count;
};

static enum status note(void *arg, const struct spool_node_info *n)
{
    struct known_list *l = arg;
    struct known *p = realloc(l->list, (l->count + 1) * sizeof(*p));

    if (p == NULL)
        return ST_E_NOMEM;
    l->list = p;
    p[l->count] = (struct known){.node = n->node, .identity = strdup(n->identity)};
    return p[l->count++].identity != NULL ? ST_OK : ST_E_NOMEM;
}

static void known_free(struct known_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->list[i].identity);
    free(l->list);
    *l = (struct known_list){.count = 0};
}

/* ---- list ------------------------------------------------------------------------------------ */

static enum status put_batch(void *arg, const struct spool_batch_info *b)
{
    struct json_out *o = arg;

    json_out_object(o, NULL);
    json_out_num(o, "number", b->seq);
    json_out_num(o, "rows", b->sum.rows);
    json_out_num(o, "up", b->sum.up);
    json_out_num(o, "down", b->sum.down);
    json_out_int(o, "frozen", b->frozen_s);
    json_out_bool(o, "tried", b->tried);
    json_out_bool(o, "parked", b->parked == SPOOL_PARKED);
    json_out_str(o, "key", b->key);
    json_out_end_object(o);
    return ST_OK;
}

static enum status put_node(struct json_out *o, struct store *s, const struct known *k,
                            struct spool_places places)
{
    const struct spool_place *place = place_of(places, k->node);
    struct spool_sum sum;
    int64_t oldest;
    enum status st = spool_admin_accounts(s, k->node, &sum, &oldest);

    if (st != ST_OK)
        return st;
    json_out_object(o, NULL);
    json_out_num(o, "row", k->node);
    json_out_str(o, "tag", place != NULL ? place->tag : NULL);
    json_out_str(o, "identity", k->identity);
    json_out_object(o, "accounts");
    json_out_num(o, "rows", sum.rows);
    json_out_num(o, "up", sum.up);
    json_out_num(o, "down", sum.down);
    json_out_int(o, "oldest", oldest);
    json_out_end_object(o);
    json_out_num(o, "sending", sending(places, k->node));
    json_out_array(o, "batches");
    st = spool_admin_batches(s, k->node, k->identity, put_batch, o);
    json_out_end_array(o);
    json_out_end_object(o);
    return st;
}

enum status spool_orders_list(struct json_out *o, struct store *s, struct spool_places places)
{
    struct known_list l = {.count = 0};
    enum status st = spool_admin_nodes(s, note, &l);

    json_out_object(o, NULL);
    json_out_array(o, "nodes");
    for (size_t i = 0; i < l.count && st == ST_OK; i++)
        st = put_node(o, s, &l.list[i], places);
    json_out_end_array(o);
    json_out_end_object(o);
    known_free(&l);
    return st;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static enum status say(struct spool_outcome *out, enum status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum status say(struct spool_outcome *out, enum status st, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out->text, sizeof(out->text), fmt, ap);
    va_end(ap);
    return st;
}

bool spool_order_read(const struct json_t *v, bool drop, struct spool_order *out)
{
    int64_t batch = json_get_int(v, "batch", 0);

    *out = (struct spool_order){.drop = drop,
                                .node = json_get_str(v, "node", NULL),
                                .to = json_get_str(v, "to", NULL),
                                .batch = batch > 0 ? (uint64_t)batch : 0};
    return batch >= 0 && (out->node != NULL || out->batch != 0) && (out->to == NULL || !drop) &&
           (out->to == NULL || (out->node != NULL && out->batch == 0));
}

static const struct known *find(const struct known_list *l, struct spool_places places,
                                const char *name)
{
    char *end;
    unsigned long row = strtoul(name, &end, 10);
    bool number = isdigit((unsigned char)name[0]) && *end == '\0';

    for (size_t i = 0; i < places.count; i++)
        for (size_t k = 0; k < l->count && strcmp(places.list[i].tag, name) == 0; k++)
            if (l->list[k].node == places.list[i].node)
                return &l->list[k];
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->list[i].identity, name) == 0 || (number && l->list[i].node == row))
            return &l->list[i];
    return NULL;
}

struct search {
    uint64_t seq;
    bool found;
};

static enum status match(void *arg, const struct spool_batch_info *b)
{
    struct search *s = arg;
    s->found = s->found || b->seq == s->seq;
    return ST_OK;
}

/* The only node that has a batch of this number. */
static enum status find_batch(struct store *s, const struct known_list *l, uint64_t seq,
                              const struct known **out, struct spool_outcome *o)
{
    *out = NULL;
    for (size_t i = 0; i < l->count; i++) {
        struct search f = {.seq = seq};
        enum status st = spool_admin_batches(s, l->list[i].node, l->list[i].identity, match, &f);
        if (st != ST_OK)
            return say(o, st, "the state database cannot be read");
        if (!f.found)
            continue;
        if (*out != NULL)
            return say(o, ST_E_CONFIG,
                       "several nodes have a batch %" PRIu64 ": name one with --node", seq);
        *out = &l->list[i];
    }
    if (*out == NULL)
        return say(o, ST_E_NOTFOUND, "there is no batch %" PRIu64, seq);
    return ST_OK;
}

static enum status failed(struct spool_outcome *out, enum status st, const char *what)
{
    if (st == ST_E_NOTFOUND)
        return say(out, st, "%s", what);
    return say(out, st, "the state database cannot be written; the log says why");
}

#define SUM_FMT     "%" PRIu64 " users, %" PRIu64 " bytes up, %" PRIu64 " down"
#define SUM_ARGS(o) (o)->sum.rows, (o)->sum.up, (o)->sum.down

static enum status drop(struct store *s, struct spool_places places, const struct known *k,
                        uint64_t batch, struct spool_outcome *out)
{
    const struct spool_place *place = place_of(places, k->node);
    enum status st;

    if (batch == 0 && place != NULL)
        return say(out, ST_E_CONFIG, "node %s is configured: name the batch to drop", place->tag);
    if (batch != 0 && sending(places, k->node) == batch)
        return say(out, ST_E_BUSY, "batch %" PRIu64 " is being sent at this moment", batch);
    st = batch != 0 ? spool_admin_drop(s, k->node, batch, &out->sum)
                    : spool_admin_drop_node(s, k->node, &out->sum);
    if (st != ST_OK)
        return failed(out, st,
                      batch != 0 ? "there is no such batch" : "nothing waits of that node");
    if (batch != 0)
        return say(out, ST_OK, "batch %" PRIu64 " of node row %u dropped: " SUM_FMT, batch, k->node,
                   SUM_ARGS(out));
    return say(out, ST_OK, "all of node row %u (%.200s) dropped: " SUM_FMT, k->node, k->identity,
               SUM_ARGS(out));
}

static enum status move(struct store *s, struct spool_places places, const struct known *from,
                        const struct known *to, struct spool_outcome *out)
{
    if (to == NULL || place_of(places, to->node) == NULL)
        return say(out, ST_E_NOTFOUND, "no node of that name is configured to take it");
    if (place_of(places, from->node) != NULL)
        return say(out, ST_E_CONFIG, "the node is configured and reports what it has itself");
    enum status st = spool_admin_move(s, from->node, from->identity, to->node, &out->sum);
    if (st != ST_OK)
        return failed(out, st, "nothing waits of that node");
    out->node = to->node;
    return say(out, ST_OK, "all of node row %u (%.200s) given to node row %u: " SUM_FMT, from->node,
               from->identity, to->node, SUM_ARGS(out));
}

static enum status replay(struct store *s, struct spool_places places, const struct known *k,
                          uint64_t batch, struct spool_outcome *out)
{
    if (place_of(places, k->node) == NULL)
        return say(out, ST_E_CONFIG,
                   "no configured node is \"%.200s\": say which one takes it over, with --to",
                   k->identity);
    enum status st = spool_admin_replay(s, k->node, batch, &out->sum);
    if (st == ST_E_NOTFOUND && batch == 0)
        return say(out, ST_OK, "no batch of node row %u is parked; what waits is due now", k->node);
    if (st != ST_OK)
        return failed(out, st, "there is no such batch");
    if (batch != 0)
        return say(out, ST_OK, "batch %" PRIu64 " of node row %u is due now: " SUM_FMT, batch,
                   k->node, SUM_ARGS(out));
    return say(out, ST_OK, "all parked batches of node row %u are due now: " SUM_FMT, k->node,
               SUM_ARGS(out));
}

enum status spool_order_run(struct store *s, struct spool_places places,
                            const struct spool_order *order, struct spool_outcome *out)
{
    struct known_list l = {.count = 0};
    const struct known *k = NULL;
    enum status st = spool_admin_nodes(s, note, &l);

    *out = (struct spool_outcome){.node = 0};
    if (st != ST_OK) {
        st = say(out, st, "the state database cannot be read");
        goto out;
    }
    if (order->node == NULL) {
        if ((st = find_batch(s, &l, order->batch, &k, out)) != ST_OK)
            goto out;
    } else if ((k = find(&l, places, order->node)) == NULL) {
        st = say(out, ST_E_NOTFOUND, "there is no node \"%.200s\"; see: v2sp spool list",
                 order->node);
        goto out;
    }
    out->node = k->node;
    if (order->drop)
        st = drop(s, places, k, order->batch, out);
    else if (order->to != NULL)
        st = move(s, places, k, find(&l, places, order->to), out);
    else
        st = replay(s, places, k, order->batch, out);
out:
    known_free(&l);
    return st;
}
