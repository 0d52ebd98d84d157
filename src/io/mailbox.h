/* io/mailbox.h - messages into a loop from other threads: many senders, one receiver, in order
 * per sender. */
#ifndef IO_MAILBOX_H
#define IO_MAILBOX_H

#include "base/status.h"

struct loop;
struct mailbox;

/* Embedded in the sender's heap object; the receiver's @fn owns it from the call on. */
struct message {
    struct message *next;
    void (*fn)(struct message *, void *receiver);
};

/* A mailbox delivered in @l's thread, with @receiver handed to every fn. NULL without memory or
 * fds. */
struct mailbox *mailbox_new(struct loop *l, void *receiver);
/* Delivers what is queued, then frees. The senders must be gone. */
void mailbox_free(struct mailbox *mb);
/* Any thread. Takes @m over; never fails, never blocks. */
void mailbox_send(struct mailbox *mb, struct message *m);

#endif
