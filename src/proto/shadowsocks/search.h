/* proto/shadowsocks/search.h - whose stream or datagram is this? AEAD methods do not say, so keys
 * are tried: of the users its source had last, of the users seen last anywhere, of all. Pure.
 *
 * Sixteen keys at a time (crypto/lanes.h); what the first decrypted bytes cannot be is left out
 * before a tag is computed. A search goes in slices of at most 200 us, and waits while the budget
 * for clients that prove to be nobody is spent (policy/trial_budget.h). */
#ifndef PROTO_SHADOWSOCKS_SEARCH_H
#define PROTO_SHADOWSOCKS_SEARCH_H

#include "crypto/lanes.h"
#include "proto/shadowsocks/index.h"
#include "proto/shadowsocks/shared.h"

/* How far a search is; kept by its owner. Zeroed and begun by ss_search_begin. */
struct ss_search {
    struct lanes_salt salt;
    const struct user_index *index; /* of which the position is; only compared */
    uint64_t serial;
    uint32_t chunk, recent;
    uint32_t spent; /* users tried at the expense of the budget */
    uint8_t stage;
};

/* What is looked for, the same in each call. */
struct ss_search_for {
    const struct ss_method *method;
    const struct user_index *index; /* may be another in the next call */
    struct ss_shared *shared;
    struct crypto_ctx *cc;
    const struct addr *from;
    uint64_t now_us;
    /* The first sealed thing: a stream's length of 2 bytes and its tag, or the whole of a datagram
     * behind its salt. */
    const uint8_t *sealed;
    uint32_t len;
    bool datagram;
};

/* A new search: @salt as the client sent it, of key_len bytes. */
void ss_search_begin(struct ss_search *s, const struct ss_method *m, const uint8_t *salt);
/* One slice.
 *   ST_OK          @user (borrowed from the index), his master key and the key of this stream
 *   ST_YIELD       go on in the next turn
 *   ST_MORE        the budget is spent: go on at @wake_us
 *   ST_E_NOTFOUND  nobody's
 *   ST_E_CRYPTO */
NODISCARD enum status ss_search_run(struct ss_search *s, const struct ss_search_for *w,
                                    struct user_rt **user, uint8_t master[SS_KEY_MAX],
                                    uint8_t subkey[SS_KEY_MAX], uint64_t *wake_us);

#endif
