/* proto/vmess/users.h - the users of a VMess node. An AuthID is a block that only its user's key
 * opens, so nothing but trying the keys finds him: they lie expanded and dense, to be scanned
 * (crypto/aes_scan.h). Pure; const once built.
 *
 * A user keeps his place, and the chunks of places that did not change are shared by successive
 * indexes: a change costs the chunks it touches (24 KiB for 128 users) and a walk over the list.
 * Costs 184 bytes a user, shared, and 20 in each index. */
#ifndef PROTO_VMESS_USERS_H
#define PROTO_VMESS_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/aes_scan.h"
#include "policy/user_index.h"

#define VMESS_USERS_CHUNK 128u

struct arena;
struct vmess_users_chunk;
struct vmess_users_listed;

struct vmess_users {
    struct user_index index;
    struct arena *arena;         /* holds this object and its tables, not the chunks */
    uint64_t serial;             /* one more than that of the index it replaced */
    const struct aes_scan *scan; /* how keys are tried */
    struct vmess_users_chunk **chunks;
    size_t chunk_count;
    struct vmess_users_listed *listed; /* in the order of the list it was built from */
    size_t listed_count;
    uint32_t *by_uuid;  /* open addressing; place + 1, 0 free, UINT32_MAX free again */
    size_t slots, used; /* used: not free, so with those free again */
    uint32_t *holes;    /* places that nobody has */
    size_t hole_count;
};

extern const struct user_index_ops vmess_users_ops;

/* One more than the last place. */
static inline size_t vmess_users_places(const struct vmess_users *u)
{
    return u->chunk_count * VMESS_USERS_CHUNK;
}

/* The first place from @from on, before @to, whose user's key opens @block to an AuthID;
 * AES_SCAN_NONE. *@time_s is the client's clock. Places without a user, or whose user is marked
 * removed, do not count. */
size_t vmess_users_find(const struct vmess_users *u, size_t from, size_t to,
                        const uint8_t block[AES_SCAN_BLOCK], int64_t *time_s);
/* The user of a place that vmess_users_find gave. */
struct user_rt *vmess_users_at(const struct vmess_users *u, size_t place);

#endif
