/* io/loop.h - one thread's event loop: epoll, a timer wheel, and a list of work to do before
 * sleeping again.
 *
 * Single-threaded but for loop_wake (and the mailbox, io/mailbox.h). Watches, timers and tasks
 * are embedded in the caller's objects and may be removed at any time, from any callback, also
 * the one that is running. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"

struct loop;

enum loop_events {
    LOOP_IN = 1,   /* readable, or a connection to accept */
    LOOP_OUT = 2,  /* writable, or connected */
    LOOP_HUP = 4,  /* the peer sent FIN, or the socket is dead; reported whether asked or not */
    LOOP_EDGE = 8, /* in loop_watch_add: edge-triggered; without it level-triggered */
};

struct watch {
    int fd; /* -1: not registered */
    /* @events: loop_events seen. The fd stays the caller's. */
    void (*fn)(struct watch *, uint32_t events);
};

struct timer {
    struct list node;
    uint64_t at_ms; /* monotonic */
    void (*fn)(struct timer *);
};

struct task {
    struct list node;
    void (*fn)(struct task *);
};

/* NULL with errno set when the kernel gives no epoll or eventfd. */
struct loop *loop_new(void);
/* Nothing may be registered, armed or queued any more. NULL is fine. */
void loop_free(struct loop *l);
/* Runs until loop_stop. */
void loop_run(struct loop *l);
/* One round: waits at most @max_ms (-1: until something happens), runs what is due. For tests
 * and shutdown. */
void loop_once(struct loop *l, int max_ms);
/* loop_run returns after this round. The loop's thread. */
void loop_stop(struct loop *l);
/* Makes a sleeping loop go round; any thread, and signal handlers. */
void loop_wake(struct loop *l);

/* Monotonic time of this round: cheap, constant within a round. */
uint64_t loop_now_us(const struct loop *l);
uint64_t loop_now_ms(const struct loop *l);
/* Wall clock of this round in seconds since 1970. */
int64_t loop_unix_s(const struct loop *l);

/* Share of the last tenths of a second spent working, in thousandths; any thread. */
unsigned loop_busy(const struct loop *l);

struct loop_load {
    uint64_t busy_us;    /* at work since the loop was made */
    uint64_t longest_us; /* the longest round of the last minute or so: as long as an event had to
                            wait for its turn */
};
/* How the loop has fared; any thread. */
void loop_load(const struct loop *l, struct loop_load *out);

/* Registers @fd for @events (loop_events). ST_OK or ST_E_IO (errno). @w must not be registered. */
NODISCARD enum status loop_watch_add(struct loop *l, struct watch *w, int fd, uint32_t events,
                                     void (*fn)(struct watch *, uint32_t));
/* Changes the events of a registered watch. ST_OK or ST_E_IO (errno). */
NODISCARD enum status loop_watch_mod(struct loop *l, struct watch *w, uint32_t events);
/* Before closing the fd. Harmless when not registered. No event of this round reaches @w any
 * more. */
void loop_watch_del(struct loop *l, struct watch *w);
/* The same without the system call, right before the fd's only descriptor is closed, which
 * unregisters it. */
void loop_watch_forget(struct loop *l, struct watch *w);
/* @on: a process is being started, and until its exec is over it has copies of all descriptors, so
 * that closing ours unregisters nothing: loop_watch_forget makes the system call after all. */
void loop_files_shared(struct loop *l, bool on);

/* A timer is initialised once (timer_init), set again at will and fires once. Resolution 8 ms up
 * to 2 s, coarser further away (about 1/64 of the distance); never early. */
void timer_init(struct timer *t, void (*fn)(struct timer *));
void loop_timer_at(struct loop *l, struct timer *t, uint64_t at_ms);
void loop_timer_in(struct loop *l, struct timer *t, uint64_t after_ms);
void loop_timer_del(struct loop *l, struct timer *t);
bool timer_armed(const struct timer *t);

/* Runs @t->fn once before the loop sleeps again (in this round if queued from an event, in the
 * next if queued from a task). Queuing twice is once. */
void task_init(struct task *t, void (*fn)(struct task *));
void loop_task_add(struct loop *l, struct task *t);
void loop_task_del(struct loop *l, struct task *t);

#endif
