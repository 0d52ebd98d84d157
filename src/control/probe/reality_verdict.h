/* control/probe/reality_verdict.h - what was seen of a REALITY target, judged and put into words.
 * Pure. */
#ifndef CONTROL_PROBE_REALITY_VERDICT_H
#define CONTROL_PROBE_REALITY_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "control/probe/reality_probe.h"

#define REALITY_SLOW_MS    1000u /* an answer later than that is felt by every client */
#define REALITY_LINES_MAX  6
#define REALITY_LINE_BYTES 256

enum reality_mark { REALITY_GOOD, REALITY_DOUBTFUL, REALITY_BAD };

struct reality_line {
    enum reality_mark mark;
    char text[REALITY_LINE_BYTES];
};

/* Sets r->problem when our flight does not fit into r->shape. */
void reality_verdict_fit(struct reality_probe_result *r, bool mldsa);
/* Takes status and Location from the head of an HTTP/1 answer, or what there is of it. */
void reality_verdict_http(struct reality_probe_result *r, const char *head);
/* One line for each thing that was looked at by @steps. Returns how many. */
size_t reality_verdict_lines(const struct reality_probe_result *r, const char *server_name,
                             unsigned steps, struct reality_line lines[REALITY_LINES_MAX]);
/* Good enough to be chosen without asking anybody: nothing bad, h2, and a trusted certificate that
 * covers the name. */
bool reality_verdict_excellent(const struct reality_probe_result *r);

#endif
