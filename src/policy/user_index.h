/* policy/user_index.h - from a credential to a user in one probe: open addressing over 16 bytes of
 * key, const once built.
 *
 * Costs 8 bytes a slot at a load of at most 2/3. The key is the UUID with bytes 6 and 7 zero:
 * clients may put a route number there (Xray-core proxy/vless/validator.go). Two users that differ
 * only there collide: the last added wins. */
#ifndef POLICY_USER_INDEX_H
#define POLICY_USER_INDEX_H

#include <stddef.h>

#include "base/status.h"
#include "policy/user.h"

struct user_index;

/* Builds an index of @n users (borrowed; the caller keeps them alive while the index is). @seed
 * keys the hash, so that chosen uuids cannot pile up. *@collisions (may be NULL) counts users
 * shadowed by a later one. ST_OK or ST_E_NOMEM. */
NODISCARD enum status user_index_new(struct user_rt *const *users, size_t n, uint64_t seed,
                                     struct user_index **out, size_t *collisions);
void user_index_free(struct user_index *ix); /* NULL is fine */
/* Finds by the 16 bytes as sent. NULL: unknown, or the user is marked removed. */
struct user_rt *user_index_find(const struct user_index *ix, const uint8_t uuid[UUID_LEN]);
size_t user_index_count(const struct user_index *ix);

#endif
