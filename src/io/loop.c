#include "io/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256

/* Timer wheel: three levels of 256 slots of 8 ms, 2 s and 9 min. A timer lies in the level whose
 * span holds it and moves down when the hand of its level passes; setting and removing cost the
 * same whatever the distance. */
#define TICK_MS   8u
#define SLOT_BITS 8
#define SLOTS     (1u << SLOT_BITS)
#define LEVELS    3u

#define BUSY_WINDOW_US    100000u
#define LONGEST_WINDOW_US 30000000u

struct loop {
    int epfd, wake_fd;
    struct watch wake;
    bool stop, files_shared;
    uint64_t now_us;
    int64_t unix_s;
    uint64_t tick; /* all timers due at or before this tick have run */
    uint32_t timers;
    struct list slots[LEVELS][SLOTS];
    struct list tasks;
    struct epoll_event events[EVENTS_MAX];
    uint64_t busy_us, busy_since_us; /* time at work in the current measuring window */
    _Atomic unsigned busy;           /* thousandths, smoothed */
    _Atomic uint64_t worked_us;      /* in all */
    uint64_t longest_since_us;
    _Atomic uint64_t longest_us[2]; /* round of this half a minute, and of the one before */
    int event_at, event_count;      /* what is still to be handled in this round */
};

static void refresh_clock(struct loop *l)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    l->now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    l->unix_s = (int64_t)ts.tv_sec;
}

static void on_wake(struct watch *w, uint32_t events)
{
    (void)events;
    uint64_t count;
    if (read(w->fd, &count, sizeof(count)) < 0)
        return; /* woken twice, read once */
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return NULL;
    l->wake.fd = -1;
    list_init(&l->tasks);
    for (unsigned i = 0; i < LEVELS; i++)
        for (unsigned j = 0; j < SLOTS; j++)
            list_init(&l->slots[i][j]);
    refresh_clock(l);
    l->busy_since_us = l->longest_since_us = l->now_us;
    l->tick = l->now_us / 1000 / TICK_MS;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->epfd < 0 || l->wake_fd < 0 ||
        loop_watch_add(l, &l->wake, l->wake_fd, LOOP_IN, on_wake) != ST_OK) {
        int saved = errno;
        loop_free(l);
        errno = saved;
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    if (l->epfd >= 0)
        close(l->epfd);
    free(l);
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

void loop_wake(struct loop *l)
{
    int saved = errno; /* may run in a signal handler */
    uint64_t one = 1;
    if (write(l->wake_fd, &one, sizeof(one)) < 0) {
        /* The counter is full: the loop is awake already. */
    }
    errno = saved;
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_us / 1000;
}

int64_t loop_unix_s(const struct loop *l)
{
    return l->unix_s;
}

unsigned loop_busy(const struct loop *l)
{
    return atomic_load_explicit(&l->busy, memory_order_relaxed);
}

static uint64_t clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void loop_load(const struct loop *l, struct loop_load *out)
{
    uint64_t now = atomic_load_explicit(&l->longest_us[0], memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&l->longest_us[1], memory_order_relaxed);

    out->busy_us = atomic_load_explicit(&l->worked_us, memory_order_relaxed);
    out->longest_us = now > before ? now : before;
}

static void account_round(struct loop *l, uint64_t now, uint64_t round)
{
    uint64_t longest = atomic_load_explicit(&l->longest_us[0], memory_order_relaxed);
    uint64_t worked = atomic_load_explicit(&l->worked_us, memory_order_relaxed);

    atomic_store_explicit(&l->worked_us, worked + round, memory_order_relaxed);
    if (now - l->longest_since_us >= LONGEST_WINDOW_US) {
        l->longest_since_us = now;
        atomic_store_explicit(&l->longest_us[1], longest, memory_order_relaxed);
        atomic_store_explicit(&l->longest_us[0], round, memory_order_relaxed);
    } else if (round > longest) {
        atomic_store_explicit(&l->longest_us[0], round, memory_order_relaxed);
    }
}

/* Called before sleeping: what has passed since the loop woke up was work. */
static void account_busy(struct loop *l)
{
    uint64_t now = clock_us(), window = now - l->busy_since_us;
    account_round(l, now, now - l->now_us);
    l->busy_us += now - l->now_us;
    if (window < BUSY_WINDOW_US)
        return;
    unsigned share = (unsigned)(l->busy_us * 1000 / window);
    atomic_store_explicit(&l->busy, (loop_busy(l) + share) / 2, memory_order_relaxed);
    l->busy_us = 0;
    l->busy_since_us = now;
}

/* ---- watches ---- */

static uint32_t to_epoll(uint32_t events)
{
    return (events & LOOP_IN ? EPOLLIN : 0u) | (events & LOOP_OUT ? EPOLLOUT : 0u) |
           (events & LOOP_HUP ? EPOLLRDHUP : 0u) | (events & LOOP_EDGE ? EPOLLET : 0u);
}

enum status loop_watch_add(struct loop *l, struct watch *w, int fd, uint32_t events,
                           void (*fn)(struct watch *, uint32_t))
{
    struct epoll_event ev = {.events = to_epoll(events), .data.ptr = w};
    w->fn = fn;
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        w->fd = -1;
        return ST_E_IO;
    }
    w->fd = fd;
    return ST_OK;
}

enum status loop_watch_mod(struct loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = to_epoll(events), .data.ptr = w};
    return epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) == 0 ? ST_OK : ST_E_IO;
}

static void drop_events(struct loop *l, struct watch *w)
{
    w->fd = -1;
    /* Events already fetched in this round must not reach a freed watch. */
    for (int i = l->event_at; i < l->event_count; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

void loop_watch_del(struct loop *l, struct watch *w)
{
    if (w->fd < 0)
        return;
    struct epoll_event ev = {0};
    epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, &ev);
    drop_events(l, w);
}

void loop_watch_forget(struct loop *l, struct watch *w)
{
    if (l->files_shared)
        loop_watch_del(l, w);
    else
        drop_events(l, w);
}

void loop_files_shared(struct loop *l, bool on)
{
    l->files_shared = on;
}

static void run_events(struct loop *l)
{
    while (l->event_at < l->event_count) {
        struct epoll_event *e = &l->events[l->event_at++];
        struct watch *w = e->data.ptr;
        if (w == NULL)
            continue;
        uint32_t seen = 0;
        if (e->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            seen |= LOOP_IN;
        if (e->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            seen |= LOOP_OUT;
        if (e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            seen |= LOOP_HUP;
        w->fn(w, seen);
    }
}

/* ---- timers ---- */

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
    list_init(&t->node);
    t->at_ms = 0;
    t->fn = fn;
}

bool timer_armed(const struct timer *t)
{
    return list_linked(&t->node);
}

static void wheel_insert(struct loop *l, struct timer *t)
{
    /* Rounded up: never early. */
    uint64_t due = (t->at_ms + TICK_MS - 1) / TICK_MS;
    if (due <= l->tick)
        due = l->tick + 1;
    uint64_t away = due - l->tick;
    unsigned level = 0;
    while (level < LEVELS - 1 && away >= ((uint64_t)SLOTS << (SLOT_BITS * level)))
        level++;
    uint64_t far = (((uint64_t)SLOTS - 1) << (SLOT_BITS * level));
    if (away > far)
        due = l->tick + far; /* beyond the wheel: looked at again when the hand comes by */
    unsigned slot = (unsigned)(due >> (SLOT_BITS * level)) & (SLOTS - 1);
    list_add_tail(&l->slots[level][slot], &t->node);
}

void loop_timer_at(struct loop *l, struct timer *t, uint64_t at_ms)
{
    if (list_linked(&t->node))
        list_del(&t->node);
    else
        l->timers++;
    t->at_ms = at_ms;
    wheel_insert(l, t);
}

void loop_timer_in(struct loop *l, struct timer *t, uint64_t after_ms)
{
    loop_timer_at(l, t, l->now_us / 1000 + after_ms);
}

void loop_timer_del(struct loop *l, struct timer *t)
{
    if (!list_linked(&t->node))
        return;
    list_del(&t->node);
    l->timers--;
}

static void run_slot(struct loop *l, struct list *slot)
{
    struct list due;
    list_init(&due);
    /* Moved aside first: a callback may set timers into this very slot. */
    while (!list_empty(slot)) {
        struct list *n = slot->next;
        list_del(n);
        list_add_tail(&due, n);
    }
    while (!list_empty(&due)) {
        struct timer *t = LIST_ENTRY(due.next, struct timer, node);
        list_del(&t->node);
        if ((t->at_ms + TICK_MS - 1) / TICK_MS > l->tick) {
            wheel_insert(l, t); /* came down a level, or was beyond the wheel */
            continue;
        }
        l->timers--;
        t->fn(t);
    }
}

static void run_timers(struct loop *l)
{
    uint64_t now = l->now_us / 1000 / TICK_MS;
    if (l->timers == 0) {
        l->tick = now;
        return;
    }
    while (l->tick < now) {
        l->tick++;
        for (unsigned level = LEVELS - 1; level > 0; level--)
            if ((l->tick & (((uint64_t)1 << (SLOT_BITS * level)) - 1)) == 0)
                run_slot(l, &l->slots[level][(l->tick >> (SLOT_BITS * level)) & (SLOTS - 1)]);
        run_slot(l, &l->slots[0][l->tick & (SLOTS - 1)]);
    }
}

/* Milliseconds until the next timer may be due, -1 for none: exact within the lowest level, else
 * its end. */
static int next_timer_ms(const struct loop *l)
{
    if (l->timers == 0)
        return -1;
    for (unsigned i = 1; i <= SLOTS; i++) {
        uint64_t tick = l->tick + i;
        bool cascade = (tick & (SLOTS - 1)) == 0;
        if (cascade || !list_empty(&l->slots[0][tick & (SLOTS - 1)])) {
            uint64_t at_us = tick * TICK_MS * 1000;
            return at_us <= l->now_us ? 0 : (int)((at_us - l->now_us + 999) / 1000);
        }
    }
    return (int)(SLOTS * TICK_MS);
}

/* ---- tasks ---- */

void task_init(struct task *t, void (*fn)(struct task *))
{
    list_init(&t->node);
    t->fn = fn;
}

void loop_task_add(struct loop *l, struct task *t)
{
    if (!list_linked(&t->node))
        list_add_tail(&l->tasks, &t->node);
}

void loop_task_del(struct loop *l, struct task *t)
{
    (void)l;
    list_del(&t->node);
}

static void run_tasks(struct loop *l)
{
    struct list now;
    list_init(&now);
    /* Those queued while these run wait for the next round, so that a busy flow cannot starve
     * the sockets. */
    while (!list_empty(&l->tasks)) {
        struct list *n = l->tasks.next;
        list_del(n);
        list_add_tail(&now, n);
    }
    while (!list_empty(&now)) {
        struct task *t = LIST_ENTRY(now.next, struct task, node);
        list_del(&t->node);
        t->fn(t);
    }
}

void loop_once(struct loop *l, int max_ms)
{
    int wait = next_timer_ms(l);
    if (max_ms >= 0 && (wait < 0 || wait > max_ms))
        wait = max_ms;
    if (!list_empty(&l->tasks))
        wait = 0;
    account_busy(l);
    int n = epoll_wait(l->epfd, l->events, EVENTS_MAX, wait);
    refresh_clock(l);
    l->event_at = 0;
    l->event_count = n > 0 ? n : 0;
    run_events(l);
    l->event_at = l->event_count = 0;
    run_timers(l);
    run_tasks(l);
}

void loop_run(struct loop *l)
{
    l->stop = false;
    while (!l->stop)
        loop_once(l, -1);
}
