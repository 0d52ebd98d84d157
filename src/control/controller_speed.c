/* Speed limits that two processes keep together: docs/internals/upgrade.md. */
#include <stdlib.h>

#include "control/controller_state.h"
#include "control/joint_speed.h"
#include "control/node/views.h"
#include "policy/user_live.h"

/* What lies in a cell is read by the program of another version: a change of it is one of
 * UPGRADE_VERSION (app/upgrade_wire.h). */
_Static_assert(sizeof(struct user_buckets) == 16, "two words");
_Static_assert(sizeof(struct share_queue) == 16, "a word and a round");

static void lend_bucket(struct bucket *to, const struct bucket *from)
{
    atomic_store_explicit(&to->spent, atomic_load_explicit(&from->spent, memory_order_relaxed),
                          memory_order_relaxed);
}

/* ---- the old process ------------------------------------------------------------------------- */

struct cells {
    struct controller_cell *list;
    size_t count, room;
};

static struct controller_cell *add(struct cells *t)
{
    if (t->count == t->room) {
        size_t room = t->room * 2 + 64;
        struct controller_cell *p = realloc(t->list, room * sizeof(*p));
        if (p == NULL)
            return NULL;
        t->list = p;
        t->room = room;
    }
    t->list[t->count] = (struct controller_cell){.cell = JOINT_SPEED_NONE};
    return &t->list[t->count];
}

/* The cell of @u, made now if he moves bytes here under a limit; NULL: none. */
static struct user_buckets *cell_of(struct joint_speed *j, struct user_rt *u)
{
    struct user_live *live = atomic_load_explicit(&u->live, memory_order_acquire);
    struct user_buckets *b =
        live != NULL ? atomic_load_explicit(&live->joint, memory_order_relaxed) : NULL;

    if (b != NULL || atomic_load_explicit(&u->sessions, memory_order_relaxed) == 0 ||
        user_speed(u) == 0 || (live = user_live_get(u)) == NULL)
        return b;
    uint32_t no = joint_speed_add(j, 1);
    if (no == JOINT_SPEED_NONE || (b = joint_speed_at(j, no, 1)) == NULL)
        return NULL;
    lend_bucket(&b->up, &u->up);
    lend_bucket(&b->down, &u->down);
    atomic_store_explicit(&live->joint, b, memory_order_release);
    return b;
}

static void list_user(struct controller *c, const struct node *n, struct user_rt *u,
                      struct cells *t)
{
    const struct user_buckets *b = cell_of(c->speed, u);
    struct user_live *live = atomic_load_explicit(&u->live, memory_order_acquire);
    struct controller_cell *cell;

    if (b == NULL || live->joint_told || (cell = add(t)) == NULL)
        return;
    cell->user = controller_name(n, u);
    cell->cell = joint_speed_no(c->speed, b);
    live->joint_told = true;
    t->count++;
}

static void join_total(struct controller *c, struct share_total *t, uint32_t no, bool lend)
{
    struct share_queue *down = joint_speed_at(c->speed, no, 2);

    if (down != NULL)
        share_total_join(t, down, joint_speed_at(c->speed, no + 1, 1), lend);
}

static void list_total(struct controller *c, const struct node *n, struct cells *t)
{
    struct share_total *total = views_total(c->env.views, n->no);
    struct controller_cell *cell;

    if (c->total_told[n->no] || atomic_load_explicit(&total->kbps, memory_order_relaxed) == 0 ||
        (cell = add(t)) == NULL)
        return;
    if (atomic_load_explicit(&total->joint_down, memory_order_relaxed) == NULL) {
        uint32_t no = joint_speed_add(c->speed, 2);
        if (no == JOINT_SPEED_NONE)
            return;
        join_total(c, total, no, true);
    }
    cell->user.row = n->store_node;
    cell->total = true;
    cell->cell =
        joint_speed_no(c->speed, atomic_load_explicit(&total->joint_down, memory_order_relaxed));
    c->total_told[n->no] = true;
    t->count++;
}

size_t controller_cells(struct controller *c, struct controller_cell **out)
{
    struct cells t = {.list = NULL};

    LIST_FOREACH(l, tmp, &c->nodes) {
        const struct node *n = CONTROLLER_NODE(l);
        list_total(c, n, &t);
        for (size_t i = 0; i < n->users.count; i++)
            list_user(c, n, n->users.by_id[i], &t);
    }
    *out = t.list;
    return t.count;
}

int controller_speed_fd(const struct controller *c)
{
    return joint_speed_fd(c->speed);
}

/* ---- the new one ----------------------------------------------------------------------------- */

void controller_take_speed(struct controller *c, int own_fd)
{
    /* Of two that were made before either was told the cells are not the same. */
    c->takes_cells = joint_speed_take(c->speed, own_fd);
}

static void join_user(struct controller *c, struct user_rt *u, const void *arg)
{
    const struct controller_cell *cell = arg;
    struct user_buckets *b = joint_speed_at(c->speed, cell->cell, 1);
    struct user_live *live = b != NULL ? user_live_get(u) : NULL;

    if (live == NULL || atomic_load_explicit(&live->joint, memory_order_relaxed) == b)
        return;
    atomic_store_explicit(&live->joint, b, memory_order_release);
    live->joint_told = false; /* a later process may know of another one that he had here */
}

void controller_take_cells(struct controller *c, const struct controller_cell *list, size_t count)
{
    for (size_t i = 0; c->takes_cells && i < count; i++) {
        if (!list[i].total) {
            controller_each_named(c, &list[i].user, join_user, &list[i]);
            continue;
        }
        LIST_FOREACH(l, tmp, &c->nodes)
            if (CONTROLLER_NODE(l)->store_node == list[i].user.row)
                join_total(c, views_total(c->env.views, CONTROLLER_NODE(l)->no), list[i].cell,
                           false);
    }
}
