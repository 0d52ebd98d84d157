#include "session/speed.h"

#include "policy/user_live.h"
#include "session/worker.h"

/* Datagrams do not wait for a slow user: those that would be late by more are dropped, as a slow
 * line drops them. */
#define DATAGRAM_SLACK_US 50000

/* From here on a turn is two megabytes and more. Written at once they would leave as one burst,
 * whose end a queue on the way may drop, and in the worker's time; paced, they leave over a round
 * trip, by the kernel's timer. Smaller turns do not pay for the timers
 * (docs/internals/limits.md). */
#define PACED_KBPS 500000u

static uint64_t now_us(const struct session *s)
{
    return loop_now_us(s->wn->worker->loop);
}

/* What one direction of a user counts against. */
struct limits {
    uint32_t user_kbps, total_kbps;
    struct bucket *own;
    struct share_queue *total; /* NULL without a node's */
    struct share *share;
};

static struct limits limits_of(const struct view *v, struct user_rt *u, bool up)
{
    struct share_total *t = v->total;
    bool apart = up && !v->node->speed_shared;
    struct limits l = {.user_kbps = user_speed(u),
                       .own = user_bucket(u, apart),
                       .share = apart ? &u->up_share : &u->down_share};

    if (t != NULL) {
        l.total_kbps = atomic_load_explicit(&t->kbps, memory_order_relaxed);
        l.total = share_queue_of(t, apart);
    }
    return l;
}

static size_t brake_part(struct session *s, bool up)
{
    struct brake *b = up ? &s->brakes->up : &s->brakes->down;
    size_t room = brake_room(b, now_us(s));

    if (room == 0)
        session_wake_by(s, brake_ready_us(b) / 1000 + 1);
    return room;
}

static size_t user_part(struct session *s, bool up, const struct limits *l)
{
    struct pace *p = up ? &s->up_pace : &s->down_pace;
    uint64_t now = now_us(s);

    if (l->user_kbps == 0 && p->kbps == 0)
        return SIZE_MAX;
    size_t room = pace_room(p, l->own, l->user_kbps, now);
    if (room == 0)
        session_wake_by(s, pace_wake_us(p, now) / 1000 + 1);
    return room;
}

static size_t total_part(struct session *s, bool up, const struct limits *l, size_t want)
{
    struct stake *k = up ? &s->up_stake : &s->down_stake;
    uint64_t wake = 0;

    if (l->total_kbps == 0 && k->kbps == 0)
        return SIZE_MAX;
    size_t room = stake_room(k, l->share, l->total, l->total_kbps, want, now_us(s), &wake);
    if (room == 0)
        session_wake_by(s, wake / 1000 + 1);
    return room;
}

static void pace_sink(struct session *s, bool up, const struct limits *l)
{
    uint32_t kbps = limit_smaller(l->user_kbps, l->total_kbps);

    if (up || s->port == NULL)
        conn_pace(up ? &s->target : &s->client, kbps >= PACED_KBPS);
}

size_t speed_room(struct session *s, bool up, size_t want)
{
    size_t part = s->brakes ? brake_part(s, up) : SIZE_MAX;
    size_t room = part < want ? part : want;

    if (s->user == NULL || room == 0)
        return room;
    struct limits l = limits_of(s->view, s->user, up);
    pace_sink(s, up, &l);
    part = user_part(s, up, &l);
    room = part < room ? part : room;
    if (room > 0) {
        part = total_part(s, up, &l, room);
        room = part < room ? part : room;
    }
    if (room == 0)
        conn_mute(up ? &s->client : &s->target);
    return room;
}

static void end_stake(struct session *s, bool up, struct stake *k)
{
    if (k->bytes == 0 && !k->all)
        return;
    struct limits l = limits_of(s->view, s->user, up);
    stake_end(k, l.share, l.total, now_us(s));
}

void speed_turn_over(struct session *s)
{
    end_stake(s, true, &s->up_stake);
    end_stake(s, false, &s->down_stake);
}

void speed_read(struct session *s, bool up, size_t n)
{
    if (s->brakes)
        brake_take(up ? &s->brakes->up : &s->brakes->down, n);
}

static void count(struct session *s, bool up, struct pace *p, struct stake *k, uint64_t n)
{
    if (n == 0 || (p->kbps == 0 && k->kbps == 0))
        return;
    struct limits l = limits_of(s->view, s->user, up);
    if (p->kbps != 0)
        pace_take(p, l.own, n);
    if (k->kbps != 0)
        stake_take(k, l.share, n);
}

void speed_count(struct session *s, uint64_t up, uint64_t down)
{
    count(s, true, &s->up_pace, &s->up_stake, up);
    count(s, false, &s->down_pace, &s->down_stake, down);
}

/* May a datagram of @n bytes pass now? */
static bool pass(const struct limits *l, uint32_t n, uint64_t now)
{
    if (!share_pass(l->share, l->total, l->total_kbps, n, now, DATAGRAM_SLACK_US))
        return false;
    if (bucket_pass(l->own, l->user_kbps, n, now, DATAGRAM_SLACK_US))
        return true;
    if (l->total_kbps != 0)
        share_give_back(l->share, n);
    return false;
}

void speed_filter(struct worker_node *wn, struct user_rt *user, bool up, struct bufq *q,
                  uint32_t paid)
{
    uint32_t n = q->count;

    if (user == NULL || n <= paid)
        return;
    struct limits l = limits_of(wn->view, user, up);
    if (l.user_kbps == 0 && l.total_kbps == 0)
        return;
    uint64_t now = loop_now_us(wn->worker->loop);
    for (uint32_t i = 0; i < n; i++) {
        struct span *d = bufq_pop(q);
        if (i < paid || pass(&l, d->len, now)) {
            bufq_push(q, d);
            continue;
        }
        span_free(wn->worker->pool, d);
        worker_count(&wn->stats->dropped, 1);
    }
}

void speed_end(struct session *s)
{
    if (s->user == NULL)
        return;
    speed_turn_over(s);
    pace_end(&s->up_pace, limits_of(s->view, s->user, true).own);
    pace_end(&s->down_pace, limits_of(s->view, s->user, false).own);
}
