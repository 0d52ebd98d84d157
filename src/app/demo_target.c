#include "app/demo_target.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "control/probe/reality_probe.h"
#include "control/probe/reality_verdict.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "transport/reality/reality_conf.h"

#define STEPS (REALITY_PROBE_FLIGHT | REALITY_PROBE_CERT)

/* Big, everywhere, TLS 1.3 and h2 on their own name, and not behind a CDN that serves anybody. */
static const char *const sites[] = {"www.nvidia.com", "addons.mozilla.org", "www.python.org",
                                    "dl.google.com", "www.microsoft.com"};
#define SITES (sizeof(sites) / sizeof(sites[0]))

struct search;

struct candidate {
    struct search *of;
    const char *name;
    struct aux_dest dest;
    struct reality_probe *probe;
};

struct search {
    struct loop *loop;
    struct resolver *resolver;
    struct arena *arena;
    bool given; /* by the user: who need not be told what a good site is */
    struct candidate list[SITES];
    unsigned open;
    const struct candidate *found;
    char why[DEMO_WHY_MAX];
};

static void explain(struct search *s, const struct candidate *c, const char *text)
{
    if (s->why[0] == '\0')
        snprintf(s->why, sizeof(s->why), "%.100s: %.140s", c->name, text);
}

static void looked(void *arg, const struct reality_probe_result *r)
{
    struct candidate *c = arg;
    struct search *s = c->of;
    c->probe = NULL;
    s->open--;
    bool good = s->given ? r->problem[0] == '\0' : reality_verdict_excellent(r);
    if (good && s->found == NULL)
        s->found = c;
    else if (r->problem[0] != '\0')
        explain(s, c, r->problem);
    else if (!good)
        explain(s, c, "not what its name promises");
}

static void start(struct search *s, struct candidate *c, const char *text, const char *name,
                  unsigned steps)
{
    struct reality_probe_conf conf = {.loop = s->loop,
                                      .resolver = s->resolver,
                                      .dest = &c->dest,
                                      .server_name = name,
                                      .steps = steps,
                                      .limit_ms = DEMO_TARGET_MS,
                                      .arg = c,
                                      .done = looked};
    *c = (struct candidate){.of = s, .name = name};
    if (reality_dest_parse(s->arena, text, 443, &c->dest) != ST_OK) {
        c->name = text;
        explain(s, c, "host:port is needed");
        return;
    }
    c->probe = reality_probe_start(&conf);
    if (c->probe != NULL)
        s->open++;
    else
        explain(s, c, "out of memory");
}

/* The host of @given when that is a name. */
static const char *own_name(struct search *s, const char *given)
{
    struct aux_dest *d = arena_alloc(s->arena, sizeof(*d));
    if (d == NULL || reality_dest_parse(s->arena, given, 443, d) != ST_OK || d->path != NULL ||
        d->target.host_len == 0 || strcmp(d->target.host, "localhost") == 0)
        return NULL;
    return d->target.host;
}

static void search(struct search *s, const char *given, const char *name, const char *other_name)
{
    if (given != NULL) {
        if (name == NULL)
            name = own_name(s, given);
        start(s, &s->list[0], given, name != NULL ? name : other_name, REALITY_PROBE_FLIGHT);
    }
    for (size_t i = 0; given == NULL && i < SITES; i++)
        start(s, &s->list[i], sites[i], sites[i], STEPS);
    while (s->open > 0 && s->found == NULL)
        loop_once(s->loop, 100);
    for (size_t i = 0; i < SITES; i++)
        reality_probe_cancel(s->list[i].probe);
}

bool demo_target_find(const char *given, const char *name, const char *other_name,
                      struct demo_target *out)
{
    struct search s = {.given = given != NULL, .loop = loop_new(), .arena = arena_new()};
    char at[TARGET_STRLEN];
    *out = (struct demo_target){.why = "out of memory"};
    if (s.loop == NULL || s.arena == NULL)
        goto out;
    if (resolver_new(s.loop, NULL, &s.resolver) != ST_OK)
        s.resolver = NULL;
    search(&s, given, name, other_name);
    snprintf(out->why, sizeof(out->why), "%s", s.why);
    if (s.found != NULL) {
        const struct aux_dest *d = &s.found->dest;
        snprintf(out->dest, sizeof(out->dest), "%s",
                 d->path != NULL ? given : target_str(&d->target, at));
        snprintf(out->name, sizeof(out->name), "%s", s.found->name);
    }
out:
    resolver_free(s.resolver);
    loop_free(s.loop);
    arena_free(s.arena);
    return s.found != NULL;
}
