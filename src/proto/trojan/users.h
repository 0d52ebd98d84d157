/* proto/trojan/users.h - the users of a node by SHA-224 of their secret. Pure. */
#ifndef PROTO_TROJAN_USERS_H
#define PROTO_TROJAN_USERS_H

#include "policy/user_index.h"
#include "proto/trojan/header.h"

extern const struct user_index_ops trojan_users_ops;

/* One probe. NULL: unknown or removed. */
struct user_rt *trojan_users_find(const struct user_index *ix,
                                  const uint8_t digest[TROJAN_DIGEST_LEN]);

#endif
