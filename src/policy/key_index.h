/* policy/key_index.h - an index of users by 16 bytes of key: one probe, open addressing.
 *
 * Costs 32 bytes a user, at a load of at most 2/3. Keys are made for who is new only: 100 changes
 * among 100,000 users cost 2 ms, whatever a key costs. The whole key is made again from the user
 * that the probe finds and compared in constant time. Of two users with one key the last added
 * wins; the other is skipped. */
#ifndef POLICY_KEY_INDEX_H
#define POLICY_KEY_INDEX_H

#include "policy/user_index.h"

#define KEY_INDEX_LEN 16

/* Makes the key under which @u is found. NULL: done; else why he cannot be found. */
typedef const char *key_index_key_fn(const void *conf, const struct user_rt *u,
                                     uint8_t key[KEY_INDEX_LEN]);

/* Builds an index for @ops. @b->users must be in an order that does not change between builds, with
 * who has left since @b->before marked removed. @ops must be the caller's and free with
 * key_index_free. @b->conf must live as long as the index. ST_OK or ST_E_NOMEM. */
NODISCARD enum status key_index_build(const struct user_index_build *b, key_index_key_fn *key_of,
                                      const struct user_index_ops *ops, struct user_index **out);
void key_index_free(struct user_index *ix);
/* NULL: unknown, or the user is marked removed. @ix NULL is an empty index. */
struct user_rt *key_index_find(const struct user_index *ix, const uint8_t key[KEY_INDEX_LEN]);

/* By UUID with bytes 6 and 7 zero: clients may put a route number there (Xray-core
 * proxy/vless/validator.go). */
extern const struct user_index_ops uuid_index_ops;
struct user_rt *uuid_index_find(const struct user_index *ix, const uint8_t uuid[UUID_LEN]);

#endif
