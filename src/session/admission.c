#include "session/admission.h"

#include <stdlib.h>
#include <string.h>

struct admission_source {
    uint64_t key; /* 0 = free */
    uint32_t count;
};

enum status admission_init(struct admission *a, size_t sessions_max)
{
    memset(a, 0, sizeof(*a));
    a->sessions_max = sessions_max < 16 ? 16 : sessions_max;
    a->strangers_max = a->sessions_max / 8 < 16 ? 16 : a->sessions_max / 8;
    a->slots = 64;
    while (a->slots < 2 * a->strangers_max)
        a->slots *= 2;
    a->sources = calloc(a->slots, sizeof(*a->sources));
    return a->sources ? ST_OK : ST_E_NOMEM;
}

void admission_fini(struct admission *a)
{
    free(a->sources);
    a->sources = NULL;
}

bool admission_full(const struct admission *a)
{
    return a->sessions >= a->sessions_max;
}

bool admission_may_resume(const struct admission *a)
{
    return a->sessions <= a->sessions_max * 19 / 20;
}

/* IPv4 whole, IPv6 by /64; never 0. */
static uint64_t source_key(const struct addr *peer)
{
    uint64_t key = 0;
    memcpy(&key, peer->ip, peer->family == ADDR_IP4 ? 4 : 8);
    return key * 2 + (peer->family == ADDR_IP4 ? 1 : 2) + ((uint64_t)1 << 63);
}

static size_t source_slot(const struct admission *a, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (a->slots - 1);
}

/* The entry of @key, or the free slot where it would go: there always is one, entries <=
 * strangers <= slots / 2. */
static struct admission_source *source_find(const struct admission *a, uint64_t key)
{
    size_t i = source_slot(a, key);
    while (a->sources[i].key != 0 && a->sources[i].key != key)
        i = (i + 1) & (a->slots - 1);
    return &a->sources[i];
}

/* Frees a slot and closes the gap it leaves in the probe sequences behind it. */
static void source_remove(struct admission *a, struct admission_source *s)
{
    size_t hole = (size_t)(s - a->sources), i = hole;
    for (;;) {
        i = (i + 1) & (a->slots - 1);
        if (a->sources[i].key == 0)
            break;
        size_t home = source_slot(a, a->sources[i].key);
        if (((i - home) & (a->slots - 1)) >= ((i - hole) & (a->slots - 1))) {
            a->sources[hole] = a->sources[i];
            hole = i;
        }
    }
    a->sources[hole].key = 0;
    a->sources[hole].count = 0;
}

bool admission_enter(struct admission *a, const struct addr *peer, uint32_t source_max)
{
    if (admission_full(a) || a->strangers >= a->strangers_max)
        return false;
    uint64_t key = source_key(peer);
    struct admission_source *s = source_find(a, key);
    if (s->key != 0 && s->count >= source_max)
        return false;
    s->key = key;
    s->count++;
    a->strangers++;
    a->sessions++;
    return true;
}

void admission_known(struct admission *a, const struct addr *peer)
{
    struct admission_source *s = source_find(a, source_key(peer));
    if (s->key == 0)
        return;
    a->strangers--;
    if (--s->count == 0)
        source_remove(a, s);
}

bool admission_rename(struct admission *a, const struct addr *from, const struct addr *to,
                      uint32_t source_max)
{
    uint64_t key = source_key(to);
    const struct admission_source *there = source_find(a, key);
    if (key == source_key(from))
        return true;
    if (there->key != 0 && there->count >= source_max)
        return false;
    admission_known(a, from);
    a->strangers++;
    struct admission_source *s = source_find(a, key);
    s->key = key;
    s->count++;
    return true;
}

bool admission_stream(struct admission *a)
{
    if (admission_full(a))
        return false;
    a->sessions++;
    return true;
}

void admission_leave(struct admission *a)
{
    a->sessions--;
}
