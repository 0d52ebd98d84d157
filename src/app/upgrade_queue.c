#include "app/upgrade_queue.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(struct upgrade_queue *q, size_t more)
{
    if (q->first > 0)
        memmove(q->own_items, q->own_items + q->first * q->each, q->count * q->each);
    q->first = 0;
    if (q->room - q->count >= more)
        return true;
    size_t room = (q->count + more) * 2;
    char *p = realloc(q->own_items, room * q->each);
    if (p == NULL)
        return false;
    q->own_items = p;
    q->room = room;
    return true;
}

bool upgrade_queue_add(struct upgrade_queue *q, const void *items, size_t count)
{
    if (count == 0)
        return true;
    if (count > q->most || q->count > q->most - count)
        return false;
    if (q->room - q->first - q->count < count && !make_room(q, count))
        return false;
    memcpy(q->own_items + (q->first + q->count) * q->each, items, count * q->each);
    q->count += count;
    return true;
}

size_t upgrade_queue_peek(const struct upgrade_queue *q, void *dst, size_t max)
{
    size_t n = q->count < max ? q->count : max;

    if (n > 0)
        memcpy(dst, q->own_items + q->first * q->each, n * q->each);
    return n;
}

void upgrade_queue_drop(struct upgrade_queue *q, size_t count)
{
    q->first += count;
    q->count -= count;
    if (q->count > 0)
        return;
    /* A long list comes seldom. */
    free(q->own_items);
    q->own_items = NULL;
    q->first = q->room = 0;
}

#define PIECE 256u /* what a message takes of any kind */
_Static_assert(PIECE <= CONTROLLER_USERS_MAX && PIECE <= CONTROLLER_DEVICES_MAX &&
                   PIECE <= CONTROLLER_STREAMS_MAX && PIECE <= CONTROLLER_CELLS_MAX &&
                   PIECE <= CONTROLLER_PRESENT_MAX,
               "a message takes a piece");

enum status upgrade_queue_send(struct upgrade_queue *q, int fd)
{
    struct upgrade_message m = {.type = q->type};

    m.count = upgrade_queue_peek(q, m.users, PIECE); /* members of a union begin at one place */
    enum status st = m.count > 0 ? upgrade_send(fd, &m) : ST_MORE;
    if (st == ST_OK)
        upgrade_queue_drop(q, m.count);
    return st;
}

void upgrade_queue_fini(struct upgrade_queue *q)
{
    upgrade_queue_drop(q, q->count);
}
