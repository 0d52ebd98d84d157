#include "policy/audit_hits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/heap.h"
#include "base/spin.h"

#define PLACES       (2 * AUDIT_HITS_PAIRS) /* of the pairs' hash table: at most half are taken */
#define COPY_AT_ONCE 64u                    /* pairs that a reader copies under the lock */

struct pair {
    uint64_t uid, count;
    uint32_t rule; /* number in rules */
};

struct rule {
    uint64_t hash; /* of the whole text */
    uint64_t count;
    char text[AUDIT_HITS_TEXT]; /* never changed once it is there */
};

/* Allocated at the first hit. */
struct table {
    struct pair pairs[AUDIT_HITS_PAIRS];
    uint16_t places[PLACES]; /* number in pairs, from 1; 0 = free */
    struct rule rules[AUDIT_HITS_RULES];
};

struct audit_hits {
    atomic_flag lock;
    struct audit_hits_sums sums;
    struct table *table;
};

struct audit_hits *audit_hits_new(void)
{
    return heap_new(sizeof(struct audit_hits));
}

void audit_hits_free(struct audit_hits *h)
{
    if (h == NULL)
        return;
    heap_free(h->table);
    heap_free(h);
}

static uint64_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* Cut where no character is broken. */
static void copy_text(char dst[AUDIT_HITS_TEXT], const char *text)
{
    size_t len = strnlen(text, AUDIT_HITS_TEXT);

    if (len == AUDIT_HITS_TEXT)
        for (len--; len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80;)
            len--;
    memcpy(dst, text, len);
    dst[len] = '\0';
}

/* NULL: there is no place for another. */
static struct rule *find_rule(struct audit_hits *h, const char *text, uint64_t hash)
{
    struct rule *rules = h->table->rules;

    for (size_t i = 0; i < h->sums.rules; i++)
        if (rules[i].hash == hash)
            return &rules[i];
    if (h->sums.rules == AUDIT_HITS_RULES)
        return NULL;
    struct rule *r = &rules[h->sums.rules++];
    r->hash = hash;
    copy_text(r->text, text);
    return r;
}

static struct pair *find_pair(struct audit_hits *h, uint64_t uid, uint32_t rule)
{
    struct table *t = h->table;
    uint64_t at = (uid ^ (uint64_t)rule << 48) * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (;; at++) {
        uint16_t *place = &t->places[at % PLACES];
        if (*place == 0) {
            if (h->sums.pairs == AUDIT_HITS_PAIRS)
                return NULL;
            struct pair *p = &t->pairs[h->sums.pairs++];
            *p = (struct pair){.uid = uid, .rule = rule};
            *place = (uint16_t)h->sums.pairs;
            return p;
        }
        struct pair *p = &t->pairs[*place - 1];
        if (p->uid == uid && p->rule == rule)
            return p;
    }
}

static void count(struct audit_hits *h, uint64_t uid, const char *text, uint64_t hash)
{
    h->sums.hits++;
    struct rule *r = h->table != NULL ? find_rule(h, text, hash) : NULL;
    if (r == NULL) {
        h->sums.other_rules++;
        h->sums.other_pairs++;
        return;
    }
    r->count++;
    struct pair *p = find_pair(h, uid, (uint32_t)(r - h->table->rules));
    if (p != NULL)
        p->count++;
    else
        h->sums.other_pairs++;
}

void audit_hits_add(struct audit_hits *h, uint64_t uid, const struct audit_rule *rule)
{
    if (h == NULL)
        return;
    uint64_t hash = hash_text(rule->text);
    spin_lock(&h->lock);
    bool first = h->table == NULL;
    spin_unlock(&h->lock);
    /* Allocated outside the lock; of two workers that come at once the second's is not needed. */
    struct table *spare = first ? heap_new(sizeof(*spare)) : NULL;
    spin_lock(&h->lock);
    if (h->table == NULL) {
        h->table = spare;
        spare = NULL;
    }
    count(h, uid, rule->text, hash);
    spin_unlock(&h->lock);
    heap_free(spare);
}

struct audit_hits_sums audit_hits_sum(struct audit_hits *h)
{
    struct audit_hits_sums s = {0};

    if (h == NULL)
        return s;
    spin_lock(&h->lock);
    s = h->sums;
    spin_unlock(&h->lock);
    return s;
}

/* Places are never given up, so numbers stay. */
static size_t copy_pairs(struct audit_hits *h, size_t from, struct audit_hit out[COPY_AT_ONCE])
{
    size_t n = 0;

    spin_lock(&h->lock);
    for (; n < COPY_AT_ONCE && from + n < h->sums.pairs; n++) {
        const struct pair *p = &h->table->pairs[from + n];
        out[n] = (struct audit_hit){
            .uid = p->uid, .rule = h->table->rules[p->rule].text, .count = p->count};
    }
    spin_unlock(&h->lock);
    return n;
}

static size_t copy_rules(struct audit_hits *h, size_t from, struct audit_hit out[COPY_AT_ONCE])
{
    size_t n = 0;

    spin_lock(&h->lock);
    for (; n < COPY_AT_ONCE && from + n < h->sums.rules; n++) {
        const struct rule *r = &h->table->rules[from + n];
        out[n] = (struct audit_hit){.rule = r->text, .count = r->count};
    }
    spin_unlock(&h->lock);
    return n;
}

static void walk(struct audit_hits *h,
                 size_t (*copy)(struct audit_hits *, size_t, struct audit_hit *),
                 void (*each)(void *, const struct audit_hit *), void *arg)
{
    struct audit_hit hits[COPY_AT_ONCE];
    size_t at = 0, n;

    for (; h != NULL && (n = copy(h, at, hits)) > 0; at += n)
        for (size_t i = 0; i < n; i++)
            each(arg, &hits[i]);
}

void audit_hits_pairs(struct audit_hits *h, void (*each)(void *arg, const struct audit_hit *hit),
                      void *arg)
{
    walk(h, copy_pairs, each, arg);
}

void audit_hits_rules(struct audit_hits *h, void (*each)(void *arg, const struct audit_hit *hit),
                      void *arg)
{
    walk(h, copy_rules, each, arg);
}
