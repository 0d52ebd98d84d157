#include "policy/audit_names.h"

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"

#define FNV_BASIS 2166136261u
#define FNV_PRIME 16777619u

/* Names are hashed from their end, so that one walk gives the hashes of all domains above. */
static uint32_t step(uint32_t hash, char c)
{
    return (hash ^ (uint8_t)c) * FNV_PRIME;
}

/* FNV's low bits alone are poor. */
static uint32_t finish(uint32_t hash)
{
    hash ^= hash >> 15;
    hash *= 0x2c1b3c6du;
    return hash ^ hash >> 13;
}

static uint32_t hash_of(const char *name, size_t len)
{
    uint32_t hash = FNV_BASIS;

    while (len > 0)
        hash = step(hash, name[--len]);
    return finish(hash);
}

enum status audit_names_init(struct audit_names *n, struct arena *a, const struct audit_rule *rules,
                             size_t count)
{
    size_t size = 4;

    *n = (struct audit_names){.rules = rules};
    if (count == 0)
        return ST_OK;
    while (size / 4 * 3 < count)
        size *= 2;
    n->slots = arena_alloc(a, size * sizeof(n->slots[0]));
    if (n->slots == NULL)
        return ST_E_NOMEM;
    n->mask = (uint32_t)(size - 1);
    return ST_OK;
}

static bool same_value(const struct audit_rule *r, const char *name, size_t len)
{
    return r->value_len == len && memcmp(r->value, name, len) == 0;
}

void audit_names_add(struct audit_names *n, uint32_t i)
{
    const struct audit_rule *r = &n->rules[i];
    uint32_t hash = hash_of(r->value, r->value_len), at = hash & n->mask;

    for (; n->slots[at].rule != 0; at = (at + 1) & n->mask) {
        const struct audit_rule *old = &n->rules[n->slots[at].rule - 1];
        if (n->slots[at].hash == hash && old->kind == r->kind &&
            same_value(old, r->value, r->value_len))
            return;
    }
    n->slots[at] = (struct audit_names_slot){.hash = hash, .rule = i + 1};
}

static const struct audit_rule *probe(const struct audit_names *n, uint32_t hash, const char *name,
                                      size_t len, bool whole)
{
    for (uint32_t at = hash & n->mask; n->slots[at].rule != 0; at = (at + 1) & n->mask) {
        const struct audit_rule *r = &n->rules[n->slots[at].rule - 1];
        if (n->slots[at].hash == hash && (whole || r->kind == AUDIT_DOMAIN) &&
            same_value(r, name, len))
            return r;
    }
    return NULL;
}

const struct audit_rule *audit_names_find(const struct audit_names *n, const char *name, size_t len)
{
    uint32_t hash = FNV_BASIS;

    if (n->mask == 0)
        return NULL;
    for (size_t i = len; i > 0; i--) {
        hash = step(hash, name[i - 1]);
        if (i > 1 && name[i - 2] != '.')
            continue;
        const struct audit_rule *r = probe(n, finish(hash), name + i - 1, len - i + 1, i == 1);
        if (r != NULL)
            return r;
    }
    return NULL;
}
