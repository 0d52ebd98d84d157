#include "session/udp_flow.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 64u

void udp_flows_init(struct udp_flows *t, uint64_t seed)
{
    memset(t, 0, sizeof(*t));
    t->seed = seed;
    list_init(&t->idle[0]);
    list_init(&t->idle[1]);
}

void udp_flows_fini(struct udp_flows *t)
{
    free(t->buckets);
    free(t->sources);
    t->buckets = NULL;
    t->sources = NULL;
    t->size = 0;
}

static size_t place_of(const struct udp_flows *t, size_t size, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t h = t->seed;

    for (size_t at = 0; at < len; at += sizeof(h)) {
        uint64_t word = 0;
        memcpy(&word, p + at, len - at < sizeof(word) ? len - at : sizeof(word));
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h & (size - 1);
}

static size_t place_of_key(const struct udp_flows *t, size_t size, const struct packet_key *k)
{
    return place_of(t, size, k->bytes, k->len);
}

/* Without its port, and the half of an IPv6 address that a client chooses. */
static struct addr source_of(const struct addr *client)
{
    struct addr ip = {.family = client->family};
    memcpy(ip.ip, client->ip, client->family == ADDR_IP6 ? 8 : 4);
    return ip;
}

static size_t place_of_source(const struct udp_flows *t, size_t size, const struct addr *ip)
{
    return place_of(t, size, ip->ip, sizeof(ip->ip));
}

static bool same_key(const struct packet_key *a, const struct packet_key *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

struct udp_flow *udp_flows_find(const struct udp_flows *t, const struct packet_key *key)
{
    struct udp_flow *f = t->size == 0 ? NULL : t->buckets[place_of_key(t, t->size, key)];

    while (f != NULL && !same_key(&f->key, key))
        f = f->next;
    return f;
}

static struct udp_source *find_source(const struct udp_flows *t, const struct addr *ip)
{
    struct udp_source *s = t->size == 0 ? NULL : t->sources[place_of_source(t, t->size, ip)];

    while (s != NULL && !addr_ip_equal(&s->ip, ip))
        s = s->next;
    return s;
}

/* Twice the buckets, or the first ones. Without memory chains get longer. */
static void grow(struct udp_flows *t)
{
    size_t size = t->size == 0 ? SIZE_MIN : t->size * 2;
    struct udp_flow **buckets = calloc(size, sizeof(*buckets));
    struct udp_source **sources = calloc(size, sizeof(*sources));

    if (buckets == NULL || sources == NULL) {
        free(buckets);
        free(sources);
        return;
    }
    for (size_t i = 0; i < t->size; i++) {
        for (struct udp_flow *f = t->buckets[i], *next; f != NULL; f = next) {
            struct udp_flow **at = &buckets[place_of_key(t, size, &f->key)];
            next = f->next;
            f->next = *at;
            *at = f;
        }
        for (struct udp_source *s = t->sources[i], *next; s != NULL; s = next) {
            struct udp_source **at = &sources[place_of_source(t, size, &s->ip)];
            next = s->next;
            s->next = *at;
            *at = s;
        }
    }
    free(t->buckets);
    free(t->sources);
    t->buckets = buckets;
    t->sources = sources;
    t->size = size;
}

static struct udp_source *take_source(struct udp_flows *t, const struct addr *ip)
{
    struct udp_source *s = find_source(t, ip);

    if (s != NULL)
        return s;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->ip = *ip;
    list_init(&s->flows);
    struct udp_source **at = &t->sources[place_of_source(t, t->size, ip)];
    s->next = *at;
    *at = s;
    return s;
}

enum status udp_flows_add(struct udp_flows *t, struct udp_flow *f, uint64_t now_ms)
{
    struct addr ip = source_of(&f->client);

    if (t->count >= t->size)
        grow(t);
    if (t->size == 0)
        return ST_E_NOMEM;
    f->source = take_source(t, &ip);
    if (f->source == NULL)
        return ST_E_NOMEM;
    f->source->count++;
    list_add_tail(&f->source->flows, &f->by_source);
    list_add_tail(&t->idle[f->dns], &f->idle);
    struct udp_flow **at = &t->buckets[place_of_key(t, t->size, &f->key)];
    f->next = *at;
    *at = f;
    f->active_ms = now_ms;
    t->count++;
    return ST_OK;
}

void udp_flows_remove(struct udp_flows *t, struct udp_flow *f)
{
    struct udp_source *s = f->source;

    if (s == NULL)
        return;
    struct udp_flow **at = &t->buckets[place_of_key(t, t->size, &f->key)];
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    list_del(&f->idle);
    list_del(&f->by_source);
    f->source = NULL;
    t->count--;
    if (--s->count > 0)
        return;
    struct udp_source **of = &t->sources[place_of_source(t, t->size, &s->ip)];
    while (*of != s)
        of = &(*of)->next;
    *of = s->next;
    free(s);
}

void udp_flows_use(struct udp_flows *t, struct udp_flow *f, uint64_t now_ms)
{
    if (f->active_ms == now_ms)
        return; /* the order within a turn does not matter */
    f->active_ms = now_ms;
    list_del(&f->idle);
    list_add_tail(&t->idle[f->dns], &f->idle);
    list_del(&f->by_source);
    list_add_tail(&f->source->flows, &f->by_source);
}

struct udp_flow *udp_flows_excess(const struct udp_flows *t, const struct addr *client)
{
    struct addr ip = source_of(client);
    const struct udp_source *s = find_source(t, &ip);

    if (s == NULL || s->count < UDP_FLOWS_SOURCE)
        return NULL;
    return LIST_ENTRY(s->flows.next, struct udp_flow, by_source);
}

struct udp_flow *udp_flows_expired(const struct udp_flows *t, const uint32_t idle_ms[2],
                                   uint64_t now_ms)
{
    for (unsigned i = 0; i < 2; i++) {
        struct udp_flow *f = LIST_ENTRY(t->idle[i].next, struct udp_flow, idle);
        if (!list_empty(&t->idle[i]) && now_ms - f->active_ms >= idle_ms[i])
            return f;
    }
    return NULL;
}
