/* panelserver/user_cache.h - the answers to `user`, made once a change and kept: nodes ask every
 * minute, lists run to megabytes.
 *
 * An entry is good while db_users_version stays and no listed user expires. Nodes without users of
 * their own share one entry. Holds at most USER_CACHE_ENTRIES bodies and about USER_CACHE_BYTES. */
#ifndef PANELSERVER_USER_CACHE_H
#define PANELSERVER_USER_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct body;
struct db;

#define USER_CACHE_ENTRIES 32
#define USER_CACHE_BYTES   (64u * 1024 * 1024)

struct user_cache {
    struct user_cache_entry {
        int64_t node_id; /* 0: the list of all nodes without users of their own */
        int64_t version;
        int64_t until; /* the list changes by itself then */
        uint64_t used; /* when last, in calls */
        struct body *body;
    } entries[USER_CACHE_ENTRIES];
    uint64_t calls;
    uint64_t built; /* lists made; for tests */
};

void user_cache_init(struct user_cache *c); /* empty */
void user_cache_fini(struct user_cache *c); /* drops the bodies; others may hold them still */
/* The reply for @node_id at @now; *@out has a reference for the caller. ST_OK; ST_E_NOMEM; the
 * errors of db_user_list. */
NODISCARD enum status user_cache_get(struct user_cache *c, struct db *db, int64_t node_id,
                                     int64_t now, struct body **out);

#endif
