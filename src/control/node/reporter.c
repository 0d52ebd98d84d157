#include "control/node/reporter.h"

#include <stdlib.h>

#include "control/node/device_book.h"
#include "control/node/node.h"
#include "control/node/node_alive.h"
#include "control/node/node_push.h"

#define FIRST_MS 5000 /* what the last run left should not wait */

struct reporter {
    struct node *n;
    struct node_push push;
    struct node_alive alive;
    struct task end;
    bool started, finishing;
};

static void on_end(struct task *t)
{
    struct reporter *r = LIST_ENTRY(t, struct reporter, end);
    struct node *n = r->n;

    n->state = NODE_ENDED;
    n->env->ended(n->env->arg, n);
}

/* Finishing: one of the two has come to an end. */
static void look_for_the_end(void *arg)
{
    struct reporter *r = arg;

    if (r->push.over && r->alive.job.call == NULL)
        loop_task_add(r->n->env->loop, &r->end);
}

/* The node is there twice while the sessions of one that was taken out of the file and put back
 * end. */
static struct node_alive *heir_of(void *arg)
{
    const struct node *n = ((struct reporter *)arg)->n;

    LIST_FOREACH(l, tmp, &n->panel->nodes) {
        struct reporter *other = LIST_ENTRY(l, struct node, panel_link)->reporter;
        if (other != arg && other->n->store_node == n->store_node && !other->finishing)
            return &other->alive;
    }
    return NULL;
}

/* ---- life ---- */

struct reporter *reporter_new(struct node *n)
{
    struct reporter *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->n = n;
    node_push_init(&r->push, n, look_for_the_end, r);
    node_alive_init(&r->alive, n, heir_of, look_for_the_end, r);
    task_init(&r->end, on_end);
    return r;
}

void reporter_free(struct reporter *r)
{
    if (r == NULL)
        return;
    node_push_stop(&r->push);
    node_alive_fini(&r->alive);
    loop_task_del(r->n->env->loop, &r->end);
    free(r);
}

void reporter_start(struct reporter *r)
{
    if (r->started)
        return;
    r->started = true;
    node_push_start(&r->push, FIRST_MS);
    node_alive_start(&r->alive, FIRST_MS);
}

void reporter_poke(struct reporter *r)
{
    if (!r->started || r->finishing)
        return;
    node_push_poke(&r->push);
    node_alive_poke(&r->alive);
}

void reporter_finish(struct reporter *r)
{
    if (r->finishing)
        return;
    r->finishing = true;
    node_alive_finish(&r->alive);
    node_push_finish(&r->push);
}

void reporter_abandon(struct reporter *r)
{
    r->finishing = true;
    node_push_stop(&r->push);
    node_alive_stop(&r->alive);
    loop_task_add(r->n->env->loop, &r->end);
}

/* ---- what others say and ask ---- */

void reporter_take_online(struct reporter *r, const uint64_t *uids, size_t count)
{
    node_alive_take(&r->alive, uids, count);
}

void reporter_on_alive(struct reporter *r, const struct plane_alive *list, size_t n)
{
    node_alive_seen(&r->alive, list, n);
}

void reporter_leave(struct reporter *r)
{
    node_alive_leave(&r->alive);
}

struct online_guests *reporter_guests(struct reporter *r)
{
    return &r->alive.guests;
}

size_t reporter_find(const struct reporter *r, uint64_t uid)
{
    return online_list_find(&r->alive.shown, uid);
}

const struct addr *reporter_shown(const struct reporter *r, uint64_t uid, size_t at)
{
    const struct online *list = r->alive.shown.own_list;

    return at < r->alive.shown.count && list[at].uid == uid ? &list[at].ip : NULL;
}

bool reporter_has_shown(const struct reporter *r, uint64_t uid, const struct addr *ip)
{
    return online_list_has(&r->alive.shown, uid, ip);
}

bool reporter_told_before(const struct reporter *r, uint64_t at_ms)
{
    return r->alive.told_ms != 0 && r->alive.told_ms <= at_ms;
}

bool reporter_is_pushing(const struct reporter *r)
{
    return node_push_is_pushing(&r->push) || r->alive.job.call != NULL;
}

void reporter_pushed(const struct reporter *r, uint64_t *up, uint64_t *down)
{
    *up = r->push.pushed_up;
    *down = r->push.pushed_down;
}

void reporter_times(const struct reporter *r, int64_t *pushed_s, uint64_t *next_ms)
{
    uint64_t now = loop_now_ms(r->n->env->loop);

    *pushed_s = r->push.pushed_s;
    *next_ms = timer_armed(&r->push.job.timer) && r->push.job.timer.at_ms > now
                   ? r->push.job.timer.at_ms - now
                   : 0;
}

uint64_t reporter_sending(const struct reporter *r)
{
    return r->push.job.call != NULL ? r->push.seq : 0;
}

const char *reporter_problem(const struct reporter *r)
{
    if (r->push.other_trouble.key != 0)
        return r->push.other_trouble.text;
    return r->push.job.trouble.key != 0 ? r->push.job.trouble.text : r->alive.job.trouble.text;
}

const struct node_job *reporter_push(const struct reporter *r)
{
    return &r->push.job;
}

const struct node_job *reporter_alive(const struct reporter *r)
{
    return &r->alive.job;
}

bool reporter_has_trouble(const struct reporter *r, const struct node_job *but, uint64_t key)
{
    return (but != &r->push.job && r->push.job.trouble.key == key) ||
           (but != &r->alive.job && r->alive.job.trouble.key == key);
}
