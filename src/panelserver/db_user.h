/* panelserver/db_user.h - users: credentials, limits, quota, expiry, and on which nodes they are.
 */
#ifndef PANELSERVER_DB_USER_H
#define PANELSERVER_DB_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/uuid.h"
#include "panelserver/db_node.h"

struct db;

#define DB_LIMIT_MAX INT32_MAX          /* speed, devices, connections */
#define DB_QUOTA_MAX (INT64_C(1) << 60) /* bytes */
#define DB_NODES_MAX 256                /* nodes one user may be tied to */

struct db_user {
    int64_t id;                 /* 0 in db_user_add: the next, never used before */
    char name[DB_NAME_MAX + 1]; /* unique; not a number */
    char uuid[UUID_STRLEN];     /* secret; "" in db_user_add: random (version 4) */
    int64_t speed_limit;        /* Mbit/s, 0 = none */
    int64_t device_limit, conn_limit;
    int64_t quota;   /* bytes up + down, 0 = none */
    int64_t expires; /* unix time, 0 = never */
    bool enabled;
    bool all_nodes; /* else only the nodes of db_user_set_nodes */
    /* bytes used since the last reset; db_user_add and db_user_update leave them alone */
    uint64_t up, down;
};

/* Why a user is not in a node's list, worst first; DB_USER_ACTIVE when it is. */
enum db_user_state { DB_USER_ACTIVE, DB_USER_DISABLED, DB_USER_EXPIRED, DB_USER_OVER_QUOTA };

/* An enabled user of all nodes, without limits. */
void db_user_init(struct db_user *u);
/* As of @now, unix time. */
enum db_user_state db_user_state(const struct db_user *u, int64_t now);

/* Checks, then inserts; @u gets its id and uuid. ST_OK; ST_E_CONFIG (db_error says which member);
 * ST_E_BUSY (name, uuid or id taken); ST_E_CRYPTO: no random bytes for a uuid. */
NODISCARD enum status db_user_add(struct db *db, struct db_user *u);
/* Writes all members but the counters. ST_OK; ST_E_CONFIG; ST_E_BUSY as above; ST_E_NOTFOUND. */
NODISCARD enum status db_user_update(struct db *db, const struct db_user *u);
/* Removes the user; the daily books keep what he used. ST_OK; ST_E_NOTFOUND. */
NODISCARD enum status db_user_del(struct db *db, int64_t id);
/* ST_OK; ST_E_NOTFOUND. */
NODISCARD enum status db_user_get(struct db *db, int64_t id, struct db_user *out);
/* Finds by id (all digits), by name, or by uuid. ST_OK; ST_E_NOTFOUND. */
NODISCARD enum status db_user_find(struct db *db, const char *text, struct db_user *out);
/* Calls @fn for each user in order of id until it returns false. @fn may not write. */
NODISCARD enum status db_user_each(struct db *db, bool (*fn)(void *ctx, const struct db_user *u),
                                   void *ctx);
/* Ties the user to these nodes only. ST_OK; ST_E_NOTFOUND when one does not exist; ST_E_CONFIG:
 * more than DB_NODES_MAX. */
NODISCARD enum status db_user_set_nodes(struct db *db, int64_t id, const int64_t *nodes,
                                        size_t count);
/* The nodes the user is tied to, at most @max; *@count may be more. */
NODISCARD enum status db_user_nodes(struct db *db, int64_t id, int64_t *nodes, size_t max,
                                    size_t *count);
/* Zeroes what the user (id 0: every user) has used; the daily books stay. ST_E_NOTFOUND. */
NODISCARD enum status db_user_reset(struct db *db, int64_t id);

/* Calls @fn for each user node @node_id serves at @now: enabled, not expired, under quota, tied to
 * it. In order of id. *@next is the moment the list changes by itself (the nearest expiry), or
 * INT64_MAX. */
NODISCARD enum status db_user_list(struct db *db, int64_t node_id, int64_t now,
                                   bool (*fn)(void *ctx, const struct db_user *u), void *ctx,
                                   int64_t *next);

/* Is any user tied to this node? If not, its list is that of every other such node: users of all
 * nodes. */
NODISCARD enum status db_user_any_tied(struct db *db, int64_t node_id, bool *out);

#endif
