/* The queue is a lock-free stack that the receiver takes whole and turns round; its length never
 * matters to a sender. */
#include "io/mailbox.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/loop.h"

struct mailbox {
    struct watch watch;
    struct loop *loop;
    void *receiver;
    _Atomic(struct message *) top;
};

static void deliver(struct mailbox *mb)
{
    struct message *m = atomic_exchange_explicit(&mb->top, NULL, memory_order_acquire);
    struct message *first = NULL;
    while (m) {
        struct message *next = m->next;
        m->next = first;
        first = m;
        m = next;
    }
    while (first) {
        struct message *next = first->next;
        first->fn(first, mb->receiver);
        first = next;
    }
}

static void on_event(struct watch *w, uint32_t events)
{
    (void)events;
    struct mailbox *mb = LIST_ENTRY(w, struct mailbox, watch);
    uint64_t count;
    /* Before taking the queue: a sender that pushes after the exchange writes again and is seen
     * next round. */
    if (read(w->fd, &count, sizeof(count)) < 0) {
        /* Another round already took the count; the queue is still looked at. */
    }
    deliver(mb);
}

struct mailbox *mailbox_new(struct loop *l, void *receiver)
{
    struct mailbox *mb = calloc(1, sizeof(*mb));
    if (mb == NULL)
        return NULL;
    mb->loop = l;
    mb->receiver = receiver;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0 || loop_watch_add(l, &mb->watch, fd, LOOP_IN, on_event) != ST_OK) {
        if (fd >= 0)
            close(fd);
        free(mb);
        return NULL;
    }
    return mb;
}

void mailbox_free(struct mailbox *mb)
{
    if (mb == NULL)
        return;
    deliver(mb);
    int fd = mb->watch.fd;
    loop_watch_del(mb->loop, &mb->watch);
    close(fd);
    free(mb);
}

void mailbox_send(struct mailbox *mb, struct message *m)
{
    struct message *top = atomic_load_explicit(&mb->top, memory_order_relaxed);
    do {
        m->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&mb->top, &top, m, memory_order_release,
                                                    memory_order_relaxed));
    if (top == NULL) {
        uint64_t one = 1;
        /* Only a full counter could refuse, and then the receiver is awake anyway. */
        if (write(mb->watch.fd, &one, sizeof(one)) < 0)
            return;
    }
}
