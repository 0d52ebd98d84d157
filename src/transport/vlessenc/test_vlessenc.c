#include "transport/vlessenc/test_vlessenc.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { HELLO, PADDING, DATA };

#define CAP (1u << 20)

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* A share for the server's key @i behind @*at, and what goes between it and the next. */
static void add_relay(struct test_vlessenc *c, unsigned i, const uint8_t *last, uint8_t **at)
{
    const struct test_vlessenc_options *o = c->o;
    uint8_t *nfs = c->hello.united + VLESSENC_PFS_LEN, *share = *at + (i > 0 ? 32 : 0), key[32];
    uint8_t random[32];
    size_t len = o->pub_len[i] == X25519_LEN ? X25519_LEN : MLKEM_CIPHER_LEN;

    rng_bytes(c->rng, random, sizeof(random));
    if (len == X25519_LEN)
        must(x25519_exchange(random, o->pub[i], share, nfs) == ST_OK);
    else
        must(mlkem_encapsulate(o->pub[i], random, share, nfs) == ST_OK);
    if (o->mode != VLESSENC_NATIVE) {
        blake3_derive_key("VLESS", 5, o->pub[i], o->pub_len[i], key);
        must(aes_ctr_xor(key, c->hello.iv, 0, share, len) == ST_OK);
    }
    if (i > 0) {
        blake3_hash(o->pub[i], o->pub_len[i], *at);
        blake3_derive_key("VLESS", 5, last, 32, key);
        must(aes_ctr_xor(key, c->hello.iv, 0, *at, 64) == ST_OK);
    }
    *at = share + len;
}

static void put(struct test_vlessenc *c, const void *data, size_t len)
{
    must(bufq_put(&c->out, data, len, c->pool) == ST_OK);
}

/* Seals @len bytes with the key of the hello. */
static void put_sealed(struct test_vlessenc *c, const uint8_t *data, size_t len)
{
    static uint8_t copy[70000];

    memcpy(copy, data, len);
    must(vlessenc_aead_seal(&c->hello.nfs, c->crypto, copy, len) == ST_OK);
    put(c, copy, len + AEAD_TAG_LEN);
    if (len == VLESSENC_TICKET_LEN)
        memcpy(c->sealed_ticket, copy, sizeof(c->sealed_ticket));
}

static void put_length(struct test_vlessenc *c, size_t len)
{
    uint8_t two[2];

    put_be16(two, (uint16_t)len);
    put_sealed(c, two, 2);
}

static void key_masks(struct test_vlessenc *c, const uint8_t *down_iv)
{
    const struct vlessenc_hello *h = &c->hello;

    vlessenc_mask_init(&c->up_mask, h->united, sizeof(h->united), h->iv);
    if (down_iv != NULL)
        vlessenc_mask_init(&c->down_mask, h->united, sizeof(h->united), down_iv);
}

static struct vlessenc_mask *mask(const struct test_vlessenc *c, struct vlessenc_mask *m)
{
    return c->o->mode == VLESSENC_RANDOM ? m : NULL;
}

void test_vlessenc_send(struct test_vlessenc *c, const uint8_t *data, size_t len)
{
    const uint8_t *none = NULL;
    struct bufq q;

    bufq_init(&q, CAP);
    must(bufq_put(&q, data, len, c->pool) == ST_OK);
    must(vlessenc_record_seal(&c->up, mask(c, &c->up_mask), c->crypto, c->pool, &none, &q,
                              &c->out) == ST_OK);
}

static void say_hello(struct test_vlessenc *c)
{
    static const uint8_t zeros[66000];
    const struct test_vlessenc_options *o = c->o;
    struct vlessenc_hello *h = &c->hello;
    uint8_t relays[2 * (MLKEM_CIPHER_LEN + 32)], *at = relays, last[32];
    uint32_t padding = o->padding != 0 ? o->padding : 300;

    rng_bytes(c->rng, h->iv, sizeof(h->iv));
    for (unsigned i = 0; i < o->keys; i++) {
        memcpy(last, h->united + VLESSENC_PFS_LEN, sizeof(last));
        add_relay(c, i, last, &at);
    }
    put(c, h->iv, sizeof(h->iv));
    put(c, relays, (size_t)(at - relays));
    vlessenc_aead_init(&h->nfs, o->alg, h->iv, sizeof(h->iv), h->united + VLESSENC_PFS_LEN, 32);
    if (o->resume) {
        put_length(c, VLESSENC_SEALED_TICKET);
        put_sealed(c, o->ticket, sizeof(o->ticket));
        memcpy(h->united, o->pfs, sizeof(o->pfs));
        vlessenc_aead_init(&c->up, o->alg, c->sealed_ticket, sizeof(c->sealed_ticket), h->united,
                           sizeof(h->united));
        key_masks(c, NULL);
        if (o->send_len > 0)
            test_vlessenc_send(c, o->send, o->send_len);
        return;
    }
    rng_bytes(c->rng, c->mlkem_seed, sizeof(c->mlkem_seed));
    mlkem_public(c->mlkem_seed, c->keys);
    must(x25519_keypair(c->rng, c->x25519, c->keys + MLKEM_PUBLIC_LEN) == ST_OK);
    put_length(c, o->keys_len != 0 ? o->keys_len : sizeof(c->keys) + AEAD_TAG_LEN);
    put_sealed(c, c->keys, sizeof(c->keys));
    put_length(c, padding - VLESSENC_SEALED_LEN);
    put_sealed(c, zeros, padding - VLESSENC_SEALED_LEN - AEAD_TAG_LEN);
}

struct test_vlessenc *test_vlessenc_new(const struct test_vlessenc_options *o,
                                        struct crypto_ctx *crypto, struct rng *rng)
{
    struct test_vlessenc *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->o = o;
    c->crypto = crypto;
    c->rng = rng;
    c->pool = pool_new(0);
    must(c->pool != NULL);
    bufq_init(&c->in, CAP);
    bufq_init(&c->out, CAP);
    bufq_init(&c->data, CAP);
    say_hello(c);
    return c;
}

void test_vlessenc_free(struct test_vlessenc *c)
{
    if (c == NULL)
        return;
    bufq_clear(&c->in, c->pool);
    bufq_clear(&c->out, c->pool);
    bufq_clear(&c->data, c->pool);
    pool_free(c->pool);
    free(c);
}

static bool take(struct test_vlessenc *c, uint8_t *dst, size_t n)
{
    if (bufq_peek(&c->in, dst, n) < n)
        return false;
    bufq_drop(&c->in, n, c->pool);
    return true;
}

/* The server's hello up to the length of its padding. */
static bool read_answer(struct test_vlessenc *c)
{
    static const uint8_t last[AEAD_IV_LEN] = {255, 255, 255, 255, 255, 255,
                                              255, 255, 255, 255, 255, 255};
    uint8_t b[VLESSENC_ANSWER_LEN + VLESSENC_SEALED_LEN];
    uint8_t *ticket = b + VLESSENC_ANSWER_KEYS + AEAD_TAG_LEN, *len = b + VLESSENC_ANSWER_LEN;
    struct vlessenc_hello *h = &c->hello;

    if (!take(c, b, sizeof(b)))
        return false;
    bool good = aead_open(c->crypto, c->o->alg, h->nfs.key, last, NULL, 0, b, VLESSENC_ANSWER_KEYS,
                          b + VLESSENC_ANSWER_KEYS) == ST_OK;
    mlkem_decapsulate(c->mlkem_seed, b, h->united);
    good = good &&
           x25519_shared(c->x25519, b + MLKEM_CIPHER_LEN, h->united + MLKEM_SHARED_LEN) == ST_OK;
    vlessenc_aead_init(&c->up, c->o->alg, c->keys, sizeof(c->keys), h->united, sizeof(h->united));
    vlessenc_aead_init(&c->down, c->o->alg, b, VLESSENC_ANSWER_KEYS, h->united, sizeof(h->united));
    good = good && vlessenc_aead_open(&c->down, c->crypto, ticket, VLESSENC_TICKET_LEN) == ST_OK &&
           vlessenc_aead_open(&c->down, c->crypto, len, 2) == ST_OK;
    memcpy(c->ticket, ticket, sizeof(c->ticket));
    c->padding = get_be16(len);
    key_masks(c, ticket);
    c->state = PADDING;
    c->failed = !good;
    if (good && c->o->send_len > 0)
        test_vlessenc_send(c, c->o->send, c->o->send_len);
    return good;
}

static bool read_padding(struct test_vlessenc *c)
{
    static uint8_t b[66000];

    if (!take(c, b, c->padding))
        return false;
    c->state = DATA;
    c->failed = vlessenc_aead_open(&c->down, c->crypto, b, c->padding - AEAD_TAG_LEN) != ST_OK;
    return !c->failed;
}

static bool read_random(struct test_vlessenc *c)
{
    uint8_t random[VLESSENC_IV_LEN];
    struct vlessenc_hello *h = &c->hello;

    if (!take(c, random, sizeof(random)))
        return false;
    vlessenc_aead_init(&c->down, c->o->alg, random, sizeof(random), h->united, sizeof(h->united));
    vlessenc_mask_init(&c->down_mask, h->united, sizeof(h->united), random);
    c->state = DATA;
    return true;
}

size_t test_vlessenc_talk(struct test_vlessenc *c, const uint8_t *in, size_t len, uint8_t *out,
                          size_t cap)
{
    if (len > 0 && bufq_put(&c->in, in, len, c->pool) != ST_OK)
        abort();
    bool going = !c->failed;
    if (going && c->state == HELLO)
        going = c->o->resume ? read_random(c) : read_answer(c);
    if (going && c->state == PADDING)
        going = read_padding(c);
    if (going && c->state == DATA && c->in.bytes > 0)
        c->failed = vlessenc_record_open(&c->down, mask(c, &c->down_mask), c->crypto, c->pool,
                                         &c->in, &c->data, 0) < 0;
    size_t n = bufq_peek(&c->out, out, cap);
    bufq_drop(&c->out, n, c->pool);
    return n;
}
