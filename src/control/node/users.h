/* control/node/users.h - the users of a node: the list a panel sends, the objects both planes
 * share, and what differs between the two. Control thread only.
 *
 * 100,000 users cost 120 bytes an object, 8 a row of the table and, while a list is applied, 56 a
 * row of the list: 18.4 MB. */
#ifndef CONTROL_NODE_USERS_H
#define CONTROL_NODE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/user.h"

struct counters;
struct dynamic_limits;
struct device_panel;

#define USERS_MAX 1000000u /* of one node */

/* ---- objects ---- */

/* Stable objects for all nodes of the process; memory grows in chunks and is kept. */
struct user_slab;
struct user_slab *user_slab_new(void);    /* NULL: no memory */
void user_slab_free(struct user_slab *s); /* NULL is fine; nobody may hold an object any more */
/* ST_OK: the next @n takes succeed; ST_E_NOMEM. */
NODISCARD enum status user_slab_reserve(struct user_slab *s, size_t n);
/* A zeroed object. Only after user_slab_reserve. */
struct user_rt *user_slab_take(struct user_slab *s);
/* Nobody may hold a pointer to @u any more. Wipes the credential. */
void user_slab_give(struct user_slab *s, struct user_rt *u);
/* Objects taken and not given back. */
size_t user_slab_used(const struct user_slab *s);

/* ---- the list as it arrives ---- */

enum user_state { USER_SAME, USER_NEW, USER_CHANGED };

struct user_entry {
    uint64_t uid;
    uint8_t uuid[UUID_LEN];
    uint32_t speed_kbps, device_limit, conn_limit; /* 0 = unlimited */
    uint32_t order; /* place in the list; after users_apply: enum user_state */
    /* As user_rt.secret; NULL: uuid says it all. The list's, until users_apply gives it to a new
     * user: then borrowed from him. */
    char *secret;
    bool given;
};

struct user_list {
    struct user_entry *entries;
    size_t count, room;
    size_t duplicates; /* dropped by user_list_settle: the last of equal users stays */
};

void user_list_init(struct user_list *l); /* empty */
void user_list_fini(struct user_list *l); /* wipes the credentials */
/* Appends a user whose credential is the text of a UUID, or 1..30 bytes that stand for one (version
 * 5 over the nil namespace, as Xray-core common/uuid does). ST_OK; ST_E_PROTO: neither; ST_E_LIMIT
 * over USERS_MAX; ST_E_NOMEM. */
NODISCARD enum status user_list_add(struct user_list *l, const struct user_entry *limits,
                                    const char *credential, size_t len);
/* Appends an entry with its uuid; @e->secret is copied. ST_OK, ST_E_LIMIT, ST_E_NOMEM. */
NODISCARD enum status user_list_push(struct user_list *l, const struct user_entry *e);
/* Sorts by (uid, uuid, secret) and drops duplicates. */
void user_list_settle(struct user_list *l);
/* Equal for lists of the same users with the same limits; after settling. */
uint64_t user_list_hash(const struct user_list *l);

/* ---- the users of a node ---- */

struct user_table {
    struct user_rt **by_id; /* sorted by (uid, uuid, secret); one reference each */
    size_t count;
    uint32_t version; /* grows with every change of who is in it */
};

/* Where objects and slots come from, and the node's own limits: the smaller non-zero of node and
 * user counts. */
struct users_env {
    struct user_slab *slab;
    struct counters *counters;
    const struct dynamic_limits *dynamic; /* who is held to something now; NULL: nobody */
    uint32_t node_no;                     /* in the workers' tables */
    uint32_t store_node;                  /* in the spool */
    uint32_t speed_kbps, device_limit, conn_limit;
    struct device_panel *panel; /* counts the devices; NULL: nobody does */
    bool device_limit_kick;     /* a smaller device limit is one for those who are in, too */
};

struct users_change {
    /* out of the table, marked removed; the table's reference is now the array's */
    struct user_rt **removed;
    size_t removed_count;
    size_t added, changed;
    size_t device_limits; /* users who have one now or a smaller one */
    size_t stream_limits; /* users who have one now and had none */
};

/* Where in @t users with @uid begin, or would: one may have several credentials. */
size_t users_first(const struct user_table *t, uint64_t uid);
/* Users of @t with that uid are held to @kbps for a while, 0: no more. */
void users_hold(const struct user_table *t, uint64_t uid, uint32_t kbps);
/* How many uids of @t are not in @l (settled) under any credential. */
size_t users_missing(const struct user_table *t, const struct user_list *l);
/* Makes @t what @l (settled) says: new objects, changed limits in place, removed users marked.
 * Marks the entries of @l with enum user_state. *@change is to be given to users_change_fini.
 * ST_OK; ST_E_NOMEM, ST_E_LIMIT, ST_E_IO (no counter slots): nothing has changed. */
NODISCARD enum status users_apply(struct user_table *t, struct user_list *l,
                                  const struct users_env *env, struct users_change *change);
void users_change_fini(struct users_change *c); /* the array only */
void users_table_fini(struct user_table *t);    /* the array only */

#endif
