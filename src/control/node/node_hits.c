#include "control/node/node_hits.h"

#include <stdlib.h>

#include "control/node/node.h"
#include "control/store/hit_store.h"
#include "control/store/store.h"
#include "io/loop.h"
#include "policy/audit_hits.h"

#define TRIM_S 86400

/* Counts of the table at a moment, in its order, which stays. */
struct seen {
    uint64_t all, rules[AUDIT_HITS_RULES], pairs[AUDIT_HITS_PAIRS];
};

struct node_hits {
    unsigned refs;
    struct audit_hits *hits;
    struct seen *kept; /* what the store has; NULL: nothing */
    int64_t trimmed_s; /* the store was, by this process */
};

struct node_hits *node_hits_ref(struct node *n)
{
    if (n->hits == NULL && (n->hits = calloc(1, sizeof(*n->hits))) != NULL) {
        n->hits->refs = 1;
        n->hits->hits = audit_hits_new();
    }
    if (n->hits != NULL)
        n->hits->refs++;
    return n->hits;
}

void node_hits_unref(struct node_hits *h)
{
    if (h == NULL || --h->refs > 0)
        return;
    audit_hits_free(h->hits);
    free(h->kept);
    free(h);
}

struct audit_hits *node_hits_counted(const struct node *n)
{
    return n->hits != NULL ? n->hits->hits : NULL;
}

/* A walk over the table, within a transaction. */
struct keeping {
    const struct node *n;
    const uint64_t *kept; /* of what is walked over */
    uint64_t *now;
    size_t at;
    enum status st;
};

static void add(struct keeping *k, uint64_t uid, const char *rule, uint64_t count)
{
    const struct hit_sum h = {.uid = uid, .rule = rule, .count = count - k->kept[k->at]};

    k->now[k->at++] = count;
    if (h.count > 0 && k->st == ST_OK)
        k->st = hit_store_add(k->n->env->store, k->n->store_node, &h, loop_unix_s(k->n->env->loop));
}

static void add_hit(void *arg, const struct audit_hit *hit)
{
    add(arg, hit->uid, hit->rule, hit->count);
}

static enum status write_all(const struct node *n, struct seen *now)
{
    struct node_hits *h = n->hits;
    const struct seen *kept = h->kept;
    struct keeping k = {.n = n, .kept = &kept->all, .now = &now->all, .st = ST_OK};

    /* The sum first: of a hit that comes meanwhile it misses one, which brings the next round. */
    add(&k, 0, "", audit_hits_sum(h->hits).hits);
    k = (struct keeping){.n = n, .kept = kept->rules, .now = now->rules, .st = k.st};
    audit_hits_rules(h->hits, add_hit, &k);
    k = (struct keeping){.n = n, .kept = kept->pairs, .now = now->pairs, .st = k.st};
    audit_hits_pairs(h->hits, add_hit, &k);
    int64_t now_s = loop_unix_s(n->env->loop);
    if (k.st != ST_OK || (h->trimmed_s != 0 && now_s - h->trimmed_s < TRIM_S))
        return k.st;
    h->trimmed_s = now_s;
    return hit_store_trim(n->env->store, n->store_node, now_s);
}

void node_hits_keep(const struct node *n)
{
    struct node_hits *h = n->hits;

    if (h == NULL || audit_hits_sum(h->hits).hits == (h->kept != NULL ? h->kept->all : 0))
        return;
    struct seen *now = calloc(1, sizeof(*now));
    if (h->kept == NULL)
        h->kept = calloc(1, sizeof(*h->kept));
    if (now == NULL || h->kept == NULL || store_begin(n->env->store) != ST_OK) {
        free(now);
        return;
    }
    if (store_finish(n->env->store, write_all(n, now)) == ST_OK) {
        free(h->kept);
        h->kept = now;
    } else {
        free(now);
    }
}
