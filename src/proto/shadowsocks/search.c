#include "proto/shadowsocks/search.h"

#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"
#include "crypto/aead.h"
#include "crypto/ghash.h"
#include "crypto/mem.h"
#include "crypto/xchacha.h"
#include "proto/shadowsocks/cipher.h"

#define WAIT_US 50000u /* for the budget */
/* Beyond so many users it is worth while to try those seen last before all. */
#define RECENT_WORTH (2 * SS_RECENT)

/*   SOURCE --> RECENT --> ALL --> over */
enum stage { STAGE_SOURCE, STAGE_RECENT, STAGE_ALL };

/* Users that are tried in one call: about 100 us. Poly1305 over lengths is done by the library, one
 * by one. */
static uint32_t slice_users(const struct ss_search_for *w)
{
    uint32_t n = lanes_width() == 16 ? 768 : lanes_width() == 8 ? 512 : 256;
    return w->method->alg == AEAD_CHACHA20_POLY1305 && !w->datagram ? n / 2 : n;
}

/* What trying one user takes. */
static uint32_t user_ns(void)
{
    return lanes_width() == 16 ? 100 : lanes_width() == 8 ? 200 : 400;
}

static uint64_t source_of(const struct ss_search_for *w)
{
    return sources_key(&w->shared->sources, w->from);
}

/* For clients that prove to be nobody: a fifth of the time of one worker, an eighth of that for one
 * source, and what two seconds of it give at once, but at least one whole search. */
static struct trial_rule budget_rule(const struct ss_search_for *w, const struct ss_index *ix)
{
    uint64_t whole = (ix->index.count + SS_RECENT + 2 * slice_users(w)) * user_ns();

    return (struct trial_rule){.all_share = 5,
                               .source_share = 40,
                               .all_burst_ns = whole > 400000000 ? whole : 400000000,
                               .source_burst_ns = whole > 50000000 ? whole : 50000000};
}

void ss_search_begin(struct ss_search *s, const struct ss_method *m, const uint8_t *salt)
{
    memset(s, 0, sizeof(*s));
    lanes_salt_init(&s->salt, salt, m->key_len);
}

/* ---- one group ------------------------------------------------------------------------------- */

/* The first blocks of the first thing sealed under each key; of ChaCha20 the key stream alone. */
typedef uint8_t first_blocks[LANES_GCM_BLOCKS][16];

static enum status begin_all(const struct ss_method *m, const uint32_t (*keys)[LANES],
                             first_blocks out[LANES])
{
    static const uint8_t nonce[XCHACHA_NONCE_LEN];
    uint32_t subkeys[8][LANES];
    uint8_t streams[LANES][16];

    if (m->alg != AEAD_CHACHA20_POLY1305)
        return lanes_gcm(keys, m->key_len / 4, out);
    if (m->wide) {
        lanes_hchacha(keys, nonce, subkeys, 0);
        keys = (const uint32_t(*)[LANES])subkeys;
    }
    lanes_chacha(keys, 1, nonce, streams, 0);
    for (unsigned l = 0; l < LANES; l++)
        memcpy(out[l][LANES_GCM_STREAM], streams[l], sizeof(streams[l]));
    crypto_wipe(subkeys, sizeof(subkeys));
    crypto_wipe(streams, sizeof(streams));
    return ST_OK;
}

/* Could this be the beginning of what is sealed? Lets a quarter of the wrong keys pass for a
 * stream, a hundredth for a datagram. */
static bool plausible(const struct ss_search_for *w, const uint8_t stream[16])
{
    uint8_t plain[16] = {0};
    uint32_t n = w->len - SS_TAG < 16 ? w->len - SS_TAG : 16;

    for (uint32_t i = 0; i < n; i++)
        plain[i] = (uint8_t)(w->sealed[i] ^ stream[i]);
    if (!w->datagram) {
        uint32_t len = get_be16(plain);
        return len >= 1 && len <= 0x3fff;
    }
    struct reader r = reader_of(plain, n);
    struct target t;
    enum status st = proxy_address_read(&r, PROXY_ADDRESS_SOCKS, &t);
    return st == ST_OK || (st == ST_MORE && n == 16);
}

/* Is the tag right? The whole operation. */
static enum status check_whole(const struct ss_search_for *w, const uint8_t *subkey)
{
    uint8_t piece[256];
    uint8_t nonce[XCHACHA_NONCE_LEN] = {0}, key[SS_KEY_MAX], iv[AEAD_IV_LEN] = {0};
    uint32_t len = w->len - SS_TAG;

    memcpy(key, subkey, w->method->key_len);
    if (w->method->wide)
        xchacha_begin(subkey, nonce, key, iv);
    enum status st = aead_begin(w->cc, w->method->alg, AEAD_OPEN, key, iv, NULL, 0);
    for (uint32_t at = 0; at < len && st == ST_OK; at += sizeof(piece)) {
        uint32_t n = len - at < sizeof(piece) ? len - at : (uint32_t)sizeof(piece);
        st = aead_update(w->cc, piece, w->sealed + at, n);
    }
    if (st == ST_OK)
        st = aead_open_end(w->cc, w->sealed + len);
    crypto_wipe(piece, sizeof(piece));
    crypto_wipe(key, sizeof(key));
    return st;
}

/* The same with what is known already, where it is a stream's length. */
static enum status check(const struct ss_search_for *w, const uint8_t *subkey,
                         const first_blocks blocks)
{
    uint32_t len = w->len - SS_TAG;
    uint8_t tag[SS_TAG];

    if (w->method->alg == AEAD_CHACHA20_POLY1305 || len > 16)
        return check_whole(w, subkey);
    ghash_tag(blocks[LANES_GCM_H], blocks[LANES_GCM_MASK], w->sealed, len, tag);
    return crypto_ct_equal(tag, w->sealed + len, SS_TAG) ? ST_OK : ST_E_AUTH;
}

/* Tries the first @n keys of a group. ST_OK with *@lane and his key; ST_E_AUTH: none of them. */
static enum status try_group(const struct ss_search *s, const struct ss_search_for *w,
                             const uint32_t (*keys)[LANES], unsigned n, unsigned *lane,
                             uint8_t subkey[SS_KEY_MAX])
{
    unsigned words = w->method->key_len / 4;
    uint32_t subkeys[8][LANES];
    first_blocks blocks[LANES];

    lanes_hkdf(&s->salt, "ss-subkey", 9, keys, words, subkeys, 0);
    enum status st = begin_all(w->method, (const uint32_t(*)[LANES])subkeys, blocks);
    if (st == ST_OK)
        st = ST_E_AUTH;
    for (unsigned l = 0; l < n && st == ST_E_AUTH; l++) {
        if (!plausible(w, blocks[l][LANES_GCM_STREAM]))
            continue;
        for (unsigned i = 0; i < words; i++)
            put_be32(subkey + 4 * i, subkeys[i][l]);
        st = check(w, subkey, (const uint8_t(*)[16])blocks[l]);
        *lane = l;
    }
    crypto_wipe(subkeys, sizeof(subkeys));
    crypto_wipe(blocks, sizeof(blocks));
    return st;
}

/* ---- some users ------------------------------------------------------------------------------ */

/* Users gathered from here and there. */
struct handful {
    uint32_t keys[8][LANES];
    struct user_rt *users[LANES];
    unsigned count;
};

static bool alive(const struct user_rt *u)
{
    return !atomic_load_explicit(&u->removed, memory_order_relaxed);
}

/* Adds those with @uid, as far as there is room. */
static void gather(struct handful *h, const struct ss_index *ix, uint64_t uid)
{
    uint32_t chunk, at;
    bool found = ss_index_locate(ix, uid, &chunk, &at);

    for (; found && h->count < LANES; found = ss_index_next(ix, uid, &chunk, &at)) {
        const struct ss_chunk *c = ix->chunks[chunk];
        const uint32_t(*keys)[LANES] = ss_chunk_keys(ix, c, at / LANES);
        for (unsigned i = 0; i < ix->words; i++)
            h->keys[i][h->count] = keys[i][at % LANES];
        h->users[h->count++] = c->users[at];
    }
}

static void take_master(const struct ss_method *m, const uint32_t (*keys)[LANES], unsigned lane,
                        uint8_t master[SS_KEY_MAX])
{
    for (unsigned i = 0; i < m->key_len / 4u; i++)
        put_be32(master + 4 * i, keys[i][lane]);
}

static enum status try_handful(const struct ss_search *s, const struct ss_search_for *w,
                               struct handful *h, struct user_rt **user, uint8_t *master,
                               uint8_t *subkey)
{
    unsigned lane = 0;
    enum status st = ST_E_AUTH;

    if (h->count > 0)
        st = try_group(s, w, (const uint32_t(*)[LANES])h->keys, h->count, &lane, subkey);
    if (st == ST_OK && !alive(h->users[lane]))
        st = ST_E_AUTH;
    if (st == ST_OK) {
        *user = h->users[lane];
        take_master(w->method, (const uint32_t(*)[LANES])h->keys, lane, master);
    }
    crypto_wipe(h->keys, sizeof(h->keys));
    h->count = 0;
    return st;
}

static enum status try_source(const struct ss_search *s, const struct ss_search_for *w,
                              const struct ss_index *ix, struct user_rt **user, uint8_t *master,
                              uint8_t *subkey)
{
    struct handful h = {.count = 0};
    uint64_t uids[SOURCES_USERS];
    unsigned n = sources_find(&w->shared->sources, source_of(w), uids);

    for (unsigned i = 0; i < n; i++)
        gather(&h, ix, uids[i]);
    return try_handful(s, w, &h, user, master, subkey);
}

/* May @n users be tried now at the expense of the budget? */
static bool afford(struct ss_search *s, const struct ss_search_for *w, const struct ss_index *ix,
                   uint32_t n)
{
    const struct trial_rule rule = budget_rule(w, ix);

    if (!trial_budget_take(&w->shared->budget, source_of(w), &rule, (uint64_t)n * user_ns(),
                           w->now_us))
        return false;
    s->spent += n;
    return true;
}

/* Goes on with the table of users seen last, as far as the slice lasts. ST_YIELD: not all yet. */
static enum status try_recent(struct ss_search *s, const struct ss_search_for *w,
                              const struct ss_index *ix, struct user_rt **user, uint8_t *master,
                              uint8_t *subkey)
{
    struct handful h = {.count = 0};
    enum status st = ST_E_AUTH;
    uint32_t step = slice_users(w) / 2; /* gathering costs as much as trying */
    uint32_t end = s->recent + step < SS_RECENT ? s->recent + step : SS_RECENT;

    if (!afford(s, w, ix, step))
        return ST_MORE;
    while (s->recent < end && st == ST_E_AUTH) {
        uint64_t mark = atomic_load_explicit(&w->shared->recent[s->recent++], memory_order_relaxed);
        if (mark != 0)
            gather(&h, ix, mark - 1);
        if (h.count == LANES)
            st = try_handful(s, w, &h, user, master, subkey);
    }
    if (st == ST_E_AUTH)
        st = try_handful(s, w, &h, user, master, subkey);
    return st == ST_E_AUTH && s->recent < SS_RECENT ? ST_YIELD : st;
}

static enum status try_chunk(const struct ss_search *s, const struct ss_search_for *w,
                             const struct ss_index *ix, const struct ss_chunk *c,
                             struct user_rt **user, uint8_t *master, uint8_t *subkey)
{
    for (uint32_t at = 0; at < c->count; at += LANES) {
        const uint32_t(*keys)[LANES] = ss_chunk_keys(ix, c, at / LANES);
        unsigned lane = 0, n = c->count - at < LANES ? c->count - at : LANES;
        enum status st = try_group(s, w, keys, n, &lane, subkey);
        if (st == ST_OK && alive(c->users[at + lane])) {
            *user = c->users[at + lane];
            take_master(w->method, keys, lane, master);
            return ST_OK;
        }
        if (st != ST_OK && st != ST_E_AUTH)
            return st;
    }
    return ST_E_AUTH;
}

/* Goes on through all. ST_YIELD: not all yet; ST_MORE: no budget. */
static enum status try_all(struct ss_search *s, const struct ss_search_for *w,
                           const struct ss_index *ix, struct user_rt **user, uint8_t *master,
                           uint8_t *subkey)
{
    enum status st = ST_E_AUTH;
    uint32_t n = 0, slice = slice_users(w);

    if (s->chunk >= ix->chunk_count)
        return ST_E_AUTH;
    if (!afford(s, w, ix, slice))
        return ST_MORE;
    for (; n < slice && s->chunk < ix->chunk_count && st == ST_E_AUTH; s->chunk++) {
        n += ix->chunks[s->chunk]->count;
        st = try_chunk(s, w, ix, ix->chunks[s->chunk], user, master, subkey);
    }
    return st == ST_E_AUTH && s->chunk < ix->chunk_count ? ST_YIELD : st;
}

/* It is @uid: that his client is not nobody's, and from where. */
static void proved(const struct ss_search *s, const struct ss_search_for *w,
                   const struct ss_index *ix, uint64_t uid)
{
    const struct trial_rule rule = budget_rule(w, ix);
    _Atomic uint64_t *recent = &w->shared->recent[uid % SS_RECENT];

    sources_note(&w->shared->sources, source_of(w), uid);
    if (atomic_load_explicit(recent, memory_order_relaxed) != uid + 1)
        atomic_store_explicit(recent, uid + 1, memory_order_relaxed);
    trial_budget_give(&w->shared->budget, source_of(w), &rule, (uint64_t)s->spent * user_ns());
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum status run_stage(struct ss_search *s, const struct ss_search_for *w,
                             const struct ss_index *ix, struct user_rt **user, uint8_t *master,
                             uint8_t *subkey)
{
    enum status st;

    switch ((enum stage)s->stage) {
    case STAGE_SOURCE:
        st = try_source(s, w, ix, user, master, subkey);
        if (st == ST_E_AUTH)
            s->stage = ix->index.count > RECENT_WORTH ? STAGE_RECENT : STAGE_ALL;
        if (st != ST_E_AUTH || s->stage == STAGE_RECENT)
            return st == ST_E_AUTH ? ST_YIELD : st;
        break;
    case STAGE_RECENT:
        st = try_recent(s, w, ix, user, master, subkey);
        if (st == ST_E_AUTH) {
            s->stage = STAGE_ALL;
            return ST_YIELD;
        }
        return st;
    case STAGE_ALL:
        break;
    }
    return try_all(s, w, ix, user, master, subkey);
}

enum status ss_search_run(struct ss_search *s, const struct ss_search_for *w, struct user_rt **user,
                          uint8_t master[SS_KEY_MAX], uint8_t subkey[SS_KEY_MAX], uint64_t *wake_us)
{
    const struct ss_index *ix = (const struct ss_index *)w->index;
    enum status st;

    if (ix == NULL || ix->index.count == 0 || w->len < SS_TAG + 1)
        return ST_E_NOTFOUND;
    /* The list of users was replaced: positions in it mean nothing any more. */
    if (s->index != w->index || s->serial != ix->serial)
        s->chunk = 0;
    s->index = w->index;
    s->serial = ix->serial;
    st = run_stage(s, w, ix, user, master, subkey);
    switch (st) {
    case ST_OK:
        proved(s, w, ix, (*user)->uid);
        return ST_OK;
    case ST_MORE:
        *wake_us = w->now_us + WAIT_US < *wake_us ? w->now_us + WAIT_US : *wake_us;
        return ST_MORE;
    case ST_E_AUTH:
        return ST_E_NOTFOUND;
    default:
        return st;
    }
}
