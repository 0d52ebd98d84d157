/* control/admin/metrics.h - what the metrics page shows, and the page itself: GET /metrics (the
 * same at /scrape), /debug/vars, /healthz, /readyz over HTTP/1.1 on its own address. Control
 * thread only. What each name means: docs/stats-api.md. */
#ifndef CONTROL_ADMIN_METRICS_H
#define CONTROL_ADMIN_METRICS_H

#include <stdbool.h>

#include "base/addr.h"
#include "control/admin/metrics_text.h"

struct config_metrics;
struct list;
struct log;
struct loop;
struct metrics;
struct node_env;

/* Borrowed for its life. */
struct metrics_setup {
    struct node_env *env;
    const struct list *nodes; /* struct node.link */
};

/* NULL: no memory. */
struct metrics *metrics_new(const struct metrics_setup *setup);
void metrics_free(struct metrics *m); /* NULL is fine */
/* Listens as @conf says. An address that cannot be had is said once and tried again. */
void metrics_apply(struct metrics *m, const struct config_metrics *conf);

/* ---- metrics_page.c ---- */

/* Writes /metrics; @users: with a series for each user. */
void metrics_page(struct metrics_text *t, const struct metrics_setup *m, bool users,
                  uint64_t scrapes);
/* Xray's expvar page, as far as it is about traffic. */
void metrics_vars(struct metrics_text *t, const struct metrics_setup *m, bool users);
/* True when every node serves; else names those that do not. */
bool metrics_ready(struct metrics_text *t, const struct metrics_setup *m);

#endif
