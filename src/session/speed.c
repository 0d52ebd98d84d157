#include "session/speed.h"

#include "session/worker.h"

/* Datagrams do not wait for a slow user: those that would be late by more are dropped, as a slow
 * line drops them. */
#define DATAGRAM_SLACK_US 50000

static uint64_t now_us(const struct session *s)
{
    return loop_now_us(s->wn->worker->loop);
}

static uint32_t limit_of(const struct user_rt *u)
{
    return u ? atomic_load_explicit(&u->speed_mbps, memory_order_relaxed) : 0;
}

static struct bucket *bucket_of(const struct view_node *n, struct user_rt *u, bool up)
{
    return up && !n->speed_shared ? &u->up : &u->down;
}

static struct bucket *own_bucket(const struct session *s, bool up)
{
    return bucket_of(s->view->node, s->user, up);
}

static size_t brake_part(struct session *s, bool up)
{
    struct brake *b = up ? &s->brakes->up : &s->brakes->down;
    size_t room = brake_room(b, now_us(s));

    if (room == 0)
        session_wake_by(s, brake_ready_us(b) / 1000 + 1);
    return room;
}

static size_t user_part(struct session *s, bool up)
{
    struct pace *p = up ? &s->up_pace : &s->down_pace;
    uint32_t mbps = limit_of(s->user);
    uint64_t now = now_us(s);

    if (mbps == 0 && p->mbps == 0)
        return SIZE_MAX;
    size_t room = pace_room(p, own_bucket(s, up), mbps, now);
    if (room == 0)
        session_wake_by(s, pace_wake_us(p, now) / 1000 + 1);
    return room;
}

size_t speed_room(struct session *s, bool up, size_t want)
{
    size_t room = s->brakes ? brake_part(s, up) : SIZE_MAX;

    if (s->user && room > 0) {
        size_t his = user_part(s, up);
        room = his < room ? his : room;
    }
    return room < want ? room : want;
}

void speed_read(struct session *s, bool up, size_t n)
{
    if (s->brakes)
        brake_take(up ? &s->brakes->up : &s->brakes->down, n);
}

void speed_count(struct session *s, uint64_t up, uint64_t down)
{
    if (s->up_pace.mbps != 0)
        pace_take(&s->up_pace, own_bucket(s, true), up);
    if (s->down_pace.mbps != 0)
        pace_take(&s->down_pace, own_bucket(s, false), down);
}

void speed_filter(struct worker_node *wn, struct user_rt *user, bool up, struct bufq *q,
                  uint32_t paid)
{
    uint32_t mbps = limit_of(user), n = q->count;

    if (mbps == 0 || n <= paid)
        return;
    struct bucket *b = bucket_of(wn->view->node, user, up);
    uint64_t now = loop_now_us(wn->worker->loop);
    for (uint32_t i = 0; i < n; i++) {
        struct span *d = bufq_pop(q);
        if (i < paid || bucket_pass(b, mbps, d->len, now, DATAGRAM_SLACK_US))
            bufq_push(q, d);
        else
            span_free(wn->worker->pool, d);
    }
}

void speed_end(struct session *s)
{
    if (s->user == NULL)
        return;
    pace_end(&s->up_pace, own_bucket(s, true));
    pace_end(&s->down_pace, own_bucket(s, false));
}
