#include "control/node/node_tails.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "control/node/node.h"
#include "control/probe/reality_probe.h"
#include "io/resolver.h"
#include "transport/reality/reality_conf.h"

#define FIRST_MS    100
#define ROUND_MS    (24u * 3600 * 1000)
#define RETRY_MS    60000u
#define RETRY_TIMES 6u     /* doublings: about an hour */
#define LIMIT_MS    10000u /* of one handshake and its tail */
#define NAMES_MAX   64u
#define CLASSES     3u
#define SUITES      3u
/* Lengths of certificate records that belong to one certificate: ECDSA signatures, and with them a
 * flight in one record, vary. */
#define SAME_CERT 8

_Static_assert(PROBE_TAIL_MAX == REALITY_TAIL_MAX, "both are what a client takes");

static const struct reality_conf *conf_of(const struct node *n)
{
    return n->served != NULL ? served_node_reality(n->served) : NULL;
}

static size_t name_count(const struct reality_conf *c)
{
    return c->name_count < NAMES_MAX ? c->name_count : NAMES_MAX;
}

/* ---- what is known --------------------------------------------------------------------------- */

static void clear_known(struct node_tails *t)
{
    for (size_t i = 0; i < t->count; i++)
        free((char *)(uintptr_t)t->known[i].server_name); /* made by learn */
    free(t->known);
    free(t->about);
    t->known = NULL;
    t->about = NULL;
    t->count = t->room = 0;
    t->fails = 0;
    memset(&t->shape, 0, sizeof(t->shape));
}

static struct reality_tail *find(struct node_tails *t, const char *name, uint8_t alpn,
                                 uint16_t suite)
{
    for (size_t i = 0; i < t->count; i++) {
        struct reality_tail *k = &t->known[i];
        if (k->alpn == alpn && k->suite == suite && strcmp(k->server_name, name) == 0)
            return k;
    }
    return NULL;
}

/* A new entry, or NULL without memory. */
static struct reality_tail *add(struct node_tails *t, const char *name, uint8_t alpn,
                                uint16_t suite)
{
    if (t->count == t->room) {
        size_t room = t->room == 0 ? CLASSES * SUITES : t->room * 2;
        struct reality_tail *p = realloc(t->known, room * sizeof(*p));
        if (p == NULL)
            return NULL;
        t->known = p;
        t->room = room;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        return NULL;
    struct reality_tail *k = &t->known[t->count++];
    *k = (struct reality_tail){.server_name = copy, .alpn = alpn, .suite = suite};
    return k;
}

static void learn(struct node_tails *t, const char *name, uint8_t alpn, uint16_t suite,
                  const struct reality_probe_result *r)
{
    struct reality_tail *k = find(t, name, alpn, suite);

    if (k != NULL && k->count == r->tail_count &&
        memcmp(k->len, r->tail_len, r->tail_count * sizeof(k->len[0])) == 0)
        return;
    if (k == NULL)
        k = add(t, name, alpn, suite);
    if (k == NULL)
        return;
    k->count = r->tail_count;
    memcpy(k->len, r->tail_len, sizeof(k->len));
    t->changed = true;
}

/* Copies what is known into the memory of @s, where the workers find it. Lists that were published
 * earlier stay behind: they come as seldom as the target changes. */
static void publish(struct node_tails *t, struct served_node *s)
{
    const struct reality_conf *c = served_node_reality(s);
    struct reality_tail_list *l = arena_alloc(s->arena, sizeof(*l));
    struct reality_tail *at = arena_alloc(s->arena, (t->count + 1) * sizeof(*at));

    if (l == NULL || at == NULL)
        return;
    for (size_t i = 0; i < t->count; i++) {
        at[i] = t->known[i];
        at[i].server_name = arena_strdup(s->arena, t->known[i].server_name);
        if (at[i].server_name == NULL)
            return;
    }
    *l = (struct reality_tail_list){t->count, at};
    reality_tails_publish(c->tails, l);
    t->changed = false;
}

/* ---- a round --------------------------------------------------------------------------------- */

static void run_jobs(struct node *n);

static void say(struct node *n, const struct reality_conf *c)
{
    const struct node_tails *t = &n->tails;
    char at[TARGET_STRLEN];
    unsigned records = 0;

    for (size_t i = 0; i < t->count; i++)
        records = t->known[i].count > records ? t->known[i].count : records;
    node_log(n, LOG_INFO, "REALITY target %.60s: %u records at most follow its handshakes",
             c->dest.path != NULL ? c->dest.path : target_str(&c->dest.target, at), records);
}

static void end_round(struct node *n)
{
    struct node_tails *t = &n->tails;
    uint64_t ms = ROUND_MS;

    if (t->changed) {
        publish(t, t->served);
        say(n, served_node_reality(t->served));
    }
    t->fails = t->missed > 0 ? t->fails + 1 : 0;
    if (t->fails > 0)
        ms = (uint64_t)RETRY_MS << (t->fails - 1 < RETRY_TIMES ? t->fails - 1 : RETRY_TIMES);
    served_node_unref(t->served);
    t->served = NULL;
    loop_timer_in(n->env->loop, &t->timer,
                  v2sp_outcome_jitter_ms(ms, (uint32_t)rng_u64(&n->env->rng)));
}

static void on_probed(void *arg, const struct reality_probe_result *r)
{
    struct node_tails_slot *slot = arg;
    struct node *n = slot->node;
    struct node_tails *t = &n->tails;
    const struct reality_conf *c = served_node_reality(t->served);
    size_t i = slot->job / (CLASSES * SUITES);

    slot->probe = NULL;
    t->running--;
    if (r->tail == REALITY_TAIL_LEARNT)
        learn(t, c->names[i].text, (uint8_t)(slot->job / SUITES % CLASSES),
              (uint16_t)(RECORD_AES_128_GCM_SHA256 + slot->job % SUITES), r);
    t->missed += r->tail == REALITY_TAIL_UNKNOWN;
    run_jobs(n);
}

static bool start(struct node *n, struct node_tails_slot *slot, size_t job)
{
    static const enum tls_probe_alpn alpns[CLASSES] = {TLS_PROBE_NO_ALPN, TLS_PROBE_HTTP11,
                                                       TLS_PROBE_H2_FIRST};
    const struct reality_conf *c = served_node_reality(n->tails.served);
    struct reality_probe_conf conf = {.loop = n->env->loop,
                                      .resolver = n->env->resolver,
                                      .dest = &c->dest,
                                      .server_name = c->names[job / (CLASSES * SUITES)].text,
                                      .steps = REALITY_PROBE_TAIL,
                                      .alpn = alpns[job / SUITES % CLASSES],
                                      .suite = (uint16_t)(RECORD_AES_128_GCM_SHA256 + job % SUITES),
                                      .limit_ms = LIMIT_MS,
                                      .arg = slot,
                                      .done = on_probed};

    slot->node = n;
    slot->job = job;
    slot->probe = reality_probe_start(&conf);
    return slot->probe != NULL;
}

/* Keeps the slots busy; ends the round behind its last job. A target that was missed a few times is
 * not asked for the rest. */
static void run_jobs(struct node *n)
{
    struct node_tails *t = &n->tails;
    size_t jobs = name_count(served_node_reality(t->served)) * CLASSES * SUITES;

    for (unsigned i = 0; i < NODE_TAILS_AT_ONCE; i++) {
        struct node_tails_slot *slot = &t->slots[i];
        if (slot->probe != NULL || t->next_job >= jobs || t->missed >= NODE_TAILS_AT_ONCE)
            continue;
        if (start(n, slot, t->next_job))
            t->running++;
        else
            t->missed++;
        t->next_job++;
    }
    if (t->running == 0)
        end_round(n);
}

static void on_timer(struct timer *timer)
{
    struct node *n = LIST_ENTRY(timer, struct node, tails.timer);
    struct node_tails *t = &n->tails;
    struct node_env *e = n->env;

    if (conf_of(n) == NULL || t->served != NULL)
        return;
    if (e->resolver == NULL && resolver_new(e->loop, NULL, &e->resolver) != ST_OK)
        e->resolver = NULL;
    t->served = served_node_ref(n->served);
    t->next_job = 0;
    t->missed = 0;
    run_jobs(n);
}

/* ---- what the node does ---------------------------------------------------------------------- */

void node_tails_init(struct node *n)
{
    timer_init(&n->tails.timer, on_timer);
}

void node_tails_stop(struct node *n)
{
    struct node_tails *t = &n->tails;

    loop_timer_del(n->env->loop, &t->timer);
    for (unsigned i = 0; i < NODE_TAILS_AT_ONCE; i++) {
        reality_probe_cancel(t->slots[i].probe);
        t->slots[i].probe = NULL;
    }
    t->running = 0;
    served_node_unref(t->served);
    t->served = NULL;
}

void node_tails_forget(struct node *n)
{
    node_tails_stop(n);
    clear_known(&n->tails);
}

/* All that a target's answers depend on. NULL: no memory. */
static char *describe(const struct reality_conf *c)
{
    char at[TARGET_STRLEN], text[TARGET_STRLEN + 160];

    snprintf(text, sizeof(text), "%s%s %d %u", c->dest.path != NULL ? c->dest.path : "",
             c->dest.path != NULL ? "" : target_str(&c->dest.target, at), c->dest.padded,
             c->dest.xver);
    return strdup(text);
}

static bool knows_all(struct node_tails *t, const struct reality_conf *c)
{
    for (size_t i = 0; i < name_count(c); i++) {
        bool some = false;
        for (size_t k = 0; k < t->count; k++)
            some = some || strcmp(t->known[k].server_name, c->names[i].text) == 0;
        if (!some)
            return false;
    }
    return t->fails == 0;
}

void node_tails_follow(struct node *n)
{
    struct node_tails *t = &n->tails;
    const struct reality_conf *c = conf_of(n);
    uint64_t due = t->timer.at_ms, now = loop_now_ms(n->env->loop);

    node_tails_stop(n);
    if (c == NULL || c->name_count == 0) {
        clear_known(t);
        return;
    }
    char *about = describe(c);
    if (about == NULL || t->about == NULL || strcmp(about, t->about) != 0) {
        clear_known(t);
        t->about = about;
        loop_timer_in(n->env->loop, &t->timer, FIRST_MS);
        return;
    }
    free(about);
    publish(t, n->served);
    loop_timer_at(n->env->loop, &t->timer,
                  knows_all(t, c) && due > now + FIRST_MS ? due : now + FIRST_MS);
}

static bool looks_same(const struct node_tails *t, const struct reality_probe_result *r)
{
    unsigned cert = r->shape.combined ? FLIGHT_EXTENSIONS : FLIGHT_CERTIFICATE;
    int off = (int)r->shape.len[cert] - t->shape.len[cert];

    return t->suite == r->suite && t->group == r->group && t->shape.combined == r->shape.combined &&
           off >= -SAME_CERT && off <= SAME_CERT &&
           (r->shape.combined ||
            t->shape.len[FLIGHT_EXTENSIONS] == r->shape.len[FLIGHT_EXTENSIONS]);
}

void node_tails_compare(struct node *n, const struct reality_probe_result *r)
{
    struct node_tails *t = &n->tails;
    bool first = t->shape.len[FLIGHT_SERVER_HELLO] == 0;

    if (!first && !looks_same(t, r) && t->served == NULL && conf_of(n) != NULL)
        loop_timer_in(n->env->loop, &t->timer, FIRST_MS);
    t->shape = r->shape;
    t->suite = r->suite;
    t->group = r->group;
}
