#include "control/joint_speed.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CELL        64u /* a cache line: users do not slow each other down */
#define CHUNK_CELLS 16384u
#define CHUNK_SIZE  ((size_t)CELL * CHUNK_CELLS)
#define CHUNKS      64u /* a million users */
#define HEAD        0u  /* the cell that says who has which */

struct head {
    _Atomic uint32_t next; /* cells up to there have been given, by any process */
};

struct joint_speed {
    int fd; /* -1: none */
    char *chunk[CHUNKS];
};

struct joint_speed *joint_speed_new(void)
{
    struct joint_speed *j = calloc(1, sizeof(*j));

    if (j != NULL)
        j->fd = -1;
    return j;
}

void joint_speed_free(struct joint_speed *j)
{
    if (j == NULL)
        return;
    for (unsigned i = 0; i < CHUNKS; i++)
        if (j->chunk[i] != NULL)
            munmap(j->chunk[i], CHUNK_SIZE);
    if (j->fd >= 0)
        close(j->fd);
    free(j);
}

bool joint_speed_take(struct joint_speed *j, int own_fd)
{
    if (j->fd >= 0) {
        close(own_fd);
        return false;
    }
    j->fd = own_fd;
    return true;
}

int joint_speed_fd(const struct joint_speed *j)
{
    return j->fd;
}

static size_t size_of(const struct joint_speed *j)
{
    struct stat st;

    return fstat(j->fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
}

/* Another process may be at it. */
static bool grow(const struct joint_speed *j, size_t size)
{
    return size_of(j) >= size || ftruncate(j->fd, (off_t)size) == 0 || size_of(j) >= size;
}

/* Who shrinks it ends those who look at it: so nobody can. */
static bool make(struct joint_speed *j)
{
    int fd = memfd_create("v2sp-speed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return false;
    j->fd = fd;
    struct head *h = fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && grow(j, CHUNK_SIZE)
                         ? joint_speed_at(j, HEAD, 1)
                         : NULL;
    if (h == NULL) {
        j->fd = -1;
        close(fd);
        return false;
    }
    atomic_store(&h->next, HEAD + 1);
    return true;
}

uint32_t joint_speed_add(struct joint_speed *j, uint32_t count)
{
    struct head *h = j->fd >= 0 || make(j) ? joint_speed_at(j, HEAD, 1) : NULL;
    uint32_t next, no;

    if (h == NULL || count > CHUNK_CELLS)
        return JOINT_SPEED_NONE;
    next = atomic_load(&h->next);
    do {
        no = next;
        if (no % CHUNK_CELLS + count > CHUNK_CELLS) /* not over the edge of a chunk */
            no += CHUNK_CELLS - no % CHUNK_CELLS;
        if (no >= CHUNKS * CHUNK_CELLS || !grow(j, (no / CHUNK_CELLS + 1) * CHUNK_SIZE))
            return JOINT_SPEED_NONE;
    } while (!atomic_compare_exchange_weak(&h->next, &next, no + count));
    return no;
}

void *joint_speed_at(struct joint_speed *j, uint32_t no, uint32_t count)
{
    uint32_t i = no / CHUNK_CELLS, at = no % CHUNK_CELLS;

    if (j->fd < 0 || i >= CHUNKS || count > CHUNK_CELLS - at)
        return NULL;
    if (j->chunk[i] == NULL) {
        if (size_of(j) < (i + 1) * CHUNK_SIZE)
            return NULL;
        void *p = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd,
                       (off_t)(i * CHUNK_SIZE));
        if (p == MAP_FAILED)
            return NULL;
        j->chunk[i] = p;
    }
    return j->chunk[i] + (size_t)at * CELL;
}

uint32_t joint_speed_no(const struct joint_speed *j, const void *p)
{
    uintptr_t at = (uintptr_t)p;

    for (uint32_t i = 0; p != NULL && i < CHUNKS; i++) {
        uintptr_t from = (uintptr_t)j->chunk[i];
        if (from != 0 && at >= from && at < from + CHUNK_SIZE)
            return i * CHUNK_CELLS + (uint32_t)((at - from) / CELL);
    }
    return JOINT_SPEED_NONE;
}
