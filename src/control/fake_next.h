/* control/fake_next.h - the next process of an upgrade beside a fake_world, for its tests. Not
 * part of the product. */
#ifndef CONTROL_FAKE_NEXT_H
#define CONTROL_FAKE_NEXT_H

#include "control/fake_world.h"

#include "control/controller_upgrade.h"

/* The new process's half. The old one's is the world. */
struct next {
    struct fake_plane plane;
    struct controller *c;
    unsigned listens, removed, left, present;
    struct controller_user gone;
    unsigned grants, outs;
    struct controller_device out;
    struct controller_streams granted;
    struct controller *before;
    bool stopped;
};

static inline void on_listens(void *arg)
{
    ((struct next *)arg)->listens++;
}

static inline void on_removed(void *arg, const struct controller_user *list, size_t count)
{
    struct next *n = arg;
    n->removed += (unsigned)count;
    n->gone = list[count - 1];
}

static inline void on_next_stopped(void *arg)
{
    ((struct next *)arg)->stopped = true;
}

static struct next *beside; /* in the place of one that is no world */

static inline void on_left_online(void *arg, const struct controller_user *list, size_t count)
{
    (void)arg;
    if (beside == NULL)
        return;
    beside->left += (unsigned)count;
    controller_take_online(beside->c, list, count);
}

static inline void on_present(void *arg, const struct controller_present *list, size_t count)
{
    (void)arg;
    if (beside == NULL)
        return;
    beside->present += (unsigned)count;
    controller_take_present(beside->c, list, count);
}

/* To the one before, if the test has one. */
static inline void on_grant(void *arg, const struct controller_streams *list, size_t count)
{
    struct next *n = arg;

    n->grants += (unsigned)count;
    n->granted = list[count - 1];
    if (n->before != NULL)
        controller_allow_streams(n->before, list, count);
}

static inline void on_put_out(void *arg, const struct controller_device *list, size_t count)
{
    struct next *n = arg;

    n->outs += (unsigned)count;
    n->out = list[count - 1];
}

static inline void start_beside(struct world *w, struct next *n, bool held)
{
    *n = (struct next){.listens = 0};
    struct controller_setup setup = {.loop = w->loop,
                                     .log = &lg,
                                     .plane = &n->plane.plane,
                                     .state_dir = w->dir,
                                     .held = held,
                                     .listens = on_listens,
                                     .removed = on_removed,
                                     .left_online = on_left_online,
                                     .present = on_present,
                                     .grant = on_grant,
                                     .put_out = on_put_out,
                                     .arg = n};
    fake_plane_init(&n->plane, w->loop);
    n->c = controller_new(&setup);
    assert_non_null(n->c);
    n->plane.controller = n->c;
    assert_int_equal(controller_apply(n->c, w->cfg), ST_OK);
    assert_true(controller_state_id(n->c) != 0);
    assert_true(controller_state_id(n->c) == controller_state_id(w->c));
}

static inline void start_next(struct world *w, struct next *n)
{
    start_beside(w, n, true);
}

static inline void end_next(struct next *n)
{
    fake_plane_fini(&n->plane);
    controller_free(n->c);
}

static inline void go_round(struct world *w)
{
    for (int i = 0; i < 20; i++)
        loop_once(w->loop, 0);
}

static inline void leave(struct world *w)
{
    controller_close_ports(w->c);
    controller_leave(w->c, on_stopped, w);
}

#endif
