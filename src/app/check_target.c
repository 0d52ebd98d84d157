#include "app/check_target.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/config/config_node.h"
#include "control/node/node_target.h"
#include "control/node/view_builder.h"
#include "control/probe/reality_probe.h"
#include "control/probe/reality_verdict.h"
#include "transport/reality/reality_conf.h"

#define NAMES_MAX 4u
#define STEPS     (REALITY_PROBE_FLIGHT | REALITY_PROBE_CERT | REALITY_PROBE_HTTP)

struct look {
    struct check_target *of;
    const char *name;
    struct reality_probe *probe;
    struct reality_probe_result result;
};

struct check_target {
    const struct config_node *node;
    struct served_node *served;
    unsigned *open;
    struct look looks[NAMES_MAX];
    size_t count;
};

static void looked(void *arg, const struct reality_probe_result *r)
{
    struct look *k = arg;
    k->probe = NULL;
    k->result = *r;
    (*k->of->open)--;
}

struct check_target *check_target_start(struct loop *l, struct resolver *r,
                                        const struct config_node *node, struct served_node *own_s,
                                        unsigned *open)
{
    const struct reality_conf *c = served_node_reality(own_s);
    struct check_target *t = calloc(1, sizeof(*t));
    if (t == NULL || c == NULL) {
        served_node_unref(own_s);
        free(t);
        return NULL;
    }
    *t = (struct check_target){.node = node, .served = own_s, .open = open};
    for (size_t i = 0; i < c->name_count && i < NAMES_MAX; i++) {
        struct look *k = &t->looks[t->count++];
        struct reality_probe_conf conf = {.loop = l,
                                          .resolver = r,
                                          .dest = &c->dest,
                                          .server_name = c->names[i].text,
                                          .mldsa = c->identity.mldsa,
                                          .steps = STEPS,
                                          .arg = k,
                                          .done = looked};
        *k = (struct look){.of = t, .name = c->names[i].text};
        k->probe = reality_probe_start(&conf);
        if (k->probe != NULL)
            (*open)++;
        else
            snprintf(k->result.problem, sizeof(k->result.problem), "out of memory");
    }
    return t;
}

static unsigned print(const struct check_target *t, const struct look *k, unsigned *warnings)
{
    static const char *const words[] = {"ok", "warning", "error"};
    const struct reality_conf *c = served_node_reality(t->served);
    struct reality_line lines[REALITY_LINES_MAX];
    char at[TARGET_STRLEN];
    unsigned bad = 0;
    size_t n = reality_verdict_lines(&k->result, k->name, STEPS, lines);
    for (size_t i = 0; i < n; i++) {
        enum reality_mark mark = lines[i].mark;
        bad += mark == REALITY_BAD;
        *warnings += mark != REALITY_BAD && mark != REALITY_GOOD;
        fprintf(mark == REALITY_GOOD ? stdout : stderr,
                "%s:%d:%d: %s: node %s: target %s%s%s: %s\n", t->node->file, t->node->line,
                t->node->column, words[mark], t->node->tag,
                c->dest.path != NULL ? c->dest.path : target_str(&c->dest.target, at),
                t->count > 1 ? ", name " : "", t->count > 1 ? k->name : "", lines[i].text);
    }
    return bad;
}

unsigned check_target_end(struct check_target *t, unsigned *warnings)
{
    unsigned bad = 0;
    if (t == NULL)
        return 0;
    for (size_t i = 0; i < t->count; i++) {
        bad += print(t, &t->looks[i], warnings);
        reality_probe_cancel(t->looks[i].probe);
    }
    served_node_unref(t->served);
    free(t);
    return bad;
}
