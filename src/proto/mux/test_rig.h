/* proto/mux/test_rig.h - a carrier in memory, for tests: what a client wrote goes in,
 * streams are opened as it asks, what the server wrote is kept. */
#ifndef PROTO_MUX_TEST_RIG_H
#define PROTO_MUX_TEST_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mux/mux.h"

#define RIG_STREAMS 64

struct rig_stream {
    struct mux_stream mux;
    struct bufq up, down;
    bool used;
};

struct rig {
    struct pool *pool;
    struct mux mux;
    struct bufq in, out;
    struct rig_stream streams[RIG_STREAMS];
    bool refuse, resumed;
    enum status st; /* what the last mux_rx said */
    struct why why;
    char log[8192]; /* one line an event, in order; data summed up until the next other event */
};

static inline void rig_log(struct rig *r, const char *line)
{
    size_t n = strlen(r->log);
    snprintf(r->log + n, sizeof(r->log) - n, "%s\n", line);
}

static inline void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->pool = pool_new(0);
    if (r->pool == NULL)
        abort();
    mux_init(&r->mux, r->pool);
    bufq_init(&r->in, 65536);
    bufq_init(&r->out, 65536);
}

static inline void rig_free_stream(struct rig *r, struct rig_stream *s)
{
    bufq_clear(&s->up, r->pool);
    bufq_clear(&s->down, r->pool);
    s->used = false;
}

static inline void rig_fini(struct rig *r)
{
    struct mux_stream *st;
    while ((st = mux_first(&r->mux)) != NULL)
        mux_remove(&r->mux, st);
    for (unsigned i = 0; i < RIG_STREAMS; i++)
        rig_free_stream(r, &r->streams[i]);
    mux_fini(&r->mux);
    bufq_clear(&r->in, r->pool);
    bufq_clear(&r->out, r->pool);
    if (pool_used(r->pool) != 0)
        abort();
    pool_free(r->pool);
}

static inline struct rig_stream *rig_of(struct mux_stream *st)
{
    return (struct rig_stream *)(void *)((char *)st - offsetof(struct rig_stream, mux));
}

static inline struct rig_stream *rig_stream(struct rig *r, uint16_t id)
{
    for (unsigned i = 0; i < RIG_STREAMS; i++)
        if (r->streams[i].used && r->streams[i].mux.id == id)
            return &r->streams[i];
    return NULL;
}

static inline void rig_open(struct rig *r, const struct mux_frame *f)
{
    struct rig_stream *s = NULL;
    for (unsigned i = 0; i < RIG_STREAMS && s == NULL; i++)
        if (!r->streams[i].used)
            s = &r->streams[i];
    if (r->refuse || s == NULL) {
        if (mux_refuse(&r->mux, f, &r->out) != ST_OK)
            abort();
        return;
    }
    memset(s, 0, sizeof(*s));
    s->used = true;
    bufq_init(&s->up, UINT32_MAX);
    bufq_init(&s->down, UINT32_MAX);
    s->mux.up = &s->up;
    s->mux.down = &s->down;
    mux_add(&r->mux, &s->mux, f, r->resumed);
}

static inline void rig_note(struct rig *r, const struct mux_event *ev)
{
    char line[TARGET_STRLEN + 80], where[TARGET_STRLEN];
    if (ev->kind == MUX_EV_OPEN) {
        snprintf(line, sizeof(line), "open %u %s %s%s", ev->open.id,
                 ev->open.network == MUX_UDP ? "udp" : "tcp", target_str(&ev->open.target, where),
                 ev->open.has_global ? " global" : "");
        rig_log(r, line);
    } else if (ev->kind != MUX_EV_DATA) {
        snprintf(line, sizeof(line), "%s %u", ev->kind == MUX_EV_ENDED ? "ended" : "replaced",
                 ev->stream->id);
        rig_log(r, line);
    }
}

/* Runs mux_rx until it wants something; ended streams are kept until the rig goes. */
static inline enum status rig_run(struct rig *r)
{
    static struct mux_event ev;
    while ((r->st = mux_rx(&r->mux, &r->in, &r->out, &ev, &r->why)) == ST_OK) {
        rig_note(r, &ev);
        if (ev.kind == MUX_EV_OPEN)
            rig_open(r, &ev.open);
        else if (ev.kind == MUX_EV_REPLACED)
            rig_free_stream(r, rig_of(ev.stream));
    }
    return r->st;
}

static inline enum status rig_feed(struct rig *r, const void *data, size_t n)
{
    if (bufq_put(&r->in, data, n, r->pool) != ST_OK)
        abort();
    return rig_run(r);
}

#endif
