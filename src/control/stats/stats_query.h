/* control/stats/stats_query.h - a question about many counters: what matches is copied down at one
 * moment, taken off the counters if asked, and written as a QueryStatsResponse piece by piece while
 * the client reads. Control thread only.
 *
 * The copy takes 40 bytes a user (both directions), so a million counters are 20 MB while their
 * answer, 100 MB, never lies in memory as a whole. */
#ifndef CONTROL_STATS_STATS_QUERY_H
#define CONTROL_STATS_STATS_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/server/grpc_server.h"

#define STATS_PATTERNS_MAX 256u
#define STATS_QUERY_MEMORY (96u << 20) /* of all answers under way */

struct stats;

/* What is asked for. Patterns are borrowed; any of them must be in the name. */
struct stats_query {
    struct grpc_str patterns[STATS_PATTERNS_MAX];
    size_t count; /* 0: everything */
    bool regexp, reset;
};

/* Memory of all answers under way; shared by the queries of a service. Zeroed: none. */
struct stats_memory {
    size_t used, most; /* most: since it was 0 */
};

/* Counts @size bytes as held by an answer. ST_OK; ST_E_LIMIT: over STATS_QUERY_MEMORY. */
NODISCARD enum status stats_memory_take(struct stats_memory *m, size_t size);
/* Not held any more: it has been freed. */
void stats_memory_give(struct stats_memory *m, size_t size);

/* Answers @q with a body that is the caller's. On failure nothing has been reset and @problem says
 * why: ST_E_PROTO a bad expression, ST_E_LIMIT too large, ST_E_TIMEOUT several patterns, or an
 * expression, that take too long, ST_E_NOMEM. */
NODISCARD enum status stats_query_run(struct stats *s, const struct stats_query *q,
                                      struct stats_memory *memory, struct grpc_body **out,
                                      char problem[256]);

#endif
