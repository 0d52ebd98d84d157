#include "control/store/counters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/store/spool.h"
#include "control/store/store.h"

#define MAGIC     UINT64_C(0x31544e4350533256) /* "V2SPCNT1" */
#define HEAD_SIZE 4096u
#define NAME      "counters-"
/* More than any line moves in a lifetime: a damaged file, not traffic. */
#define SUM_MAX (UINT64_C(1) << 60)
#define WORDS   (COUNTERS_SLOTS / 64)

struct head {
    uint64_t magic, store_id;
    uint32_t epoch, workers, slots;
    _Atomic uint32_t usable; /* slots below are backed by the file */
};

/* aid 0: the slot is free. */
struct account {
    _Atomic uint64_t aid;
    uint64_t uid;
    uint32_t node, reserved;
};

struct counters {
    struct store *store;
    const struct log *lg;
    char path[1024];
    char dir[1024]; /* "": none */
    bool others;    /* counters of a living process lie there, too */
    int fd;         /* -1: anonymous memory */
    bool spilled;   /* so are the later slots */
    uint32_t epoch;
    unsigned workers;
    uint8_t *base;
    size_t size;
    struct head *head;
    struct account *accounts;
    struct meter *meters; /* one a worker */
    uint32_t usable;      /* slots below may be touched; also in head */
    uint32_t fresh;       /* slots from here on were never used, their cells are zero */
    uint32_t serial;      /* of accounts in this epoch */
    uint32_t *freed;      /* stack of used and freed slots */
    uint32_t freed_count, freed_room;
    uint32_t *retired; /* waiting for a committed sample */
    uint32_t retired_count, retired_room;
    counters_moved_fn *moved; /* NULL: nobody asks */
    void *moved_arg;
    uint64_t *told;    /* with @moved: a slot's sum when it was last called */
    uint64_t *pending; /* taken dirty bits that are not committed; retired ones too */
};

static size_t accounts_at(void)
{
    return HEAD_SIZE;
}

static size_t dirty_at(unsigned worker)
{
    return accounts_at() + sizeof(struct account) * COUNTERS_SLOTS +
           sizeof(uint64_t) * WORDS * worker;
}

static size_t cells_at(unsigned workers, unsigned worker)
{
    return dirty_at(workers) + sizeof(struct meter_cell) * (size_t)COUNTERS_SLOTS * worker;
}

static size_t file_size(unsigned workers)
{
    return cells_at(workers, workers);
}

static struct meter_cell *cell(const struct counters *c, unsigned worker, uint32_t slot)
{
    return &c->meters[worker].cells[slot];
}

/* ---- recovery of what earlier processes left ---- */

struct left {
    const uint8_t *base;
    size_t size;
    uint64_t store_id;
    uint32_t epoch, workers, usable;
};

static bool left_valid(struct left *l, const struct store *s)
{
    const struct head *h = (const void *)l->base;

    if (l->size < HEAD_SIZE || h->magic != MAGIC || h->slots != COUNTERS_SLOTS)
        return false;
    l->epoch = h->epoch;
    l->workers = h->workers;
    l->usable = atomic_load_explicit(&h->usable, memory_order_relaxed);
    return l->workers > 0 && l->workers <= 1024 && l->size == file_size(l->workers) &&
           l->usable <= COUNTERS_SLOTS && h->store_id == store_id(s);
}

/* Its process was killed before it counted anything. */
static bool half_made(const struct left *l)
{
    return l->size == 0 || (l->base != MAP_FAILED && l->size >= HEAD_SIZE &&
                            ((const struct head *)(const void *)l->base)->magic == 0);
}

static enum status put_left(const struct left *l, struct store *s, int64_t unix_s, size_t *moved)
{
    const struct account *accounts = (const void *)(l->base + accounts_at());

    for (uint32_t i = 0; i < l->usable; i++) {
        struct spool_account a = {.last = true, .uid = accounts[i].uid, .node = accounts[i].node};
        a.aid = atomic_load_explicit(&accounts[i].aid, memory_order_relaxed);
        if (a.aid == 0)
            continue;
        for (unsigned w = 0; w < l->workers; w++) {
            const struct meter_cell *m =
                (const struct meter_cell *)(const void *)(l->base + cells_at(l->workers, w)) + i;
            a.up += atomic_load_explicit(&m->up, memory_order_relaxed);
            a.down += atomic_load_explicit(&m->down, memory_order_relaxed);
        }
        if (a.up + a.down == 0)
            continue;
        if (a.aid >> 32 != l->epoch || a.up > SUM_MAX || a.down > SUM_MAX || a.node == 0)
            continue; /* a page that a power cut left half written */
        enum status st = spool_put(s, &a, unix_s);
        if (st != ST_OK)
            return st;
        ++*moved;
    }
    return ST_OK;
}

/* One transaction: all of it, or none. */
static enum status move_left(const struct left *l, struct store *s, int64_t unix_s, size_t *moved)
{
    bool before = false;
    enum status st = store_begin(s);

    if (st != ST_OK)
        return st;
    /* First, so that accounts an earlier sample put are buried as well as those put below. */
    st = spool_recover(s, l->epoch, &before);
    if (st == ST_OK && !before)
        st = put_left(l, s, unix_s, moved);
    return store_finish(s, st);
}

/* Returns true if the file is still there and may be somebody's. */
static bool recover_file(const char *path, struct store *s, const struct log *lg)
{
    struct left l = {.base = MAP_FAILED};
    struct stat info;
    size_t moved = 0;
    bool kept = true;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return true;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &info) != 0)
        goto out; /* its owner lives (an upgrade) */
    l.size = (size_t)info.st_size;
    if (l.size > 0)
        l.base = mmap(NULL, l.size, PROT_READ, MAP_SHARED, fd, 0);
    if (half_made(&l)) {
        kept = unlink(path) != 0;
        goto out;
    }
    if (l.base == MAP_FAILED || !left_valid(&l, s)) {
        log_line(lg, LOG_WARNING, NULL,
                 "%s does not belong to this state database: its traffic is not reported", path);
        kept = unlink(path) != 0;
        goto out;
    }
    /* Time 0: it has waited long enough for any threshold. */
    if (move_left(&l, s, 0, &moved) != ST_OK)
        goto out; /* said by the store */
    if (moved > 0)
        log_line(lg, LOG_INFO, NULL,
                 "the last process was killed: traffic of %zu users was taken from its counters",
                 moved);
    kept = unlink(path) != 0;
out:
    if (l.base != MAP_FAILED)
        munmap((void *)(uintptr_t)l.base, l.size);
    close(fd);
    return kept;
}

void counters_recover(struct counters *c)
{
    DIR *d = opendir(c->dir);
    char path[1024];

    c->others = false;
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, NAME, strlen(NAME)) == 0 &&
            snprintf(path, sizeof(path), "%s/%s", c->dir, e->d_name) < (int)sizeof(path) &&
            strcmp(path, c->path) != 0)
            c->others |= recover_file(path, c->store, c->lg);
    }
    closedir(d);
}

bool counters_has_others(const struct counters *c)
{
    return c->others;
}

static void recover_first(struct counters *c, const char *dir)
{
    if (snprintf(c->dir, sizeof(c->dir), "%s", dir) >= (int)sizeof(c->dir))
        c->dir[0] = '\0';
    counters_recover(c);
    /* Nobody but us is left: what starts before ours noted can have no counters any more (a reboot
     * emptied the directory). */
    if (!c->others && store_is_alone(c->store) &&
        spool_bury(c->store, store_epoch(c->store)) != ST_OK)
        log_line(c->lg, LOG_DEBUG, NULL, "old accounts stay in the database");
}

/* ---- making and ending ---- */

/* A file that is ours alone. Between its making and its lock the earlier process of an upgrade may
 * take it for what a killed one left: it looks and removes it, and another one is made. */
static int make_locked(struct counters *c)
{
    struct stat info = {0};

    while (info.st_nlink == 0) {
        c->fd = open(c->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (c->fd < 0)
            return errno;
        if (flock(c->fd, LOCK_EX) != 0 || fstat(c->fd, &info) != 0)
            return errno;
        if (info.st_nlink == 0)
            close(c->fd);
    }
    return 0;
}

static int make_file(struct counters *c, const char *dir, size_t size)
{
    mkdir(dir, 0700);
    if (snprintf(c->path, sizeof(c->path), "%s/" NAME "%" PRIu32, dir, c->epoch) >=
        (int)sizeof(c->path))
        return ENAMETOOLONG;
    int rc = make_locked(c);
    if (c->fd < 0)
        return rc;
    if (rc == 0 && ftruncate(c->fd, (off_t)size) != 0)
        rc = errno;
    if (rc == 0)
        rc = posix_fallocate(c->fd, 0, HEAD_SIZE);
    if (rc == 0)
        rc =
            posix_fallocate(c->fd, (off_t)dirty_at(0), (off_t)(dirty_at(c->workers) - dirty_at(0)));
    if (rc == 0) {
        c->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
        if (c->base == MAP_FAILED)
            rc = errno;
    }
    if (rc != 0) {
        unlink(c->path);
        close(c->fd);
        c->fd = -1;
    }
    return rc;
}

static bool make_memory(struct counters *c, const char *dir)
{
    c->size = file_size(c->workers);
    c->base = MAP_FAILED;
    c->fd = -1;
    bool wanted = dir != NULL && store_is_durable(c->store);
    int rc = wanted ? make_file(c, dir, c->size) : -1;
    if (rc != 0) {
        if (wanted)
            log_line(
                c->lg, LOG_ERROR, NULL,
                "live counters cannot be kept in %s (%s): they are kept in memory, traffic not yet "
                "stored is lost if the process is killed",
                dir, strerror(rc));
        c->base = mmap(NULL, c->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (c->base == MAP_FAILED)
        return false;
    c->head = (void *)c->base;
    c->accounts = (void *)(c->base + accounts_at());
    *c->head = (struct head){.magic = MAGIC,
                             .store_id = store_id(c->store),
                             .epoch = c->epoch,
                             .workers = c->workers,
                             .slots = COUNTERS_SLOTS};
    for (unsigned w = 0; w < c->workers; w++)
        c->meters[w] = (struct meter){.cells = (void *)(c->base + cells_at(c->workers, w)),
                                      .dirty = (void *)(c->base + dirty_at(w)),
                                      .slots = COUNTERS_SLOTS};
    return true;
}

static void release(struct counters *c)
{
    if (c->base != NULL && c->base != MAP_FAILED)
        munmap(c->base, c->size);
    if (c->fd >= 0)
        close(c->fd);
    free(c->meters);
    free(c->told);
    free(c->pending);
    free(c->freed);
    free(c->retired);
    free(c);
}

struct counters *counters_open(const char *dir, struct store *s, unsigned workers,
                               const struct log *lg)
{
    struct counters *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    *c = (struct counters){
        .store = s, .lg = lg, .fd = -1, .workers = workers, .epoch = store_epoch(s)};
    c->meters = calloc(workers, sizeof(*c->meters));
    c->pending = calloc(WORDS, sizeof(*c->pending));
    if (c->meters == NULL || c->pending == NULL) {
        release(c);
        return NULL;
    }
    if (dir != NULL)
        recover_first(c, dir);
    if (!make_memory(c, dir)) {
        release(c);
        return NULL;
    }
    return c;
}

bool counters_is_durable(const struct counters *c)
{
    return c->fd >= 0;
}

const struct meter *counters_meter(const struct counters *c, unsigned worker)
{
    BUG_ON(worker >= c->workers);
    return &c->meters[worker];
}

void counters_close(struct counters *c)
{
    if (c == NULL)
        return;
    struct left l = {.base = c->base,
                     .size = c->size,
                     .epoch = c->epoch,
                     .workers = c->workers,
                     .usable = c->usable};
    size_t moved = 0;
    /* A database in memory goes with us, so nothing could be done with the file. */
    bool done = !store_is_durable(c->store) || move_left(&l, c->store, 0, &moved) == ST_OK;
    if (done && c->fd >= 0)
        unlink(c->path);
    release(c);
}

/* ---- slots ---- */

/* Backs a part of the file with space; where there is none, with memory of our own in its place,
 * which ends with the process. */
static enum status fill(struct counters *c, size_t at, size_t len)
{
    if (c->fd < 0)
        return ST_OK;
    int rc = posix_fallocate(c->fd, (off_t)at, (off_t)len);
    if (rc == 0)
        return ST_OK;
    if (!c->spilled)
        log_line(c->lg, LOG_ERROR, NULL,
                 "no space for more live counters in %s (%s): the rest is kept in memory, its "
                 "traffic not yet stored is lost if the process is killed",
                 c->path, strerror(rc));
    c->spilled = true;
    void *p = mmap(c->base + at, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return p != MAP_FAILED ? ST_OK : ST_E_IO;
}

static enum status grow(struct counters *c)
{
    size_t at = c->usable;
    enum status st = fill(c, accounts_at() + at * sizeof(struct account),
                          COUNTERS_CHUNK * sizeof(struct account));

    for (unsigned w = 0; w < c->workers && st == ST_OK; w++)
        st = fill(c, cells_at(c->workers, w) + at * sizeof(struct meter_cell),
                  COUNTERS_CHUNK * sizeof(struct meter_cell));
    if (st != ST_OK)
        return st;
    c->usable += COUNTERS_CHUNK;
    if (!c->spilled)
        atomic_store_explicit(&c->head->usable, c->usable, memory_order_release);
    return ST_OK;
}

static bool stack_room(uint32_t **stack, uint32_t *room, uint32_t want)
{
    if (want <= *room)
        return true;
    uint32_t n = *room < 1024 ? 1024 : *room * 2;
    uint32_t *p = realloc(*stack, (n < want ? want : n) * sizeof(*p));
    if (p == NULL)
        return false;
    *stack = p;
    *room = n < want ? want : n;
    return true;
}

enum status counters_reserve(struct counters *c, uint32_t n)
{
    while (c->freed_count + (c->usable - c->fresh) < n) {
        if (c->usable == COUNTERS_SLOTS)
            return ST_E_LIMIT;
        enum status st = grow(c);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

uint32_t counters_take(struct counters *c, uint32_t node, uint64_t uid)
{
    uint32_t slot;

    if (c->freed_count > 0) {
        slot = c->freed[--c->freed_count];
        for (unsigned w = 0; w < c->workers; w++) {
            atomic_store_explicit(&cell(c, w, slot)->up, 0, memory_order_relaxed);
            atomic_store_explicit(&cell(c, w, slot)->down, 0, memory_order_relaxed);
        }
    } else {
        BUG_ON(c->fresh >= c->usable);
        slot = c->fresh++;
    }
    if (c->told != NULL)
        c->told[slot] = 0;
    struct account *a = &c->accounts[slot];
    a->uid = uid;
    a->node = node;
    /* Released last: a kill in between leaves a free slot, never an account of the wrong user. */
    atomic_store_explicit(&a->aid, (uint64_t)c->epoch << 32 | ++c->serial, memory_order_release);
    return slot;
}

void counters_retire(struct counters *c, uint32_t slot)
{
    /* Without room the slot is lost to this process, not its traffic: that is sampled as any
     * other. */
    if (stack_room(&c->retired, &c->retired_room, c->retired_count + 1))
        c->retired[c->retired_count++] = slot;
    c->pending[slot / 64] |= UINT64_C(1) << (slot % 64);
}

void counters_read(const struct counters *c, uint32_t slot, uint64_t *up, uint64_t *down)
{
    *up = *down = 0;
    for (unsigned w = 0; w < c->workers; w++) {
        *up += atomic_load_explicit(&cell(c, w, slot)->up, memory_order_relaxed);
        *down += atomic_load_explicit(&cell(c, w, slot)->down, memory_order_relaxed);
    }
}

uint32_t counters_used(const struct counters *c)
{
    return c->fresh - c->freed_count;
}

/* ---- sampling ---- */

/* Takes the dirty bits before the sums are read: what a worker adds later sets its bit again. */
static bool collect(struct counters *c)
{
    uint32_t words = (c->fresh + 63) / 64;
    bool any = false;

    for (uint32_t i = 0; i < words; i++) {
        for (unsigned w = 0; w < c->workers; w++) {
            _Atomic uint64_t *d = &c->meters[w].dirty[i];
            if (atomic_load_explicit(d, memory_order_relaxed) != 0)
                c->pending[i] |= atomic_exchange_explicit(d, 0, memory_order_seq_cst);
        }
        any = any || c->pending[i] != 0;
    }
    return any;
}

enum status counters_observe(struct counters *c, counters_moved_fn *moved, void *arg)
{
    /* A page of it becomes real when one of its users moves something. */
    if (c->told == NULL && (c->told = calloc(COUNTERS_SLOTS, sizeof(*c->told))) == NULL)
        return ST_E_NOMEM;
    c->moved = moved;
    c->moved_arg = arg;
    return ST_OK;
}

static void tell_moved(struct counters *c, uint32_t slot, uint64_t sum)
{
    const struct account *a = &c->accounts[slot];

    if (c->told == NULL || sum == c->told[slot])
        return;
    uint64_t bytes = sum - c->told[slot];
    c->told[slot] = sum;
    c->moved(c->moved_arg, a->node, a->uid, bytes);
}

static enum status put_slot(struct counters *c, uint32_t slot, bool last, int64_t unix_s,
                            size_t *moved)
{
    struct account *a = &c->accounts[slot];
    struct spool_account put = {.aid = atomic_load_explicit(&a->aid, memory_order_relaxed),
                                .uid = a->uid,
                                .node = a->node,
                                .last = last};
    if (put.aid == 0)
        return ST_OK;
    counters_read(c, slot, &put.up, &put.down);
    /* An account that never moved has no row to bury. */
    if (put.up + put.down == 0)
        return ST_OK;
    ++*moved;
    tell_moved(c, slot, put.up + put.down);
    return spool_put(c->store, &put, unix_s);
}

static enum status put_pending(struct counters *c, int64_t unix_s, size_t *moved)
{
    uint32_t words = (c->fresh + 63) / 64;
    enum status st = ST_OK;

    for (uint32_t i = 0; i < words && st == ST_OK; i++) {
        for (uint64_t bits = c->pending[i]; bits != 0 && st == ST_OK; bits &= bits - 1)
            st = put_slot(c, i * 64 + (uint32_t)__builtin_ctzll(bits), false, unix_s, moved);
    }
    for (uint32_t i = 0; i < c->retired_count && st == ST_OK; i++) {
        size_t again = 0;
        st = put_slot(c, c->retired[i], true, unix_s, &again);
    }
    return st;
}

enum status counters_sample(struct counters *c, int64_t unix_s, size_t *moved)
{
    size_t n = 0;

    if (moved != NULL)
        *moved = 0;
    if (!collect(c))
        return ST_OK;
    if (!stack_room(&c->freed, &c->freed_room, c->freed_count + c->retired_count))
        return ST_E_NOMEM;
    enum status st = store_begin(c->store);
    if (st != ST_OK)
        return st;
    if ((st = put_pending(c, unix_s, &n)) != ST_OK) {
        store_rollback(c->store);
        return st;
    }
    if ((st = store_commit(c->store)) != ST_OK)
        return st;
    memset(c->pending, 0, (c->fresh + 63) / 64 * sizeof(*c->pending));
    for (uint32_t i = 0; i < c->retired_count; i++) {
        atomic_store_explicit(&c->accounts[c->retired[i]].aid, 0, memory_order_release);
        c->freed[c->freed_count++] = c->retired[i];
    }
    c->retired_count = 0;
    if (moved != NULL)
        *moved = n;
    return ST_OK;
}
