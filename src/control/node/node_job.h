/* control/node/node_job.h - calls that a node repeats for ever, and what it says about those
 * that fail. Control thread; inside control only. */
#ifndef CONTROL_NODE_NODE_JOB_H
#define CONTROL_NODE_NODE_JOB_H

#include <stdint.h>

#include "control/node/node_config.h"
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

/* @t is @key (> 0) from now on, in these words. A warning is logged if it was something else. */
void node_trouble_set(struct node *n, struct node_trouble *t, uint64_t key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* @t is over; @text (NULL: nothing) is logged if there was any. */
void node_trouble_clear(struct node *n, struct node_trouble *t, const char *text);
/* A line about @n; @level is an enum log_level. */
void node_log(const struct node *n, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Counts a failure of @job, names it (@what: "push"; @text: the panel's words or why not, may be
 * ""), and arms its timer by the rules of panel/v2sp/outcome.h. @r NULL: nothing was sent. */
void node_job_failed(struct node *n, struct node_job *job, const char *what, enum v2sp_outcome o,
                     const struct panel_reply *r, const char *text, uint64_t interval_ms);
/* Counts a success, ends the trouble, and arms the timer for @interval_ms from now, about. */
void node_job_done(struct node *n, struct node_job *job, const char *what, uint64_t interval_ms);

#endif
