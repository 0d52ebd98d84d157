#include "transport/reality/reality_auth.h"

#include <string.h>

#include "crypto/aead.h"
#include "crypto/hkdf.h"
#include "crypto/mem.h"
#include "tls/server_hello.h"

#define SESSION_ID_OFF 39u /* of the 32 bytes in the message */
#define SESSION_ID_LEN 32u
#define PLAIN_LEN      16u
#define MLKEM_PART     1184u /* of a hybrid share, in front of its X25519 key */

/* The 16 bytes in the session id. */
struct token {
    uint8_t version[3], zero;
    uint8_t time[4], short_id[REALITY_SHORT_ID_LEN];
};
_Static_assert(sizeof(struct token) == PLAIN_LEN, "layout of the session id");

/* The client's X25519 key: its own entry, else the end of a hybrid one. NULL: none. */
static const uint8_t *peer_key(const struct hello *h)
{
    struct reader share = hello_key_share(h, TLS_GROUP_X25519);

    if (!share.bad)
        return reader_left(&share) == X25519_LEN ? share.p : NULL;
    share = hello_key_share(h, TLS_GROUP_X25519MLKEM768);
    if (!share.bad && reader_left(&share) == TLS_SHARE_MLKEM_CLIENT)
        return share.p + MLKEM_PART;
    return NULL;
}

static enum status derive_key(const struct reality_conf *c, struct crypto_ctx *cc,
                              const struct hello *h, const uint8_t *peer, uint8_t *auth_key)
{
    uint8_t shared[X25519_LEN], prk[HASH_SHA256_LEN];
    enum status st = x25519_key_shared(c->key, peer, shared);

    if (st == ST_OK)
        st = hkdf_extract(cc, HASH_SHA256, h->random, 20, shared, sizeof(shared), prk);
    if (st == ST_OK)
        st = hkdf_expand(cc, HASH_SHA256, prk, "REALITY", 7, auth_key, FLIGHT_AUTH_KEY_LEN);
    crypto_wipe(shared, sizeof(shared));
    crypto_wipe(prk, sizeof(prk));
    return st;
}

/* The session id is sealed over the message in which it is zero. */
static enum status open_token(struct crypto_ctx *cc, uint8_t *msg, size_t len,
                              const struct hello *h, const uint8_t *auth_key, struct token *t)
{
    uint8_t sealed[SESSION_ID_LEN], data[PLAIN_LEN];

    memcpy(sealed, msg + SESSION_ID_OFF, sizeof(sealed));
    memcpy(data, sealed, sizeof(data));
    memset(msg + SESSION_ID_OFF, 0, sizeof(sealed));
    enum status st = aead_open(cc, AEAD_AES_256_GCM, auth_key, h->random + 20, msg, len, data,
                               sizeof(data), sealed + PLAIN_LEN);
    memcpy(msg + SESSION_ID_OFF, sealed, sizeof(sealed));
    memcpy(t, data, sizeof(data));
    return st;
}

static bool knows_name(const struct reality_conf *c, struct reader sni)
{
    size_t len = reader_left(&sni);

    for (size_t i = 0; i < c->name_count; i++) {
        if (c->names[i].len == len && memcmp(c->names[i].text, sni.p, len) == 0)
            return true;
    }
    return false;
}

/* Looks at all of them: how many there are is no secret, which one fits is. */
static bool knows_short_id(const struct reality_conf *c, const uint8_t id[REALITY_SHORT_ID_LEN])
{
    bool found = false;

    for (size_t i = 0; i < c->short_id_count; i++)
        found |= crypto_ct_equal(c->short_ids[i], id, REALITY_SHORT_ID_LEN);
    return found;
}

static bool is_welcome(const struct reality_conf *c, const struct token *t, int64_t unix_s)
{
    uint32_t version = get_be24(t->version);
    int64_t apart = unix_s - (int64_t)get_be32(t->time);
    uint64_t seconds = (uint64_t)(apart < 0 ? -apart : apart);

    if ((c->has_min && version < c->min_version) || (c->has_max && version > c->max_version))
        return false;
    if (c->max_time_diff_ms != 0 && seconds * 1000 > c->max_time_diff_ms)
        return false;
    return knows_short_id(c, t->short_id);
}

enum status reality_authenticate(const struct reality_conf *c, struct crypto_ctx *cc, uint8_t *msg,
                                 size_t len, const struct hello *h, int64_t unix_s,
                                 uint8_t *auth_key)
{
    struct token token = {.zero = 0};
    const uint8_t *peer = peer_key(h);
    bool named = knows_name(c, h->sni) && hello_has_u16(h->versions, 0x0304);

    if (peer == NULL || reader_left(&h->session_id) != SESSION_ID_LEN)
        return ST_E_AUTH;
    enum status st = derive_key(c, cc, h, peer, auth_key);
    if (st == ST_OK)
        st = open_token(cc, msg, len, h, auth_key, &token);
    bool welcome = st == ST_OK && named && is_welcome(c, &token, unix_s);
    crypto_wipe(&token, sizeof(token));
    if (welcome)
        return ST_OK;
    crypto_wipe(auth_key, FLIGHT_AUTH_KEY_LEN);
    return st == ST_E_NOMEM ? st : ST_E_AUTH;
}
