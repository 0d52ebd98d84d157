/* control/fake_plane.h - workers that do nothing, for controller_test. Not part of the product. */
#ifndef CONTROL_FAKE_PLANE_H
#define CONTROL_FAKE_PLANE_H

#include <stdlib.h>
#include <string.h>

#include "control/controller.h"
#include "io/loop.h"
#include "policy/user_live.h"

#define FAKE_NODES 4

/* What the workers answer comes later, from the loop, as from a mailbox. */
struct fake_plane {
    struct plane plane;
    struct loop *loop;
    struct controller *controller;
    struct task later;
    bool busy;         /* ports are in use */
    bool hold_removed; /* removed users have sessions that do not end */
    bool hold_gone;    /* so have nodes that were removed */
    struct {
        struct view *view;
        unsigned published, removed_nodes;
        bool tell_listening, tell_gone, tell_alive, tell_counted;
        unsigned ended_devices, closed_removed;
        uint32_t allowed[CONN_CLASSES];
    } nodes[FAKE_NODES];
    struct user_rt *leaving[256];
    size_t leaving_count;
    size_t removed; /* users, over all publications */
    struct plane_alive alive[16];
    size_t alive_count;
};

static inline void fake_later(struct task *t)
{
    struct fake_plane *p = LIST_ENTRY(t, struct fake_plane, later);
    const struct plane_sink *sink = controller_sink(p->controller);
    struct addr where = {.family = ADDR_IP4, .port = 1};

    for (uint32_t i = 0; i < FAKE_NODES; i++) {
        if (p->nodes[i].tell_listening) {
            struct why why = {.status = p->busy ? ST_E_BUSY : ST_OK};
            p->nodes[i].tell_listening = false;
            sink->listening(sink->self, i, why, &where);
        }
        if (p->nodes[i].tell_alive) {
            p->nodes[i].tell_alive = false;
            sink->alive(sink->self, i, p->alive, p->alive_count);
        }
        if (p->nodes[i].tell_counted) {
            p->nodes[i].tell_counted = false;
            sink->devices_counted(sink->self, i);
        }
        if (p->nodes[i].tell_gone && !p->hold_gone) {
            p->nodes[i].tell_gone = false;
            sink->node_gone(sink->self, i);
        }
    }
    if (p->hold_removed)
        return;
    for (size_t i = 0; i < p->leaving_count; i++)
        if (user_unref(p->leaving[i]))
            sink->user_released(sink->self, p->leaving[i]);
    p->leaving_count = 0;
}

static inline void fake_publish(void *self, struct view *v, struct user_rt *const *removed,
                                size_t n)
{
    struct fake_plane *p = self;

    BUG_ON(v->node_no >= FAKE_NODES || p->leaving_count + n > 256);
    view_unref(p->nodes[v->node_no].view);
    p->nodes[v->node_no].view = v;
    p->nodes[v->node_no].published++;
    p->nodes[v->node_no].tell_listening = true;
    for (size_t i = 0; i < n; i++)
        p->leaving[p->leaving_count++] = removed[i];
    p->removed += n;
    loop_task_add(p->loop, &p->later);
}

static inline void fake_remove(void *self, uint32_t no, uint32_t drain_ms)
{
    struct fake_plane *p = self;

    (void)drain_ms;
    view_unref(p->nodes[no].view);
    p->nodes[no].view = NULL;
    p->nodes[no].removed_nodes++;
    p->nodes[no].tell_gone = true;
    loop_task_add(p->loop, &p->later);
}

static inline void fake_collect(void *self, uint32_t no)
{
    struct fake_plane *p = self;

    p->nodes[no].tell_alive = true;
    loop_task_add(p->loop, &p->later);
}

static inline void fake_count_devices(void *self, uint32_t no)
{
    struct fake_plane *p = self;

    p->nodes[no].tell_counted = true;
    loop_task_add(p->loop, &p->later);
}

static inline void fake_close_removed(void *self, uint32_t no)
{
    ((struct fake_plane *)self)->nodes[no].closed_removed++;
}

static inline void fake_end_devices(void *self, uint32_t no)
{
    ((struct fake_plane *)self)->nodes[no].ended_devices++;
}

/* The caller looks at who has gone by the counts. */
static inline void fake_allow_streams(void *self, struct user_rt *u,
                                      const uint32_t allowed[CONN_CLASSES])
{
    struct user_live *live = user_live_get(u);
    struct list out;

    BUG_ON(live == NULL);
    list_init(&out);
    conns_allow(&live->conns, allowed, 0, &out);
    LIST_FOREACH(l, tmp, &out)
        list_del(l);
    memcpy(((struct fake_plane *)self)->nodes[u->node].allowed, allowed,
           CONN_CLASSES * sizeof(*allowed));
}

static inline void fake_stats(void *self, uint32_t no, struct plane_stats *out)
{
    (void)self;
    (void)no;
    memset(out, 0, sizeof(*out));
}

static inline void fake_worker(void *self, unsigned no, struct plane_worker *out)
{
    (void)self;
    *out = (struct plane_worker){.open = no};
}

static inline void fake_plane_init(struct fake_plane *p, struct loop *l)
{
    memset(p, 0, sizeof(*p));
    p->loop = l;
    task_init(&p->later, fake_later);
    p->plane = (struct plane){.self = p,
                              .workers = 2,
                              .publish = fake_publish,
                              .remove = fake_remove,
                              .close_removed = fake_close_removed,
                              .collect_alive = fake_collect,
                              .count_devices = fake_count_devices,
                              .end_devices = fake_end_devices,
                              .allow_streams = fake_allow_streams,
                              .stats = fake_stats,
                              .worker = fake_worker};
}

/* The workers end. */
static inline void fake_plane_fini(struct fake_plane *p)
{
    loop_task_del(p->loop, &p->later);
    for (size_t i = 0; i < FAKE_NODES; i++) {
        view_unref(p->nodes[i].view);
        p->nodes[i].view = NULL;
    }
}

#endif
