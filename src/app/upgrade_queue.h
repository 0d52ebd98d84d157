/* app/upgrade_queue.h - what one process of an upgrade has still to tell the other, in order:
 * things of one size that are sent in pieces. Single-threaded. */
#ifndef APP_UPGRADE_QUEUE_H
#define APP_UPGRADE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "app/upgrade_wire.h"

/* Made by naming the message and the size of a thing as the program has it; freed by
 * upgrade_queue_fini. */
struct upgrade_queue {
    enum upgrade_type type; /* ONLINE, REMOVED, DEVICES and the like */
    size_t each;            /* bytes */
    char *own_items;
    size_t first, count, room; /* things: where the oldest is, how many wait */
    size_t most;               /* so many may wait */
};

/* Adds @count things, or none of them. False: no memory, or too many would wait. */
bool upgrade_queue_add(struct upgrade_queue *q, const void *items, size_t count);
/* Copies the oldest, @max at most, to @dst. Returns how many. */
size_t upgrade_queue_peek(const struct upgrade_queue *q, void *dst, size_t max);
/* The oldest @count are gone. */
void upgrade_queue_drop(struct upgrade_queue *q, size_t count);
/* Sends the oldest in one message. ST_OK; ST_MORE: there are none; else as upgrade_send: they stay.
 */
NODISCARD enum status upgrade_queue_send(struct upgrade_queue *q, int fd);
/* Frees it; it is empty then. */
void upgrade_queue_fini(struct upgrade_queue *q);

#endif
