/* VLESS encryption by the laws of stream/law.h: all modes, ciphers and key chains, 1-RTT and 0-RTT,
 * padding in pieces with pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "codec/base64.h"
#include "crypto/ctx.h"
#include "stream/law.h"
#include "transport/vlessenc/test_vlessenc.h"
#include "transport/vlessenc/vlessenc.h"

static struct crypto_ctx crypto;
static struct rng rng;
static uint8_t data[30000], up[2500];
static uint8_t x25519_priv[X25519_LEN], x25519_pub[X25519_LEN];
static uint8_t mlkem_seed[MLKEM_SEED_LEN], mlkem_pub[MLKEM_PUBLIC_LEN];

static const struct kind {
    enum vlessenc_mode mode;
    enum aead_alg alg;
    const char *keys; /* x, m */
    const char *padding;
    bool resume;
} KINDS[] = {
    {VLESSENC_NATIVE, AEAD_AES_256_GCM, "x", "", false},
    {VLESSENC_XORPUB, AEAD_CHACHA20_POLY1305, "xm", ".100-200-300.100-5-6.100-0-1.0-0-0.100-40-41",
     false},
    {VLESSENC_RANDOM, AEAD_AES_256_GCM, "mx", ".100-20000-20001", false},
    {VLESSENC_NATIVE, AEAD_CHACHA20_POLY1305, "m", "", true},
    {VLESSENC_RANDOM, AEAD_AES_256_GCM, "x", "", true},
};

/* The decryption string of a kind. */
static void decryption(const struct kind *k, char text[1024])
{
    static const char *const modes[] = {"native", "xorpub", "random"};
    int n = snprintf(text, 1024, "mlkem768x25519plus.%s.600s%s", modes[k->mode], k->padding);

    for (const char *c = k->keys; *c != '\0'; c++) {
        text[n++] = '.';
        n += (int)base64_encode(text + n, *c == 'x' ? x25519_priv : mlkem_seed,
                                *c == 'x' ? X25519_LEN : MLKEM_SEED_LEN,
                                BASE64_URL | BASE64_UNPADDED);
    }
}

struct peer_arg {
    struct test_vlessenc_options o;
    struct vlessenc_conf *conf;
};

static void *peer_open(void *arg)
{
    struct peer_arg *a = arg;

    if (a->o.resume) {
        /* Each run is another use of a ticket of its own. */
        rng_bytes(&rng, a->o.ticket, sizeof(a->o.ticket));
        rng_bytes(&rng, a->o.pfs, sizeof(a->o.pfs));
        vlessenc_tickets_put(a->conf->tickets, a->o.ticket, a->o.pfs, 1);
    }
    return test_vlessenc_new(&a->o, &crypto, &rng);
}

static size_t peer_talk(void *peer, const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
    return test_vlessenc_talk(peer, in, len, out, cap);
}

/* Runs that lose an allocation may end early, but never with other bytes. */
static void peer_close(void *peer)
{
    static uint8_t got[sizeof(data)];
    struct test_vlessenc *c = peer;

    assert_false(c->failed);
    assert_true(c->data.bytes <= sizeof(got));
    size_t n = bufq_peek(&c->data, got, sizeof(got));
    assert_memory_equal(got, data, n);
    test_vlessenc_free(c);
}

static void test_laws(void **state)
{
    static const struct law_peer peer = {peer_open, peer_talk, peer_close};

    (void)state;
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        const struct kind *k = &KINDS[i];
        static struct vlessenc_conf conf;
        struct peer_arg arg = {.conf = &conf};
        struct conf_error conf_err = {""};
        const struct env env = {.rng = &rng, .crypto = &crypto};
        const struct chain_stage stage = {&vlessenc_server_ops, &conf};
        char text[1024], err[LAW_ERR_LEN];

        memset(&conf, 0, sizeof(conf));
        decryption(k, text);
        assert_int_equal(vlessenc_conf_read(&conf, text, &conf_err), ST_OK);
        arg.o = (struct test_vlessenc_options){.mode = k->mode,
                                               .alg = k->alg,
                                               .resume = k->resume,
                                               .send = up,
                                               .send_len = sizeof(up)};
        for (const char *c = k->keys; *c != '\0'; c++) {
            arg.o.pub[arg.o.keys] = *c == 'x' ? x25519_pub : mlkem_pub;
            arg.o.pub_len[arg.o.keys++] = *c == 'x' ? X25519_LEN : MLKEM_PUBLIC_LEN;
        }
        const struct law_case c = {.stages = &stage,
                                   .count = 1,
                                   .env = &env,
                                   .arg = &arg,
                                   .peer = &peer,
                                   .plain = up,
                                   .plain_len = sizeof(up),
                                   .down = data,
                                   .down_len = i == 0 ? sizeof(data) : 3000,
                                   .down_eof = true,
                                   .events = EV_READY,
                                   .runs = 6};
        if (!law_check(&c, err))
            fail_msg("kind %zu: %s", i, err);
        vlessenc_conf_wipe(&conf);
    }
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8));
    memcpy(up, data + 7, sizeof(up));
    if (rng_init(&rng) != ST_OK || crypto_ctx_init(&crypto) != ST_OK ||
        x25519_keypair(&rng, x25519_priv, x25519_pub) != ST_OK)
        return -1;
    rng_bytes(&rng, mlkem_seed, sizeof(mlkem_seed));
    mlkem_public(mlkem_seed, mlkem_pub);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crypto_ctx_fini(&crypto);
    rng_fini(&rng);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_laws)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
