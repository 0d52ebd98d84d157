/* A worker's memory: blks from aligned slabs, so that a blk finds its slab by masking its
 * address and an idle worker gives whole slabs back to the kernel. Slabs stay below 2 MiB on
 * purpose: a transparent huge page would make the first small connection cost 2 MiB of resident
 * memory. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/list.h"
#include "base/span.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_PLAIN_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_PLAIN_MALLOC 1
#endif
#endif
#ifndef POOL_PLAIN_MALLOC
#define POOL_PLAIN_MALLOC 0
#endif

#define BIG_SLAB       (1024u * 1024)
#define SMALL_SLAB     (128u * 1024)
#define SPAN_SLAB      (16u * 1024)
#define BIG_HEADER     4096u
#define SMALL_HEADER   2048u
#define SPAN_HEADER    128u
#define SLAB_ITEMS_MAX 64u
#define SPANS_PER_SLAB ((SPAN_SLAB - SPAN_HEADER) / sizeof(struct span))
#define SPARE_SLABS    1u /* empty slabs of a kind that pool_trim leaves */

/* Lies at the start of its slab; the free members form a bit set (blks) or a linked list
 * (spans). */
struct slab {
    struct list node; /* in kind.partial while something is free, else unlinked */
    uint32_t used;
    uint64_t free_bits; /* blks: bit i set = free */
    struct span *free_span;
    struct blk blks[]; /* SLAB_ITEMS_MAX at most; not in span slabs */
};

struct slab_kind {
    struct list partial; /* slabs with room, the fullest-used first in spirit: reused head first */
    uint32_t slab_size, item_size, header, items;
    uint32_t empty; /* slabs with used == 0 */
};

struct pool {
    struct slab_kind big, small, spans;
    size_t used, budget;
    unsigned fail_after;
    bool fail_sticky, failing;
};

static void kind_init(struct slab_kind *k, uint32_t slab, uint32_t item, uint32_t header)
{
    list_init(&k->partial);
    k->slab_size = slab;
    k->item_size = item;
    k->header = header;
    k->items = (slab - header) / item;
    k->empty = 0;
}

struct pool *pool_new(size_t budget)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->budget = budget;
    kind_init(&p->big, BIG_SLAB, BLK_SIZE, BIG_HEADER);
    kind_init(&p->small, SMALL_SLAB, BLK_SMALL_SIZE, SMALL_HEADER);
    kind_init(&p->spans, SPAN_SLAB, sizeof(struct span), SPAN_HEADER);
    return p;
}

/* True when this allocation must fail: over budget, or a test asked for it. */
static bool must_fail(struct pool *p, size_t size)
{
    if (p->failing)
        return true;
    if (p->fail_after > 0 && --p->fail_after == 0) {
        p->failing = p->fail_sticky;
        return true;
    }
    return p->budget != 0 && p->used + size > p->budget;
}

static void *map_aligned(size_t size)
{
    uint8_t *raw = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    uint8_t *slab = (uint8_t *)(((uintptr_t)raw + size - 1) & ~(uintptr_t)(size - 1));
    if (slab != raw)
        munmap(raw, (size_t)(slab - raw));
    munmap(slab + size, (size_t)(raw + size - slab));
    return slab;
}

static struct slab *slab_new(struct slab_kind *k)
{
    struct slab *s = map_aligned(k->slab_size);
    if (s == NULL)
        return NULL;
    s->used = 0;
    if (k->item_size == sizeof(struct span)) {
        struct span *items = (struct span *)(void *)((uint8_t *)s + k->header);
        for (uint32_t i = k->items; i-- > 0;) {
            items[i].next = s->free_span;
            s->free_span = &items[i];
        }
    } else {
        s->free_bits = k->items == 64 ? UINT64_MAX : ((uint64_t)1 << k->items) - 1;
    }
    list_add_tail(&k->partial, &s->node);
    k->empty++;
    return s;
}

static struct slab *slab_with_room(struct slab_kind *k)
{
    if (list_empty(&k->partial))
        return slab_new(k);
    return LIST_ENTRY(k->partial.next, struct slab, node);
}

static void slab_took(struct slab_kind *k, struct slab *s, bool full)
{
    if (s->used++ == 0)
        k->empty--;
    if (full)
        list_del(&s->node);
}

static void slab_gave(struct slab_kind *k, struct slab *s)
{
    /* A slab with room goes behind those in use before it, so that the last ones drain and can
     * be given back. */
    if (!list_linked(&s->node))
        list_add_tail(&k->partial, &s->node);
    if (--s->used == 0)
        k->empty++;
}

static struct slab *slab_of(const struct slab_kind *k, const void *item)
{
    return (struct slab *)((uintptr_t)item & ~(uintptr_t)(k->slab_size - 1));
}

static struct blk *blk_new(struct pool *p, struct slab_kind *k)
{
    if (must_fail(p, k->item_size))
        return NULL;
    struct blk *b;
    if (POOL_PLAIN_MALLOC) {
        b = malloc(sizeof(*b));
        if (b == NULL)
            return NULL;
        b->mem = malloc(k->item_size);
        if (b->mem == NULL) {
            free(b);
            return NULL;
        }
    } else {
        struct slab *s = slab_with_room(k);
        if (s == NULL)
            return NULL;
        unsigned i = (unsigned)__builtin_ctzll(s->free_bits);
        s->free_bits &= s->free_bits - 1;
        slab_took(k, s, s->free_bits == 0);
        b = &s->blks[i];
        b->mem = (uint8_t *)s + k->header + (size_t)i * k->item_size;
    }
    b->refs = 1;
    b->size = k->item_size;
    p->used += k->item_size;
    return b;
}

static void blk_unref(struct pool *p, struct blk *b)
{
    if (--b->refs > 0)
        return;
    struct slab_kind *k = b->size == BLK_SIZE ? &p->big : &p->small;
    p->used -= b->size;
    if (POOL_PLAIN_MALLOC) {
        free(b->mem);
        free(b);
        return;
    }
    struct slab *s = slab_of(k, b);
    s->free_bits |= (uint64_t)1 << (b - s->blks);
    slab_gave(k, s);
}

static struct span *span_alloc(struct pool *p)
{
    if (must_fail(p, sizeof(struct span)))
        return NULL;
    struct span *sp;
    if (POOL_PLAIN_MALLOC) {
        sp = malloc(sizeof(*sp));
        if (sp == NULL)
            return NULL;
    } else {
        struct slab *s = slab_with_room(&p->spans);
        if (s == NULL)
            return NULL;
        sp = s->free_span;
        s->free_span = sp->next;
        slab_took(&p->spans, s, s->free_span == NULL);
    }
    p->used += sizeof(*sp);
    memset(sp, 0, sizeof(*sp));
    return sp;
}

static void span_release(struct pool *p, struct span *sp)
{
    p->used -= sizeof(*sp);
    if (POOL_PLAIN_MALLOC) {
        free(sp);
        return;
    }
    struct slab *s = slab_of(&p->spans, sp);
    sp->next = s->free_span;
    s->free_span = sp;
    slab_gave(&p->spans, s);
}

static struct span *span_over_new(struct pool *p, struct slab_kind *k, uint32_t off)
{
    struct span *sp = span_alloc(p);
    if (sp == NULL)
        return NULL;
    sp->blk = blk_new(p, k);
    if (sp->blk == NULL) {
        span_release(p, sp);
        return NULL;
    }
    sp->off = off;
    return sp;
}

struct span *span_new(struct pool *p)
{
    return span_over_new(p, &p->big, BLK_HEAD);
}

struct span *span_new_small(struct pool *p)
{
    return span_over_new(p, &p->small, BLK_SMALL_HEAD);
}

struct span *span_new_for(struct pool *p, size_t len)
{
    return len <= BLK_SMALL_DATA ? span_new_small(p) : span_new(p);
}

struct span *span_share(struct pool *p, const struct span *s)
{
    struct span *c = span_alloc(p);
    if (c == NULL)
        return NULL;
    *c = *s;
    c->next = NULL;
    c->blk->refs++;
    return c;
}

void span_free(struct pool *p, struct span *s)
{
    if (s == NULL)
        return;
    blk_unref(p, s->blk);
    span_release(p, s);
}

static void kind_trim(struct slab_kind *k, uint32_t keep)
{
    LIST_FOREACH(n, tmp, &k->partial) {
        struct slab *s = LIST_ENTRY(n, struct slab, node);
        if (k->empty <= keep)
            return;
        if (s->used == 0) {
            list_del(&s->node);
            munmap(s, k->slab_size);
            k->empty--;
        }
    }
}

void pool_trim(struct pool *p)
{
    kind_trim(&p->big, SPARE_SLABS);
    kind_trim(&p->small, SPARE_SLABS);
    kind_trim(&p->spans, SPARE_SLABS);
}

void pool_free(struct pool *p)
{
    if (p == NULL)
        return;
    BUG_ON(p->used != 0);
    kind_trim(&p->big, 0);
    kind_trim(&p->small, 0);
    kind_trim(&p->spans, 0);
    free(p);
}

size_t pool_used(const struct pool *p)
{
    return p->used;
}

unsigned pool_load(const struct pool *p)
{
    return p->budget == 0 ? 0 : (unsigned)(p->used * 100 / p->budget);
}

void *pool_alloc(struct pool *p, size_t size)
{
    if (must_fail(p, size))
        return NULL;
    void *mem = calloc(1, size);
    if (mem != NULL)
        p->used += size;
    return mem;
}

void pool_release(struct pool *p, void *mem, size_t size)
{
    if (mem == NULL)
        return;
    p->used -= size;
    free(mem);
}

void pool_fail_after(struct pool *p, unsigned nth, bool sticky)
{
    p->fail_after = nth;
    p->fail_sticky = sticky;
    p->failing = false;
}
