#include "session/handoff.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct entry {
    struct handoff_key key;
    int fd; /* -1: gone */
};

struct handoff {
    pthread_mutex_t lock;
    struct entry *list;
    size_t count, room;
    bool lost; /* one could not be added */
};

struct handoff *handoff_new(void)
{
    struct handoff *h = calloc(1, sizeof(*h));
    if (h != NULL)
        pthread_mutex_init(&h->lock, NULL);
    return h;
}

void handoff_free(struct handoff *h)
{
    if (h == NULL)
        return;
    handoff_close(h);
    pthread_mutex_destroy(&h->lock);
    free(h->list);
    free(h);
}

static bool has_room(struct handoff *h)
{
    if (h->count < h->room)
        return true;
    size_t room = h->room == 0 ? 64 : h->room * 2;
    struct entry *list = realloc(h->list, room * sizeof(*list));
    if (list == NULL)
        return false;
    h->list = list;
    h->room = room;
    return true;
}

enum status handoff_add(struct handoff *h, const struct handoff_key *key, int own_fd)
{
    enum status st = ST_OK;
    pthread_mutex_lock(&h->lock);
    if (h->count == HANDOFF_MAX)
        st = ST_E_LIMIT;
    else if (!has_room(h))
        st = ST_E_NOMEM;
    else
        h->list[h->count++] = (struct entry){.key = *key, .fd = own_fd};
    h->lost |= st != ST_OK;
    pthread_mutex_unlock(&h->lock);
    if (st != ST_OK)
        close(own_fd);
    return st;
}

enum status handoff_add_copy(struct handoff *h, const struct handoff_key *key, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy >= 0)
        return handoff_add(h, key, copy);
    pthread_mutex_lock(&h->lock);
    h->lost = true;
    pthread_mutex_unlock(&h->lock);
    return ST_E_IO;
}

bool handoff_is_whole(const struct handoff *h)
{
    return !h->lost;
}

static bool matches(const struct handoff_key *a, const struct handoff_key *b)
{
    return a->udp == b->udp && addr_equal(&a->where, &b->where) &&
           (a->where.family != ADDR_IP6 || a->v6only == b->v6only);
}

int handoff_take(struct handoff *h, const struct handoff_key *key, unsigned part, unsigned parts)
{
    int fd = -1;
    unsigned nth = 0;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->count && fd < 0; i++) {
        struct entry *e = &h->list[i];
        /* Those that are gone count, too: a share stays the same while it is taken. */
        if (!matches(&e->key, key) || nth++ % parts != part)
            continue;
        fd = e->fd;
        e->fd = -1;
    }
    pthread_mutex_unlock(&h->lock);
    return fd;
}

void handoff_close(struct handoff *h)
{
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->count; i++) {
        if (h->list[i].fd >= 0)
            close(h->list[i].fd);
        h->list[i].fd = -1;
    }
    pthread_mutex_unlock(&h->lock);
}

size_t handoff_count(const struct handoff *h)
{
    return h->count;
}

int handoff_peek(const struct handoff *h, size_t i, struct handoff_key *key)
{
    *key = h->list[i].key;
    return h->list[i].fd;
}
