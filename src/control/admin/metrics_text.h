/* control/admin/metrics_text.h - writing the Prometheus text format 0.0.4 into memory that grows.
 * Control thread only.
 *
 * Life: {.text = ...} -> metrics_family -> (metrics_value | metrics_labels)* -> ... */
#ifndef CONTROL_ADMIN_METRICS_TEXT_H
#define CONTROL_ADMIN_METRICS_TEXT_H

#include <stdint.h>

#include "base/textbuf.h"

#define METRICS_TEXT_MAX (128u << 20)

struct metrics_text {
    struct textbuf *text; /* borrowed; failed: what is there is not whole */
    const char *family;   /* that the next values are of */
};

struct metrics_label {
    const char *name, *value;
};

/* HELP and TYPE of @name, whose values follow. @type: "counter", "gauge". Borrowed. */
void metrics_family(struct metrics_text *t, const char *name, const char *type, const char *help);
/* A value with up to four labels, the first without a name ends them; values of labels are
 * escaped. */
void metrics_value(struct metrics_text *t, const struct metrics_label labels[4], uint64_t value);
/* The same in seconds with a fraction; NULL: no labels. */
void metrics_seconds(struct metrics_text *t, const struct metrics_label labels[4], uint64_t us);

#endif
