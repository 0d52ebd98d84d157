#include "control/stats/stats_query.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/uuid.h"
#include "codec/protobuf.h"
#include "control/stats/stats.h"
#include "policy/regexp.h"
#include "policy/user.h"

#define MIDDLE     ">>>traffic>>>"
#define MIDDLE_LEN (sizeof(MIDDLE) - 1)
#define TAIL_MAX   24u /* of MIDDLE "downlink" and a NUL */
#define FULL_MAX   (STATS_NAME_MAX + TAIL_MAX)
#define CHUNK      512u
#define TAGS_MAX   512u
#define STEP       512u /* a Stat is never longer */
#define TRIM_FROM  (16u << 20)
#define SMALL      4096u /* about what an arena begins with */
/* The control thread serves the panels, too: what takes longer is refused. One text is exempt: its
 * time is that of going over the counters, which no question can do without. */
#define SEARCH_MS    500u
#define SEARCH_CHECK 256u /* searches between two looks at the clock */

/* A user: tag and UUID, from which his name is made again; anything else: its whole name. */
struct record {
    uint64_t up, down;
    union {
        uint8_t uuid[UUID_LEN];
        const char *name;
    };
    uint32_t place;
    uint16_t tag;
    uint8_t kind;
    uint8_t flags; /* enum stats_direction, BY_NAME */
};
#define BY_NAME 0x80u

_Static_assert(sizeof(struct record) == 40, "as promised");

struct chunk {
    struct chunk *next;
    size_t count;
    struct record records[CHUNK];
};

/* "user>>>TAG|" */
struct tag {
    const char *before;
    size_t len;
};

struct answer {
    struct grpc_body body;
    struct stats_memory *memory;
    size_t charged;
    struct arena *arena;
    struct tag tags[TAGS_MAX];
    size_t tag_count;
    const char *tag_last; /* of the item before, where its node keeps it */
    struct chunk *first, *last;
    size_t at; /* record of @first that is written next */
};

struct collect {
    struct answer *a;
    const struct stats_query *q;
    struct regexp **regexps;
    struct regexp_scratch *scratch; /* of their searches */
    uint64_t until_ms;
    unsigned searches;
};

static const char *const ends[] = {"uplink", "downlink"};

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- the answer ------------------------------------------------------------------------------ */

enum status stats_memory_take(struct stats_memory *m, size_t size)
{
    if (size > STATS_QUERY_MEMORY - m->used)
        return ST_E_LIMIT;
    m->used += size;
    m->most = m->used > m->most ? m->used : m->most;
    return ST_OK;
}

void stats_memory_give(struct stats_memory *m, size_t size)
{
    m->used -= size;
    if (m->used > 0)
        return;
    /* It lies between other things: the allocator would keep it for ever. */
    if (m->most >= TRIM_FROM)
        malloc_trim(0);
    m->most = 0;
}

static void answer_free(struct grpc_body *body)
{
    struct answer *a = (struct answer *)body;

    for (struct chunk *c = a->first, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    struct stats_memory *memory = a->memory;
    size_t charged = a->charged;
    arena_free(a->arena);
    free(a);
    stats_memory_give(memory, charged);
}

static size_t stat_size(size_t name_len, uint64_t value)
{
    return protobuf_bytes_size(1,
                               protobuf_bytes_size(1, name_len) + protobuf_number_size(2, value));
}

static void put_stat(struct protobuf_writer *w, const char *name, size_t len, uint64_t value)
{
    protobuf_put_head(w, 1, protobuf_bytes_size(1, len) + protobuf_number_size(2, value));
    protobuf_put_bytes(w, 1, name, len);
    protobuf_put_number(w, 2, value);
}

/* Appends MIDDLE and the direction to @len bytes; returns the whole length. */
static size_t put_end(char *name, size_t len, int direction)
{
    size_t n = strlen(ends[direction]);

    memcpy(name + len, MIDDLE, MIDDLE_LEN);
    memcpy(name + len + MIDDLE_LEN, ends[direction], n + 1);
    return len + MIDDLE_LEN + n;
}

static void put_record(struct protobuf_writer *w, const struct answer *a, const struct record *r)
{
    char name[FULL_MAX];
    size_t len;

    if (r->flags & BY_NAME) {
        len = strlen(r->name);
        memcpy(name, r->name, len);
    } else {
        const struct tag *t = &a->tags[r->tag];
        memcpy(name, t->before, t->len);
        uuid_str(r->uuid, name + t->len);
        len = t->len + UUID_STRLEN - 1;
    }
    if (r->flags & STATS_UP)
        put_stat(w, name, put_end(name, len, 0), r->up);
    if (r->flags & STATS_DOWN)
        put_stat(w, name, put_end(name, len, 1), r->down);
}

static size_t answer_read(struct grpc_body *body, uint8_t *dst, size_t cap)
{
    struct answer *a = (struct answer *)body;
    struct protobuf_writer w = {.p = dst, .cap = cap};

    while (a->first != NULL && w.cap - w.len >= 2 * STEP) {
        if (a->at < a->first->count) {
            put_record(&w, a, &a->first->records[a->at++]);
            continue;
        }
        struct chunk *done = a->first;
        a->first = done->next;
        a->at = 0;
        free(done);
        stats_memory_give(a->memory, sizeof(*done));
        a->charged -= sizeof(*done);
    }
    return w.len;
}

/* ---- collecting ------------------------------------------------------------------------------ */

static enum status charge(struct answer *a, size_t size)
{
    enum status st = stats_memory_take(a->memory, size);

    if (st == ST_OK)
        a->charged += size;
    return st;
}

static enum status new_record(struct answer *a, struct record **out)
{
    struct chunk *c = a->last;

    if (c == NULL || c->count == CHUNK) {
        enum status st = charge(a, sizeof(*c));
        if (st != ST_OK)
            return st;
        c = malloc(sizeof(*c));
        if (c == NULL)
            return ST_E_NOMEM;
        c->next = NULL;
        c->count = 0;
        if (a->last != NULL)
            a->last->next = c;
        else
            a->first = c;
        a->last = c;
    }
    *out = &c->records[c->count++];
    return ST_OK;
}

/* A number for the tag of the item's node, which comes again for each of its users. */
static bool tag_number(struct answer *a, const char *tag, uint16_t *out)
{
    if (a->tag_last != tag) {
        if (a->tag_count == TAGS_MAX)
            return false;
        const char *copy = arena_printf(a->arena, "user>>>%s|", tag);
        if (copy == NULL)
            return false;
        a->tags[a->tag_count++] = (struct tag){copy, strlen(copy)};
        a->tag_last = tag;
    }
    *out = (uint16_t)(a->tag_count - 1);
    return true;
}

static enum status add(struct answer *a, const struct stats_item *item, unsigned directions)
{
    struct record *r;
    enum status st = new_record(a, &r);

    if (st != ST_OK)
        return st;
    *r = (struct record){.up = item->up,
                         .down = item->down,
                         .place = item->place,
                         .kind = (uint8_t)item->kind,
                         .flags = (uint8_t)directions};
    if (item->kind == STATS_USER && item->tag != NULL && item->user->secret == NULL &&
        tag_number(a, item->tag, &r->tag)) {
        memcpy(r->uuid, item->user->uuid, UUID_LEN);
    } else {
        st = charge(a, item->name_len + 1);
        r->name = st == ST_OK ? arena_strndup(a->arena, item->name, item->name_len) : "";
        r->flags |= BY_NAME;
        if (r->name == NULL) {
            r->name = "";
            st = ST_E_NOMEM;
        }
    }
    if (directions & STATS_UP)
        a->body.size += stat_size(item->name_len + MIDDLE_LEN + strlen(ends[0]), item->up);
    if (directions & STATS_DOWN)
        a->body.size += stat_size(item->name_len + MIDDLE_LEN + strlen(ends[1]), item->down);
    return st;
}

static bool contains(const char *name, size_t len, const struct grpc_str *pattern)
{
    return memmem(name, len, pattern->p, pattern->len) != NULL;
}

/* Looks at the clock now and then. */
static bool too_late(struct collect *c)
{
    return ++c->searches % SEARCH_CHECK == 0 && now_ms() >= c->until_ms;
}

static enum status match_text(struct collect *c, char *name, size_t len, unsigned *out)
{
    unsigned found = 0;
    size_t common = len + MIDDLE_LEN, whole = put_end(name, len, 0);

    for (size_t i = 0; i < c->q->count && found != (STATS_UP | STATS_DOWN); i++) {
        const struct grpc_str *p = &c->q->patterns[i];
        const char *at = memmem(name, whole, p->p, p->len);
        if (c->q->count > 1 && too_late(c))
            return ST_E_TIMEOUT;
        if (at == NULL)
            continue;
        found |= STATS_UP;
        if ((size_t)(at - name) + p->len <= common)
            found |= STATS_DOWN;
    }
    *out = found;
    if (found & STATS_DOWN)
        return ST_OK;
    /* What both have in common has been searched: it could only reach into the end. */
    whole = put_end(name, len, 1);
    for (size_t i = 0; i < c->q->count; i++) {
        const struct grpc_str *p = &c->q->patterns[i];
        size_t from = p->len < common ? common - p->len : 0;
        if (contains(name + from, whole - from, p)) {
            *out |= STATS_DOWN;
            break;
        }
    }
    return ST_OK;
}

static enum status search(struct collect *c, const char *name, size_t len)
{
    enum status st = ST_E_NOTFOUND;

    for (size_t i = 0; i < c->q->count && st == ST_E_NOTFOUND; i++) {
        if (too_late(c))
            return ST_E_TIMEOUT;
        st = regexp_search(c->regexps[i], c->scratch, name, len);
        if (st == ST_E_LIMIT)
            return ST_E_TIMEOUT;
        if (st == ST_E_PROTO)
            st = ST_E_NOTFOUND;
    }
    return st;
}

static enum status match(struct collect *c, const struct stats_item *item, unsigned *found)
{
    char name[FULL_MAX];

    *found = STATS_UP | STATS_DOWN;
    if (c->q->count == 0)
        return ST_OK;
    memcpy(name, item->name, item->name_len);
    if (!c->q->regexp)
        return match_text(c, name, item->name_len, found);
    *found = 0;
    for (int d = 0; d < 2; d++) {
        enum status st = search(c, name, put_end(name, item->name_len, d));
        if (st == ST_OK)
            *found |= d == 0 ? STATS_UP : STATS_DOWN;
        else if (st != ST_E_NOTFOUND)
            return st;
    }
    return ST_OK;
}

static enum status on_item(void *arg, const struct stats_item *item)
{
    struct collect *c = arg;
    unsigned found;
    enum status st = match(c, item, &found);

    return st == ST_OK && found != 0 ? add(c->a, item, found) : st;
}

static void take(struct stats *s, const struct answer *a)
{
    for (const struct chunk *c = a->first; c != NULL; c = c->next) {
        for (size_t i = 0; i < c->count; i++) {
            const struct record *r = &c->records[i];
            stats_take(s, (enum stats_kind)r->kind, r->place, r->flags & STATS_UP ? r->up : 0,
                       r->flags & STATS_DOWN ? r->down : 0);
        }
    }
    stats_forget(s);
}

static enum status compile(struct collect *c, char problem[256])
{
    struct regexp_error e = {0};

    if (!c->q->regexp || c->q->count == 0)
        return ST_OK;
    c->regexps = calloc(c->q->count, sizeof(struct regexp *));
    c->scratch = regexp_scratch_new(REGEXP_STEPS);
    if (c->regexps == NULL || c->scratch == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < c->q->count; i++) {
        const struct grpc_str *p = &c->q->patterns[i];
        enum status st = regexp_new(p->p, p->len, REGEXP_EXACT, &c->regexps[i], &e);
        if (st == ST_E_PROTO)
            snprintf(problem, 256, "error parsing regexp: %s at offset %zu of `%.*s`", e.text, e.at,
                     p->len > 80 ? 80 : (int)p->len, p->p);
        if (st == ST_OK && now_ms() >= c->until_ms)
            st = ST_E_TIMEOUT;
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status stats_query_run(struct stats *s, const struct stats_query *q,
                            struct stats_memory *memory, struct grpc_body **out, char problem[256])
{
    struct answer *a = calloc(1, sizeof(*a));
    struct collect c = {.a = a, .q = q, .until_ms = now_ms() + SEARCH_MS};
    enum status st = ST_E_NOMEM;

    problem[0] = '\0';
    if (a == NULL)
        return st;
    a->memory = memory;
    a->body = (struct grpc_body){.read = answer_read, .free = answer_free};
    if ((a->arena = arena_new()) == NULL)
        goto out;
    st = charge(a, sizeof(*a) + SMALL);
    if (st == ST_OK)
        st = compile(&c, problem);
    if (st == ST_OK)
        st = stats_walk(s, on_item, &c);
    if (st == ST_OK && a->body.size > UINT32_MAX)
        st = ST_E_LIMIT;
    if (st == ST_OK && q->reset)
        take(s, a);
out:
    if (problem[0] == '\0')
        snprintf(problem, 256, "%s",
                 st == ST_E_TIMEOUT ? "the search takes too long: ask for less at once"
                 : st == ST_E_LIMIT ? "answers under way hold all memory for them: ask with a "
                                      "pattern, or again later"
                                    : "no memory");
    for (size_t i = 0; c.regexps != NULL && i < q->count; i++)
        regexp_free(c.regexps[i]);
    free(c.regexps);
    regexp_scratch_free(c.scratch);
    if (st != ST_OK) {
        answer_free(&a->body);
        return st;
    }
    *out = &a->body;
    return ST_OK;
}
