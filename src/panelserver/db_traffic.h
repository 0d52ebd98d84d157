/* panelserver/db_traffic.h - what nodes report: traffic exactly once, and who is online. */
#ifndef PANELSERVER_DB_TRAFFIC_H
#define PANELSERVER_DB_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct db;
struct report_push;
struct report_alive;

#define DB_KEY_MAX      128          /* bytes of an Idempotency-Key */
#define DB_KEY_HASH     32           /* bytes of the body's hash */
#define DB_KEY_TTL_S    (14 * 86400) /* a key is remembered this long */
#define DB_ALIVE_TTL_S  300
#define DB_TRAFFIC_DAYS 400 /* days kept in the daily books */

struct db_push_result {
    bool replayed;     /* the key was seen with the same body: nothing was added */
    uint64_t unknown;  /* entries for users that do not exist */
    uint64_t up, down; /* bytes booked */
};

/* Books one push in one transaction together with its key: both or neither.
 * @key NULL: no protection against a second delivery. @hash identifies the body.
 * ST_OK; ST_E_REFUSED (same key, other body). */
NODISCARD enum status db_traffic_push(struct db *db, int64_t node_id, const char *key,
                                      const uint8_t hash[DB_KEY_HASH],
                                      const struct report_push *push, int64_t now,
                                      struct db_push_result *out);

/* Replaces what the node said about the users in @alive. *@unknown counts users that do not exist.
 */
NODISCARD enum status db_alive_put(struct db *db, int64_t node_id, const struct report_alive *alive,
                                   int64_t now, uint64_t *unknown);
/* Calls @fn for each user with at least one address seen within DB_ALIVE_TTL_S, with the number of
 * distinct addresses over all nodes. */
NODISCARD enum status db_alive_each(struct db *db, int64_t now,
                                    bool (*fn)(void *ctx, int64_t user_id, int64_t devices),
                                    void *ctx);

/* Drops expired alive entries, old keys and old days. Called by the server once in a while. */
NODISCARD enum status db_traffic_prune(struct db *db, int64_t now);

struct db_totals {
    int64_t nodes, nodes_enabled;
    int64_t users, users_active; /* active: would be listed now */
    int64_t online;              /* users with a live address */
    uint64_t up, down;           /* used since the last reset, all users that exist */
    uint64_t today_up, today_down;
    uint64_t ever_up, ever_down; /* all that nodes have reported and the books still hold */
};
/* Sums for people. ST_OK. */
NODISCARD enum status db_totals(struct db *db, int64_t now, struct db_totals *out);

/* Calls @fn for the daily books of a user (0: all users together), newest first, at most @days.
 * @day is days since 1970. */
NODISCARD enum status
db_traffic_days(struct db *db, int64_t user_id, int days,
                bool (*fn)(void *ctx, int64_t day, uint64_t up, uint64_t down), void *ctx);

#endif
