#include "control/admin/status_look.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "control/node/node.h"
#include "control/node/online_guests.h"
#include "control/node/reporter.h"
#include "control/stats/stats.h"
#include "control/store/counters.h"
#include "io/loop.h"

#define SLOTS_SIZE (COUNTERS_SLOTS * sizeof(struct status_pair))

void status_look_free(struct status_look *l)
{
    if (l->slots != NULL)
        munmap(l->slots, SLOTS_SIZE);
    memset(l, 0, sizeof(*l));
}

/* Mapped, not allocated: only the pages of slots in use are ever there. */
static bool make_room(struct status_look *l)
{
    if (l->slots != NULL)
        return true;
    void *p = mmap(NULL, SLOTS_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    l->slots = p;
    return true;
}

/* A slot or a number that was given to somebody else counts from zero again. */
static uint64_t rate(uint64_t now, uint64_t before, uint64_t window_us)
{
    uint64_t moved = now >= before ? now - before : now;

    if (window_us == 0)
        return 0;
    return (uint64_t)((double)moved * 1e6 / (double)window_us);
}

static struct status_pair rates(struct status_pair now, struct status_pair before,
                                uint64_t window_us)
{
    return (struct status_pair){rate(now.up, before.up, window_us),
                                rate(now.down, before.down, window_us)};
}

static enum status add_user(struct status_view *v, const struct status_user *u)
{
    if (v->count == v->room) {
        size_t room = v->room == 0 ? 256 : v->room * 2;
        struct status_user *p = realloc(v->users, room * sizeof(*p));
        if (p == NULL)
            return ST_E_NOMEM;
        v->users = p;
        v->room = room;
    }
    v->users[v->count++] = *u;
    return ST_OK;
}

/* Both are sorted by uid: *@at goes along. Of several credentials the first has them. */
static uint32_t count_guests(const struct online_list *guests, size_t *at, uint64_t uid)
{
    uint32_t n = 0;

    for (; *at < guests->count && guests->own_list[*at].uid <= uid; ++*at)
        n += guests->own_list[*at].uid == uid;
    return n;
}

static enum status see_users(struct status_look *l, bool again, const struct node_env *env,
                             struct status_node *n, struct status_view *out)
{
    const struct user_table *t = &n->node->users;
    const struct online_list *guests = &reporter_guests(n->node->reporter)->list;
    size_t at = 0;

    for (size_t i = 0; i < t->count; i++) {
        struct status_user u = {.node = n->node, .user = t->by_id[i]};
        u.draining = count_guests(guests, &at, u.user->uid);
        bool online =
            atomic_load_explicit(&u.user->sessions, memory_order_relaxed) > 0 || u.draining > 0;
        struct status_pair *before = l->slots != NULL ? &l->slots[u.user->slot] : NULL;
        n->users_online += online;
        counters_read(env->counters, u.user->slot, &u.sum.up, &u.sum.down);
        if (out->window_us > 0)
            u.rate = rates(u.sum, *before, out->window_us);
        /* A page of zeros stays untouched. */
        if (again && (before->up != u.sum.up || before->down != u.sum.down))
            *before = u.sum;
        if (!online && u.rate.up + u.rate.down == 0)
            continue;
        enum status st = add_user(out, &u);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static void see_workers(struct status_look *l, bool again, const struct plane *plane,
                        struct status_view *out)
{
    for (unsigned i = 0; i < plane->workers && i < STATUS_WORKERS; i++) {
        struct status_worker *w = &out->workers[out->worker_count++];
        plane->worker(plane->self, i, &w->seen);
        if (out->window_us > 0)
            w->busy = (uint32_t)((w->seen.busy_us - l->busy_us[i]) * 1000 / out->window_us);
        if (again)
            l->busy_us[i] = w->seen.busy_us;
    }
}

static int compare(const void *a, const void *b)
{
    const struct status_user *x = a, *y = b;
    uint64_t p = x->rate.up + x->rate.down, q = y->rate.up + y->rate.down;

    if (p != q)
        return p > q ? -1 : 1;
    p = x->sum.up + x->sum.down;
    q = y->sum.up + y->sum.down;
    if (p != q)
        return p > q ? -1 : 1;
    if (x->user->uid != y->user->uid)
        return x->user->uid < y->user->uid ? -1 : 1;
    return x->node->no < y->node->no ? -1 : 1;
}

enum status status_look_at(struct status_look *l, bool again, const struct node_env *env,
                           const struct list *nodes, struct status_view *out)
{
    uint64_t now = loop_now_us(env->loop);
    enum status st = ST_OK;

    memset(out, 0, sizeof(*out));
    if (again && !make_room(l))
        return ST_E_NOMEM;
    if (l->at_us != 0 && now > l->at_us)
        out->window_us = now - l->at_us;
    LIST_FOREACH(i, tmp, nodes) {
        struct status_node *n = &out->nodes[out->node_count++];
        n->node = LIST_ENTRY(i, struct node, link);
        stats_node_total(env->stats, n->node->no, &n->sum.up, &n->sum.down);
        n->rate = rates(n->sum, l->nodes[n->node->no], out->window_us);
        if (again)
            l->nodes[n->node->no] = n->sum;
        if ((st = see_users(l, again, env, n, out)) != ST_OK) {
            status_view_free(out);
            return st;
        }
    }
    see_workers(l, again, env->plane, out);
    if (again)
        l->at_us = now;
    if (out->count > 0)
        qsort(out->users, out->count, sizeof(*out->users), compare);
    return st;
}

void status_view_free(struct status_view *v)
{
    free(v->users);
    v->users = NULL;
    v->count = v->room = 0;
}
