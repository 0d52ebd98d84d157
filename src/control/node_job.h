/* control/node_job.h - calls that a node repeats for ever, and what it says about those that fail.
 * Control thread; inside control only. */
#ifndef CONTROL_NODE_JOB_H
#define CONTROL_NODE_JOB_H

#include <stdint.h>

#include "control/node_config.h"
#include "io/loop.h"
#include "panel/v2sp/outcome.h"

struct node;
struct panel_call;
struct panel_reply;

/* Something that is wrong: said when it begins, when it becomes something else, and when it ends,
 * not at every try. */
struct node_trouble {
    uint64_t key; /* 0: nothing */
    char text[NODE_PROBLEM_MAX];
};

/* A kind of call that is repeated for ever. */
struct node_job {
    struct timer timer;
    struct panel_call *call;
    unsigned fails;        /* in a row */
    uint64_t done, failed; /* since the node began */
    struct node_trouble trouble;
};

void node_trouble_set(struct node *n, struct node_trouble *t, uint64_t key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void node_trouble_clear(struct node *n, struct node_trouble *t, const char *text);
void node_log(const struct node *n, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Counts a failure of @job, names it, and arms its timer by the rules of v2sp_outcome. */
void node_job_failed(struct node *n, struct node_job *job, const char *what, enum v2sp_outcome o,
                     const struct panel_reply *r, const char *text, uint64_t interval_ms);
void node_job_done(struct node *n, struct node_job *job, const char *what, uint64_t interval_ms);

#endif
