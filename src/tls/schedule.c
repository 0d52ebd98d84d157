#include "tls/schedule.h"

#include <string.h>

#include "crypto/hkdf.h"
#include "crypto/mem.h"
#include "tls/record.h"

enum status schedule_init(struct schedule *s, uint16_t suite)
{
    memset(s, 0, sizeof(*s));
    switch (suite) {
    case RECORD_AES_128_GCM_SHA256:
    case RECORD_CHACHA20_POLY1305_SHA256:
        s->hash = HASH_SHA256;
        return ST_OK;
    case RECORD_AES_256_GCM_SHA384:
        s->hash = HASH_SHA384;
        return ST_OK;
    default:
        return ST_E_UNSUPPORTED;
    }
}

void schedule_wipe(struct schedule *s)
{
    crypto_wipe(s, sizeof(*s));
}

void schedule_add(struct schedule *s, const void *msg, size_t len)
{
    BUG_ON(s->count == SCHEDULE_MESSAGES);
    s->message[s->count++] = (struct hash_piece){msg, len};
}

enum status schedule_transcript(const struct schedule *s, struct crypto_ctx *cc, uint8_t *out)
{
    return hash_pieces(cc, s->hash, s->message, s->count, out);
}

/* @prk becomes HKDF-Extract(Derive-Secret(@prk, "derived", ""), @ikm): one step down the left side
 * of the picture in section 7.1. */
static enum status step(struct crypto_ctx *cc, enum hash_alg hash, uint8_t *prk, const uint8_t *ikm,
                        size_t ikm_len)
{
    uint8_t empty[HASH_MAX_LEN], salt[HASH_MAX_LEN];
    size_t n = hash_len(hash);
    enum status st = hash_sum(cc, hash, NULL, 0, empty);

    if (st == ST_OK)
        st = hkdf_expand_label(cc, hash, prk, "derived", empty, n, salt, n);
    if (st == ST_OK)
        st = hkdf_extract(cc, hash, salt, n, ikm, ikm_len, prk);
    crypto_wipe(salt, sizeof(salt));
    return st;
}

/* Both traffic secrets of one stage from @secret and the messages so far. */
static enum status traffic(const struct schedule *s, struct crypto_ctx *cc, const uint8_t *secret,
                           const char *const labels[2], uint8_t *client, uint8_t *server)
{
    uint8_t transcript[HASH_MAX_LEN];
    size_t n = hash_len(s->hash);
    enum status st = schedule_transcript(s, cc, transcript);

    if (st == ST_OK)
        st = hkdf_expand_label(cc, s->hash, secret, labels[0], transcript, n, client, n);
    if (st == ST_OK)
        st = hkdf_expand_label(cc, s->hash, secret, labels[1], transcript, n, server, n);
    return st;
}

enum status schedule_handshake(struct schedule *s, struct crypto_ctx *cc, const uint8_t *shared,
                               size_t shared_len, uint8_t *client, uint8_t *server)
{
    static const char *const labels[2] = {"c hs traffic", "s hs traffic"};
    static const uint8_t zeros[HASH_MAX_LEN];
    size_t n = hash_len(s->hash);
    enum status st = hkdf_extract(cc, s->hash, zeros, n, zeros, n, s->secret);

    if (st == ST_OK)
        st = step(cc, s->hash, s->secret, shared, shared_len);
    return st == ST_OK ? traffic(s, cc, s->secret, labels, client, server) : st;
}

enum status schedule_application(const struct schedule *s, struct crypto_ctx *cc, uint8_t *client,
                                 uint8_t *server)
{
    static const char *const labels[2] = {"c ap traffic", "s ap traffic"};
    static const uint8_t zeros[HASH_MAX_LEN];
    uint8_t master[HASH_MAX_LEN];

    memcpy(master, s->secret, sizeof(master));
    enum status st = step(cc, s->hash, master, zeros, hash_len(s->hash));
    if (st == ST_OK)
        st = traffic(s, cc, master, labels, client, server);
    crypto_wipe(master, sizeof(master));
    return st;
}

enum status schedule_finished(const struct schedule *s, struct crypto_ctx *cc,
                              const uint8_t *secret, uint8_t *out)
{
    uint8_t key[HASH_MAX_LEN], transcript[HASH_MAX_LEN];
    size_t n = hash_len(s->hash);
    enum status st = schedule_transcript(s, cc, transcript);

    if (st == ST_OK)
        st = hkdf_expand_label(cc, s->hash, secret, "finished", NULL, 0, key, n);
    if (st == ST_OK)
        st = hash_hmac(cc, s->hash, key, n, &(struct hash_piece){transcript, n}, 1, out);
    crypto_wipe(key, sizeof(key));
    return st;
}
