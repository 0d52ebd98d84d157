#include "policy/audit_words.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/heap.h"

#define WIDTH_MAX (AUDIT_WORDS_SHORT + 1u)

static uint32_t bucket_of(const char *p, unsigned width, uint32_t mask)
{
    uint32_t v = 0;

    memcpy(&v, p, width);
    v *= 0x9e3779b1u; /* 2^32 over the golden ratio: Knuth's multiplicative hash */
    return (v ^ v >> 15) & mask;
}

static unsigned width_of(const struct audit_rule *r)
{
    return r->value_len < WIDTH_MAX ? r->value_len : WIDTH_MAX;
}

/* Where in @r's keyword the bytes are that fewest keywords are filed under. */
static unsigned rarest(const struct audit_rule *r, unsigned width, const uint32_t *counts,
                       uint32_t mask)
{
    unsigned best = 0;
    uint32_t least = UINT32_MAX;

    for (unsigned i = 0; i + width <= r->value_len && least > 0; i++) {
        uint32_t n = counts[bucket_of(r->value + i, width, mask)];
        if (n < least) {
            least = n;
            best = i;
        }
    }
    return best;
}

/* Where each keyword is to be filed, in @from; how many in each bucket, in t->first. */
static void choose(struct audit_words_table *t, const struct audit_rule *rules, size_t count,
                   unsigned width, uint8_t *from)
{
    for (size_t i = 0; i < count; i++) {
        if (rules[i].kind != AUDIT_KEYWORD || width_of(&rules[i]) != width)
            continue;
        from[i] = (uint8_t)rarest(&rules[i], width, t->first, t->mask);
        t->first[bucket_of(rules[i].value + from[i], width, t->mask)]++;
    }
}

static void file(struct audit_words_table *t, const struct audit_rule *rules, size_t count,
                 unsigned width, const uint8_t *from)
{
    uint32_t sum = 0;

    for (uint32_t b = 0; b <= t->mask; b++) {
        sum += t->first[b];
        t->first[b] = sum; /* the end of the bucket, till it is filled from behind */
    }
    t->first[t->mask + 1] = sum;
    for (size_t i = count; i-- > 0;) {
        if (rules[i].kind != AUDIT_KEYWORD || width_of(&rules[i]) != width)
            continue;
        uint32_t b = bucket_of(rules[i].value + from[i], width, t->mask);
        t->entries[--t->first[b]] =
            (struct audit_words_entry){.rule = (uint32_t)i & 0xffffff, .from = from[i]};
    }
}

static enum status table_init(struct audit_words_table *t, struct arena *a, size_t count)
{
    uint32_t size = 16;

    while (size < count)
        size *= 2;
    t->mask = size - 1;
    t->count = (uint32_t)count;
    t->first = arena_alloc(a, (size + 1) * sizeof(t->first[0]));
    t->entries = arena_alloc(a, count * sizeof(t->entries[0]));
    return t->first != NULL && t->entries != NULL ? ST_OK : ST_E_NOMEM;
}

enum status audit_words_init(struct audit_words *w, struct arena *a, const struct audit_rule *rules,
                             size_t count)
{
    size_t of_width[WIDTH_MAX + 1] = {0};
    bool any = false;

    *w = (struct audit_words){.rules = rules};
    for (size_t i = 0; i < count; i++)
        if (rules[i].kind == AUDIT_KEYWORD) {
            of_width[width_of(&rules[i])]++;
            any = true;
        }
    if (!any)
        return ST_OK;
    uint8_t *from = heap_new(count);
    enum status st = from != NULL ? ST_OK : ST_E_NOMEM;
    for (unsigned width = 1; width <= WIDTH_MAX && st == ST_OK; width++) {
        struct audit_words_table *t = &w->tables[width - 1];
        if (of_width[width] == 0)
            continue;
        st = table_init(t, a, of_width[width]);
        if (st == ST_OK) {
            choose(t, rules, count, width, from);
            file(t, rules, count, width, from);
        }
    }
    heap_free(from);
    return st;
}

static bool is_at(const struct audit_words *w, const struct audit_words_entry *e, const char *name,
                  size_t len, size_t at)
{
    const struct audit_rule *r = &w->rules[e->rule];

    return e->from <= at && at - e->from + r->value_len <= len &&
           memcmp(name + at - e->from, r->value, r->value_len) == 0;
}

static const struct audit_rule *look_at(const struct audit_words *w, unsigned width,
                                        const char *name, size_t len, size_t at)
{
    const struct audit_words_table *t = &w->tables[width - 1];
    uint32_t b = bucket_of(name + at, width, t->mask);

    for (uint32_t i = t->first[b]; i < t->first[b + 1]; i++) {
        const struct audit_words_entry *e = &t->entries[i];
        if (is_at(w, e, name, len, at))
            return &w->rules[e->rule];
    }
    return NULL;
}

const struct audit_rule *audit_words_find(const struct audit_words *w, const char *name, size_t len)
{
    for (unsigned width = 1; width <= WIDTH_MAX; width++) {
        if (w->tables[width - 1].count == 0)
            continue;
        for (size_t at = 0; at + width <= len; at++) {
            const struct audit_rule *r = look_at(w, width, name, len, at);
            if (r != NULL)
                return r;
        }
    }
    return NULL;
}

void audit_words_mark(const struct audit_words *w, const char *text, size_t len, uint64_t *bits)
{
    for (unsigned width = 1; width <= WIDTH_MAX; width++) {
        const struct audit_words_table *t = &w->tables[width - 1];
        for (size_t at = 0; t->count > 0 && at + width <= len; at++) {
            uint32_t b = bucket_of(text + at, width, t->mask);
            for (uint32_t i = t->first[b]; i < t->first[b + 1]; i++)
                if (is_at(w, &t->entries[i], text, len, at)) {
                    uint32_t id = w->rules[t->entries[i].rule].id;
                    bits[id / 64] |= UINT64_C(1) << id % 64;
                }
        }
    }
}
