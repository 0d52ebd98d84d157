#include "proto/trojan/users.h"

#include <string.h>

#include "crypto/hash.h"
#include "crypto/mem.h"
#include "policy/key_index.h"

_Static_assert(TROJAN_DIGEST_LEN == HASH_SHA224_LEN, "what clients send is SHA-224");

static enum status digest_of(const struct user_rt *u, uint8_t digest[TROJAN_DIGEST_LEN])
{
    char buf[USER_SECRET_MAX + 1];
    const char *secret = user_secret(u, buf);
    enum status st = hash_sum(NULL, HASH_SHA224, secret, strlen(secret), digest);

    crypto_wipe(buf, sizeof(buf));
    return st;
}

static const char *key_of(const void *conf, const struct user_rt *u, uint8_t key[KEY_INDEX_LEN])
{
    uint8_t digest[TROJAN_DIGEST_LEN];

    (void)conf;
    if (digest_of(u, digest) != ST_OK)
        return "no memory for his key";
    memcpy(key, digest, KEY_INDEX_LEN);
    return NULL;
}

static enum status build(const struct user_index_build *b, struct user_index **out)
{
    return key_index_build(b, key_of, &trojan_users_ops, out);
}

const struct user_index_ops trojan_users_ops = {.build = build, .free = key_index_free};

struct user_rt *trojan_users_find(const struct user_index *ix,
                                  const uint8_t digest[TROJAN_DIGEST_LEN])
{
    uint8_t own[TROJAN_DIGEST_LEN];
    struct user_rt *u = key_index_find(ix, digest);

    /* The index knows 16 of the 28 bytes. */
    if (u != NULL && (digest_of(u, own) != ST_OK || !crypto_ct_equal(own, digest, sizeof(own))))
        u = NULL;
    return u;
}
