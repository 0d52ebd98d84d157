/* control/stats/stats.h - the counters of the stats API: which there are, what they are called, and
 * from where they count. Control thread only.
 *
 *   inbound>>>TAG>>>traffic>>>uplink    what users of the node TAG sent, payload bytes
 *   outbound>>>TAG>>>traffic>>>downlink what came for them through its own outbound; TAG "direct":
 *                                       through those of all nodes together
 *   user>>>TAG|CREDENTIAL>>>traffic>>>uplink
 *
 * Nothing is counted a second time: a counter is the difference between a sum that only grows
 * (policy/meter.h of a user, plane.stats of a node) and a base, and a reset moves the base by what
 * was returned. So the resets of all clients together are what was forwarded, to the byte, whatever
 * runs meanwhile, and the panel's reports do not notice.
 *
 * A counter appears with the first connection (known when somebody asks) and stays. What a removed
 * user or node has left is kept under its name, until there are STATS_GONE_MAX of them and the
 * oldest are forgotten; one that comes back goes on with it. */
#ifndef CONTROL_STATS_STATS_H
#define CONTROL_STATS_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"

#define STATS_GONE_MAX 65536u
#define STATS_TAG_MAX  256u /* bytes of a tag; a longer one has no counters */
#define STATS_NAME_MAX 384u /* of a counter, with the NUL */

struct config_stats;
struct counters;
struct node;
struct plane;
struct stats;
struct user_rt;

struct stats_setup {
    const struct plane *plane;
    const struct counters *counters;
    const struct list *nodes; /* struct node.link */
};

/* Everything borrowed for its life. NULL: no memory. */
struct stats *stats_new(const struct stats_setup *setup);
void stats_free(struct stats *s); /* NULL is fine */
/* Tracks what @conf lists, NULL: nothing. ST_OK; ST_E_NOMEM: as before. */
NODISCARD enum status stats_configure(struct stats *s, const struct config_stats *conf);

/* A node began, or its tag may have changed; it ends. A user left its table, though sessions of his
 * may go on; the last of them has ended, his sums can still be read. */
void stats_node_begin(struct stats *s, const struct node *n);
void stats_node_end(struct stats *s, const struct node *n);
void stats_user_leaves(struct stats *s, const struct user_rt *u);
void stats_user_gone(struct stats *s, const struct user_rt *u);

/* Bytes of node number @no since it began, whatever was reset. */
void stats_node_total(struct stats *s, uint32_t no, uint64_t *up, uint64_t *down);

enum stats_kind { STATS_INBOUND, STATS_OUTBOUND, STATS_USER, STATS_GONE };
enum stats_direction { STATS_UP = 1, STATS_DOWN = 2 };

/* One thing that is counted, both directions, as it is walked over. */
struct stats_item {
    enum stats_kind kind;
    uint64_t up, down;
    uint32_t place;   /* where its base is */
    const char *name; /* "user>>>TAG|CREDENTIAL"; borrowed till the next step */
    size_t name_len;
    const char *tag;            /* of a node's; else NULL */
    const struct user_rt *user; /* of STATS_USER */
};

/* Calls @fn for each; ends early with what it returns when that is not ST_OK. ST_OK, that, or
 * ST_E_NOMEM. */
NODISCARD enum status
stats_walk(struct stats *s, enum status (*fn)(void *arg, const struct stats_item *item), void *arg);
/* The item that @name, such as "user>>>TAG|CREDENTIAL", names. Its name stays the caller's. */
bool stats_find(struct stats *s, const char *name, size_t len, struct stats_item *out);
/* Takes @up and @down, which stats_walk or stats_find gave for @place, off the counter. Nothing
 * else may have happened in between. */
void stats_take(struct stats *s, enum stats_kind kind, uint32_t place, uint64_t up, uint64_t down);
/* What is empty of the departed is forgotten; places may change. After a round of stats_take. */
void stats_forget(struct stats *s);
/* A live user by the name without "user>>>", tracked or not; NULL: there is none. */
const struct user_rt *stats_user(struct stats *s, const char *name, size_t len);

#endif
