#include "control/node/node_target.h"

#include <stdio.h>

#include "control/node/node.h"
#include "control/probe/reality_probe.h"
#include "control/probe/reality_verdict.h"
#include "io/resolver.h"
#include "transport/reality/reality.h"
#include "transport/reality/reality_conf.h"

#define FIRST_MS   1000
#define GOOD_MS    600000 /* a visit every ten minutes is nothing to a public site ... */
#define BAD_MS     60000  /* ... and every minute tells soon that it is back */
#define SLOW_MS    2000u
#define SLOW_TWICE 2u

enum trouble_key { TARGET_DOWN = 1, TARGET_UNFIT, TARGET_SLOW };

const struct reality_conf *served_node_reality(const struct served_node *s)
{
    const struct view_stage *first = &s->node.stages[0];

    return s->node.stage_count > 0 && first->ops == &reality_server_ops ? first->conf : NULL;
}

static const char *name_of(const struct reality_conf *c, char at[TARGET_STRLEN])
{
    return c->dest.path != NULL ? c->dest.path : target_str(&c->dest.target, at);
}

static void judge(struct node *n, const struct reality_conf *c,
                  const struct reality_probe_result *r)
{
    struct node_target *t = &n->target;
    char at[TARGET_STRLEN], back[NODE_PROBLEM_MAX];

    if (r->problem[0] == '\0')
        node_tails_compare(n, r);
    t->slow = r->problem[0] == '\0' && r->answer_ms > SLOW_MS ? t->slow + 1 : 0;
    if (r->problem[0] != '\0' && r->down)
        node_trouble_set(n, &t->trouble, TARGET_DOWN,
                         "REALITY target %.60s is not reachable, nobody can connect: %.60s",
                         name_of(c, at), r->problem);
    else if (r->problem[0] != '\0')
        node_trouble_set(n, &t->trouble, TARGET_UNFIT,
                         "REALITY target %.60s cannot be used, nobody can connect: %.60s",
                         name_of(c, at), r->problem);
    else if (t->slow >= SLOW_TWICE)
        node_trouble_set(n, &t->trouble, TARGET_SLOW,
                         "REALITY target %.60s is slow, and every connection waits for it: %u ms",
                         name_of(c, at), r->answer_ms);
    else if (t->slow == 0) {
        snprintf(back, sizeof(back), "REALITY target %.60s answers again, in %u ms", name_of(c, at),
                 r->answer_ms);
        node_trouble_clear(n, &t->trouble, back);
    }
    loop_timer_in(n->env->loop, &t->timer, t->trouble.key != 0 || t->slow > 0 ? BAD_MS : GOOD_MS);
}

static void on_looked(void *arg, const struct reality_probe_result *r)
{
    struct node *n = arg;
    struct served_node *s = n->target.served;

    n->target.probe = NULL;
    n->target.served = NULL;
    judge(n, served_node_reality(s), r);
    served_node_unref(s);
}

static void on_timer(struct timer *timer)
{
    struct node *n = LIST_ENTRY(timer, struct node, target.timer);
    struct node_env *e = n->env;
    const struct reality_conf *c = n->served != NULL ? served_node_reality(n->served) : NULL;

    if (c == NULL || c->name_count == 0 || n->target.probe != NULL)
        return;
    /* Without one only targets named by address are found; said as what it is. */
    if (e->resolver == NULL && resolver_new(e->loop, NULL, &e->resolver) != ST_OK)
        e->resolver = NULL;
    struct reality_probe_conf conf = {.loop = e->loop,
                                      .resolver = e->resolver,
                                      .dest = &c->dest,
                                      .server_name = c->names[0].text,
                                      .mldsa = c->identity.mldsa,
                                      .steps = REALITY_PROBE_FLIGHT,
                                      .arg = n,
                                      .done = on_looked};
    n->target.served = served_node_ref(n->served);
    n->target.probe = reality_probe_start(&conf);
    if (n->target.probe != NULL)
        return;
    served_node_unref(n->target.served);
    n->target.served = NULL;
    loop_timer_in(e->loop, timer, BAD_MS);
}

void node_target_init(struct node *n)
{
    timer_init(&n->target.timer, on_timer);
    node_tails_init(n);
}

void node_target_stop(struct node *n)
{
    loop_timer_del(n->env->loop, &n->target.timer);
    node_tails_stop(n);
    reality_probe_cancel(n->target.probe);
    n->target.probe = NULL;
    served_node_unref(n->target.served);
    n->target.served = NULL;
    n->target.slow = 0;
}

void node_target_follow(struct node *n)
{
    node_target_stop(n);
    node_tails_follow(n);
    if (served_node_reality(n->served) != NULL)
        loop_timer_in(n->env->loop, &n->target.timer, FIRST_MS);
    else
        node_trouble_clear(n, &n->target.trouble, NULL);
}
