#include "transport/vlessenc/vlessenc_hello.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aes_ctr.h"
#include "crypto/mem.h"

static uint8_t *nfs_of(struct vlessenc_hello *h)
{
    return h->united + VLESSENC_PFS_LEN;
}

/* ---- the client's hello ---------------------------------------------------------------------- */

/* The secret of one relay from its share, unmasked. */
static enum status open_share(const struct vlessenc_key *k, const uint8_t *share,
                              uint8_t secret[VLESSENC_NFS_LEN])
{
    if (k->x25519 == NULL) {
        mlkem_decapsulate(k->mlkem_seed, share, secret);
        return ST_OK;
    }
    /* X25519 ignores this bit: nobody may flip it on the way and see the connection succeed. */
    if (share[X25519_LEN - 1] > 127)
        return ST_E_PROTO;
    return x25519_key_shared(k->x25519, share, secret) == ST_OK ? ST_OK : ST_E_PROTO;
}

/* The key stream between two relays: the hash of the next one's key, then a mask over its share. */
static enum status next_relay(const struct vlessenc_key *next, const uint8_t *iv,
                              const uint8_t *secret, uint8_t *data)
{
    uint8_t key[BLAKE3_LEN];
    enum status st;

    blake3_derive_key("VLESS", 5, secret, VLESSENC_NFS_LEN, key);
    st = aes_ctr_xor(key, iv, 0, data, 2 * BLAKE3_LEN);
    crypto_wipe(key, sizeof(key));
    if (st == ST_OK && !crypto_ct_equal(data, next->hash, BLAKE3_LEN))
        st = ST_E_AUTH;
    return st;
}

static enum status open_relays(struct vlessenc_hello *h, const struct vlessenc_conf *c,
                               uint8_t *data)
{
    enum status st = ST_OK;

    for (unsigned i = 0; i < c->key_count && st == ST_OK; i++) {
        const struct vlessenc_key *k = &c->key[i];
        if (i > 0) {
            st = next_relay(k, h->iv, nfs_of(h), data);
            data += BLAKE3_LEN;
        }
        if (st == ST_OK && c->mode != VLESSENC_NATIVE)
            st = aes_ctr_xor(k->mask_key, h->iv, 0, data, k->share_len);
        if (st == ST_OK)
            st = open_share(k, data, nfs_of(h));
        data += k->share_len;
    }
    return st;
}

enum status vlessenc_hello_open(struct vlessenc_hello *h, const struct vlessenc_conf *c,
                                struct crypto_ctx *cc, uint8_t *data)
{
    uint8_t *sealed = data + VLESSENC_IV_LEN + c->relays_len, copy[VLESSENC_SEALED_LEN];
    enum status st;

    memcpy(h->iv, data, sizeof(h->iv));
    st = open_relays(h, c, data + VLESSENC_IV_LEN);
    if (st != ST_OK)
        return st;
    /* The client does not say which cipher it took: AES where its processor is good at it. */
    memcpy(copy, sealed, sizeof(copy));
    vlessenc_aead_init(&h->nfs, AEAD_AES_256_GCM, h->iv, sizeof(h->iv), nfs_of(h),
                       VLESSENC_NFS_LEN);
    st = vlessenc_hello_length(h, cc, copy, &h->len);
    if (st != ST_E_AUTH)
        return st;
    h->nfs.seq = 0;
    h->nfs.alg = AEAD_CHACHA20_POLY1305;
    return vlessenc_hello_length(h, cc, sealed, &h->len);
}

enum status vlessenc_hello_length(struct vlessenc_hello *h, struct crypto_ctx *cc,
                                  uint8_t data[VLESSENC_SEALED_LEN], uint32_t *len)
{
    enum status st = vlessenc_aead_open(&h->nfs, cc, data, 2);

    *len = st == ST_OK ? get_be16(data) : 0;
    return st;
}

/* ---- 1-RTT ----------------------------------------------------------------------------------- */

static uint16_t draw_lifetime(const struct vlessenc_conf *c, struct rng *rng)
{
    if (c->to_s == 0)
        return (uint16_t)(c->from_s * (50 + rng_below(rng, 50)) / 100);
    if (c->to_s == c->from_s)
        return (uint16_t)c->from_s;
    return (uint16_t)(c->from_s + rng_below(rng, c->to_s - c->from_s));
}

/* Both halves of the exchange: our ciphertext and public key into @ours, the secrets into
 * united. */
static enum status exchange(struct vlessenc_hello *h, struct rng *rng, const uint8_t *theirs,
                            uint8_t *ours)
{
    uint8_t random[MLKEM_RANDOM_LEN], priv[X25519_LEN];
    enum status st;

    rng_bytes(rng, random, sizeof(random));
    st = mlkem_encapsulate(theirs, random, ours, h->united);
    if (st == ST_OK) {
        rng_bytes(rng, priv, sizeof(priv));
        if (x25519_exchange(priv, theirs + MLKEM_PUBLIC_LEN, ours + MLKEM_CIPHER_LEN,
                            h->united + MLKEM_SHARED_LEN) != ST_OK)
            st = ST_E_PROTO; /* a point of low order */
    }
    crypto_wipe(random, sizeof(random));
    crypto_wipe(priv, sizeof(priv));
    return st;
}

enum status vlessenc_hello_answer(struct vlessenc_hello *h, const struct vlessenc_conf *c,
                                  struct crypto_ctx *cc, struct rng *rng, uint8_t *data,
                                  uint8_t answer[VLESSENC_ANSWER_LEN],
                                  uint8_t ticket[VLESSENC_TICKET_LEN], struct vlessenc_aead *up,
                                  struct vlessenc_aead *down)
{
    uint8_t last[AEAD_IV_LEN], *name = answer + VLESSENC_ANSWER_KEYS + AEAD_TAG_LEN;
    enum status st = vlessenc_aead_open(&h->nfs, cc, data, h->len - AEAD_TAG_LEN);

    if (st == ST_OK)
        st = exchange(h, rng, data, answer);
    if (st != ST_OK)
        return st;
    enum aead_alg alg = (enum aead_alg)h->nfs.alg;
    vlessenc_aead_init(up, alg, data, MLKEM_PUBLIC_LEN + X25519_LEN, h->united, sizeof(h->united));
    vlessenc_aead_init(down, alg, answer, VLESSENC_ANSWER_KEYS, h->united, sizeof(h->united));
    /* The nonce that the client's counter never gets to. */
    memset(last, 0xff, sizeof(last));
    st = aead_seal(cc, alg, h->nfs.key, last, NULL, 0, answer, VLESSENC_ANSWER_KEYS,
                   answer + VLESSENC_ANSWER_KEYS);
    if (st != ST_OK)
        return st;
    rng_bytes(rng, ticket, VLESSENC_TICKET_LEN);
    put_be16(ticket, draw_lifetime(c, rng));
    memcpy(name, ticket, VLESSENC_TICKET_LEN);
    return vlessenc_aead_seal(down, cc, name, VLESSENC_TICKET_LEN);
}

/* Zeros, sealed as one message over as many spans as it takes. */
static enum status pad_body(struct vlessenc_aead *down, struct crypto_ctx *cc, struct pool *p,
                            uint32_t len, struct bufq *out)
{
    uint8_t nonce[AEAD_IV_LEN], tag[AEAD_TAG_LEN];
    enum status st;

    vlessenc_aead_nonce(down, nonce);
    st = aead_begin(cc, (enum aead_alg)down->alg, AEAD_SEAL, down->key, nonce, NULL, 0);
    while (len > 0 && st == ST_OK) {
        uint32_t n = len < BLK_DATA ? len : BLK_DATA;
        struct span *s = span_new_for(p, n);
        if (s == NULL)
            return ST_E_NOMEM;
        memset(span_data(s), 0, n);
        s->len = n;
        st = aead_update(cc, span_data(s), span_data(s), n);
        bufq_push(out, s);
        len -= n;
    }
    if (st == ST_OK)
        st = aead_seal_end(cc, tag);
    return st == ST_OK ? bufq_put(out, tag, sizeof(tag), p) : st;
}

enum status vlessenc_hello_pad(struct vlessenc_aead *down, struct crypto_ctx *cc, struct pool *p,
                               uint32_t total, struct bufq *out)
{
    uint8_t sealed[VLESSENC_SEALED_LEN];
    enum status st;

    put_be16(sealed, (uint16_t)(total - VLESSENC_SEALED_LEN));
    st = vlessenc_aead_seal(down, cc, sealed, 2);
    if (st == ST_OK)
        st = bufq_put(out, sealed, sizeof(sealed), p);
    if (st == ST_OK)
        st = pad_body(down, cc, p, total - VLESSENC_SEALED_LEN - AEAD_TAG_LEN, out);
    return st;
}

/* ---- 0-RTT ----------------------------------------------------------------------------------- */

enum status vlessenc_hello_ticket(struct vlessenc_hello *h, struct crypto_ctx *cc,
                                  const uint8_t *data, uint8_t ticket[VLESSENC_TICKET_LEN])
{
    uint8_t copy[VLESSENC_SEALED_TICKET];
    enum status st;

    memcpy(copy, data, sizeof(copy));
    st = vlessenc_aead_open(&h->nfs, cc, copy, VLESSENC_TICKET_LEN);
    if (st == ST_OK)
        memcpy(ticket, copy, VLESSENC_TICKET_LEN);
    crypto_wipe(copy, sizeof(copy));
    return st;
}

void vlessenc_hello_resume(const struct vlessenc_hello *h, const uint8_t *data,
                           const uint8_t random[VLESSENC_IV_LEN], struct vlessenc_aead *up,
                           struct vlessenc_aead *down)
{
    enum aead_alg alg = (enum aead_alg)h->nfs.alg;

    vlessenc_aead_init(up, alg, data, VLESSENC_SEALED_TICKET, h->united, sizeof(h->united));
    vlessenc_aead_init(down, alg, random, VLESSENC_IV_LEN, h->united, sizeof(h->united));
}
