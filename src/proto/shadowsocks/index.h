/* proto/shadowsocks/index.h - the users of a node, found in the way of its method. Const once
 * built. Pure.
 *
 * AEAD: streams do not say whose they are, so every master key is tried. The keys lie in groups as
 * crypto/lanes.h wants them, in chunks that an index shares with the one it replaces: a change
 * costs the chunks it touches, and 24 to 40 bytes a user are held. 2022 with identities: one probe
 * (policy/key_index.h). Else: the first user of the list, whose node it is. */
#ifndef PROTO_SHADOWSOCKS_INDEX_H
#define PROTO_SHADOWSOCKS_INDEX_H

#include "crypto/lanes.h"
#include "policy/user_index.h"
#include "proto/shadowsocks/method.h"

#define SS_CHUNK_USERS 128u /* a multiple of LANES */

struct arena;

/* Users sorted by (uid, uuid). */
struct ss_chunk {
    _Atomic uint32_t refs; /* indexes that share it */
    uint32_t count;
    struct arena *arena; /* holds it */
    struct user_rt *users[SS_CHUNK_USERS];
    uint32_t keys[]; /* [group][word][lane] */
};

struct ss_index {
    struct user_index index;
    struct arena *arena; /* holds this object too */
    uint64_t serial;     /* tells indexes apart that follow each other at one address */
    uint32_t chunk_count;
    unsigned words; /* of a key */
    struct ss_chunk **chunks;
};

struct ss_single {
    struct user_index index;
    struct arena *arena;
    struct user_rt *user; /* NULL: none */
};

extern const struct user_index_ops ss_index_ops;

/* Keys of group @group (LANES users) of a chunk. */
static inline const uint32_t (*ss_chunk_keys(const struct ss_index *ix, const struct ss_chunk *c,
                                             unsigned group))[LANES]
{
    const uint32_t *p = c->keys + (size_t)group * ix->words * LANES;
    return (const uint32_t(*)[LANES])(const void *)p;
}

/* AEAD: the place of the first user with @uid. False: there is none. */
bool ss_index_locate(const struct ss_index *ix, uint64_t uid, uint32_t *chunk, uint32_t *at);
/* And of the one behind that place, if he has it, too. */
bool ss_index_next(const struct ss_index *ix, uint64_t uid, uint32_t *chunk, uint32_t *at);
/* AEAD: the user with @uid and master key. NULL: none, or removed. */
struct user_rt *ss_index_find(const struct user_index *ix, const struct ss_method *m, uint64_t uid,
                              const uint8_t *key);
/* The user of a node that has one. NULL: none, or removed. */
struct user_rt *ss_index_single(const struct user_index *ix);

#endif
