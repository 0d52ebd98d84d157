/* control/store/hit_store.h - how often which user ran into which block rule, in node.db: sums over
 * all processes that ever served the node. What is added counts on, so two processes at a time
 * (an upgrade) add to the same sums. Control thread; inside control only. */
#ifndef CONTROL_STORE_HIT_STORE_H
#define CONTROL_STORE_HIT_STORE_H

#include <stdint.h>

#include "base/status.h"

#define HIT_STORE_DAYS 30u /* a rule, or a user at a rule, without a hit for so long is forgotten */
#define HIT_STORE_MAX  8192u /* of them a node; of more those with the oldest hits are forgotten */

struct store;

struct hit_sum {
    uint64_t uid;     /* 0: all of @rule */
    const char *rule; /* its text; "" with uid 0: all of the node, which is never forgotten */
    uint64_t count;
    int64_t since_s; /* the first; unix time */
};

/* Adds h->count hits at @now_s, within a transaction of the caller. ST_OK, ST_E_IO (said). */
NODISCARD enum status hit_store_add(struct store *s, uint32_t node, const struct hit_sum *h,
                                    int64_t now_s);
/* Forgets what is to be forgotten. ST_OK, ST_E_IO (said). */
NODISCARD enum status hit_store_trim(struct store *s, uint32_t node, int64_t now_s);
/* All of the node; zeros before the first. ST_OK, ST_E_IO (said). */
NODISCARD enum status hit_store_all(struct store *s, uint32_t node, struct hit_sum *out);
/* Calls @fn for the @max rules with the most hits, or pairs of user and rule, the most first. The
 * text is borrowed for the call. ST_OK, ST_E_IO (said). */
NODISCARD enum status hit_store_rules(struct store *s, uint32_t node, unsigned max,
                                      void (*fn)(void *arg, const struct hit_sum *h), void *arg);
NODISCARD enum status hit_store_pairs(struct store *s, uint32_t node, unsigned max,
                                      void (*fn)(void *arg, const struct hit_sum *h), void *arg);

#endif
