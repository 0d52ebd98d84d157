/* The streams of users with a limit of them while two processes serve:
 * docs/internals/upgrade.md. */
#include <stdlib.h>

#include "control/controller_state.h"
#include "policy/user_live.h"

static struct user_live *live_of(struct user_rt *u)
{
    return atomic_load_explicit(&u->live, memory_order_acquire);
}

static uint32_t limit_of(const struct user_rt *u)
{
    return atomic_load_explicit(&u->conn_limit, memory_order_relaxed);
}

/* For all users of all nodes that streams were ever counted of. */
static void each(const struct controller *c,
                 void (*fn)(void *arg, const struct node *n, struct user_rt *u), void *arg)
{
    LIST_FOREACH(l, tmp, &c->nodes) {
        const struct node *n = CONTROLLER_NODE(l);
        for (size_t i = 0; i < n->users.count; i++)
            if (live_of(n->users.by_id[i]) != NULL)
                fn(arg, n, n->users.by_id[i]);
    }
}

/* ---- the new process ------------------------------------------------------------------------- */

static void take(struct controller *c, struct user_rt *u, const void *counts)
{
    struct user_live *live = user_live_get(u);

    (void)c;
    if (live != NULL)
        conns_set_older(&live->conns, counts);
}

void controller_take_streams(struct controller *c, const struct controller_streams *list,
                             size_t count)
{
    for (size_t i = 0; i < count; i++)
        controller_each_named(c, &list[i].user, take, list[i].count);
}

static void forget(void *arg, const struct node *n, struct user_rt *u)
{
    (void)arg;
    (void)n;
    conns_no_older(&live_of(u)->conns);
}

void controller_no_streams(struct controller *c)
{
    each(c, forget, NULL);
}

static void grant(void *arg, const struct node *n, struct user_rt *u)
{
    const struct controller *c = arg;
    struct controller_streams s = {.user = controller_name(n, u)};

    if (conns_grant(&live_of(u)->conns, limit_of(u), s.count) && c->setup.grant != NULL)
        c->setup.grant(c->setup.arg, &s, 1);
}

void controller_grant_streams(struct controller *c)
{
    each(c, grant, c);
}

void controller_streams_taken(void *self, struct user_rt *u)
{
    struct controller *c = self;
    const struct node *n = u->node < VIEW_NODES_MAX ? c->by_no[u->node] : NULL;

    if (n != NULL)
        grant(c, n, u);
}

/* ---- the old one ----------------------------------------------------------------------------- */

struct telling {
    struct controller_streams *list;
    size_t count, room;
};

static bool has_room(struct telling *t)
{
    if (t->count < t->room)
        return true;
    size_t room = t->room * 2 + 64;
    struct controller_streams *p = realloc(t->list, room * sizeof(*p));
    if (p == NULL)
        return false;
    t->list = p;
    t->room = room;
    return true;
}

static void list_one(void *arg, const struct node *n, struct user_rt *u)
{
    struct telling *t = arg;

    if (!has_room(t)) /* before it counts as told */
        return;
    t->list[t->count].user = controller_name(n, u);
    t->count += conns_changed(&live_of(u)->conns, t->list[t->count].count);
}

size_t controller_streams(const struct controller *c, struct controller_streams **out)
{
    struct telling t = {.list = NULL};

    each(c, list_one, &t);
    *out = t.list;
    return t.count;
}

static void allow(struct controller *c, struct user_rt *u, const void *counts)
{
    if (live_of(u) == NULL)
        return;
    c->env.plane->allow_streams(c->env.plane->self, u, counts);
    controller_streams_taken(c, u); /* of a yet earlier process, perhaps */
}

void controller_allow_streams(struct controller *c, const struct controller_streams *list,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        controller_each_named(c, &list[i].user, allow, list[i].count);
}
