/* control/stats/stats_names.h - inside of the stats module: names as sets, and users by their
 * credential. Control thread only. */
#ifndef CONTROL_STATS_STATS_NAMES_H
#define CONTROL_STATS_STATS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct config_stats_names;
struct user_rt;
struct user_table;

/* Copies of names. Zeroed: none. */
struct stats_set {
    bool all; /* "*" was among them */
    char **names;
    size_t count;
};

/* Copies @names. ST_OK; ST_E_NOMEM: @s is empty. */
NODISCARD enum status stats_set_init(struct stats_set *s, const struct config_stats_names *names);
/* Frees the copies; it is empty then. */
void stats_set_fini(struct stats_set *s);
/* Is it among them, or are all? */
bool stats_set_has(const struct stats_set *s, const char *name, size_t len);
/* Is it among them by its own name? */
bool stats_set_lists(const struct stats_set *s, const char *name, size_t len);

/* Finds users by the text of their credential; made when it is first needed, again when the table
 * has changed. Zeroed: nothing. */
struct stats_index {
    uint32_t *cells; /* index into by_id plus 1; 0 = free */
    size_t size;     /* a power of 2 */
    uint32_t version;
};

/* NULL: nobody's, or no memory for the index. */
const struct user_rt *stats_index_find(struct stats_index *x, const struct user_table *t,
                                       const char *credential, size_t len);
/* Frees the index; it is zeroed then. */
void stats_index_fini(struct stats_index *x);

#endif
