/* Settings of VLESS encryption, its padding rules, and the ticket store. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/rng.h"
#include "transport/vlessenc/vlessenc.h"
#include "transport/vlessenc/vlessenc_conf.h"
#include "transport/vlessenc/vlessenc_tickets.h"

#define X25519_KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define MLKEM_KEY                                                                                  \
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"
#define NAME "mlkem768x25519plus"

static struct rng rng;

static enum status read(struct vlessenc_conf *c, const char *text)
{
    struct conf_error err = {""};
    enum status st;

    memset(c, 0, sizeof(*c));
    st = vlessenc_conf_read(c, text, &err);
    assert_true((st == ST_OK) == (err.text[0] == '\0'));
    assert_null(strstr(err.text, "AAEC"));
    return st;
}

static void test_good_strings(void **state)
{
    struct vlessenc_conf c;

    (void)state;
    assert_int_equal(read(&c, NAME ".native.600s." X25519_KEY), ST_OK);
    assert_int_equal(c.mode, VLESSENC_NATIVE);
    assert_int_equal(c.from_s, 600);
    assert_int_equal(c.to_s, 0);
    assert_int_equal(c.relays_len, 32);
    assert_int_equal(c.padding.len_count, 2);
    assert_int_equal(c.padding.gap_count, 1);
    assert_non_null(c.tickets);
    vlessenc_conf_wipe(&c);
    assert_int_equal(
        read(&c, NAME ".random.300-600s.100-35-35.0-1-2.50-0-9." MLKEM_KEY "." X25519_KEY), ST_OK);
    assert_int_equal(c.mode, VLESSENC_RANDOM);
    assert_int_equal(c.to_s, 600);
    assert_int_equal(c.key_count, 2);
    assert_int_equal(c.relays_len, 1088 + 32 + 32);
    assert_int_equal(c.padding.len_count, 2);
    assert_int_equal(c.padding.len[1].max, 9);
    vlessenc_conf_wipe(&c);
    assert_int_equal(read(&c, NAME ".xorpub.0s." X25519_KEY "="), ST_OK);
    assert_null(c.tickets);
    vlessenc_conf_wipe(&c);
    assert_int_equal(read(&c, NAME ".xorpub.600-300." X25519_KEY), ST_OK);
    assert_int_equal(c.from_s, 300);
    vlessenc_conf_wipe(&c);
}

static void test_bad_strings(void **state)
{
    static const char *const bad[] = {
        "",
        "none",
        NAME,
        NAME ".",
        NAME ".native",
        NAME ".native.600s",
        NAME ".native.600s.",
        NAME ".other.600s." X25519_KEY,
        NAME ".native.1rtt." X25519_KEY,
        NAME ".native.s." X25519_KEY,
        NAME ".native.-5s." X25519_KEY,
        NAME ".native.65536s." X25519_KEY,
        NAME ".native.99999999999s." X25519_KEY,
        NAME ".native.1-2-3s." X25519_KEY,
        NAME ".native.600ss." X25519_KEY,
        NAME ".native.600s.notakeyatallbutlongenough",
        NAME ".native.600s." X25519_KEY "A",
        NAME ".native.600s." X25519_KEY ".100-35-35",
        NAME ".native.600s.99-35-35." X25519_KEY,
        NAME ".native.600s.100-34-35." X25519_KEY,
        NAME ".native.600s.100-35-34." X25519_KEY,
        NAME ".native.600s.100-35." X25519_KEY,
        NAME ".native.600s.100-35-35-1." X25519_KEY,
        NAME ".native.600s.100-a-35." X25519_KEY,
        NAME ".native.600s..." X25519_KEY,
        NAME ".native.600s.100-35-65554." X25519_KEY,
        NAME ".native.600s.100-35-65553.0-0-0.0-0-1." X25519_KEY,
        NAME ".native.600s.100-35-35.0-0-30001." X25519_KEY,
        "x" NAME ".native.600s." X25519_KEY,
    };
    struct vlessenc_conf c;
    char many[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum status st = read(&c, bad[i]);
        if (st != ST_E_CONFIG)
            fail_msg("%s: %d", bad[i], (int)st);
        vlessenc_conf_wipe(&c);
    }
    int n = snprintf(many, sizeof(many), NAME ".native.0s");
    for (unsigned i = 0; i <= VLESSENC_KEYS_MAX; i++)
        n += snprintf(many + n, sizeof(many) - (size_t)n, "." X25519_KEY);
    assert_int_equal(read(&c, many), ST_E_CONFIG);
    vlessenc_conf_wipe(&c);
    n = snprintf(many, sizeof(many), NAME ".native.0s.100-35-35");
    for (unsigned i = 0; i < 2 * VLESSENC_RULES_MAX; i++)
        n += snprintf(many + n, sizeof(many) - (size_t)n, ".0-0-0");
    snprintf(many + n, sizeof(many) - (size_t)n, "." X25519_KEY);
    assert_int_equal(read(&c, many), ST_E_CONFIG);
    vlessenc_conf_wipe(&c);
}

static void test_panel_words(void **state)
{
    static const struct {
        const char *text;
        bool fallback;
        enum status st;
    } cases[] = {
        {"{\"decryption\":\"" NAME ".native.600s." X25519_KEY "\"}", false, ST_OK},
        {"{\"decryption\":\"" NAME ".native.600s." X25519_KEY "\"}", true, ST_E_CONFIG},
        {"{\"encryption\":\"" NAME "\",\"encryption_settings\":{\"mode\":\"random\",\"ticket\":"
         "\"300-600s\",\"server_padding\":\"100-50-60.10-1-2.100-3-4\",\"private_key\":"
         "\"" X25519_KEY "\"}}",
         false, ST_OK},
        {"{\"encryption\":\"" NAME "\",\"encryption_settings\":{\"ticket\":600,\"private_key\":"
         "\"" MLKEM_KEY "\"}}",
         false, ST_OK},
        {"{\"encryption\":\"" NAME "\",\"encryption_settings\":{\"mode\":\"loud\",\"private_key\":"
         "\"" X25519_KEY "\"}}",
         false, ST_E_CONFIG},
        {"{\"encryption\":\"" NAME "\",\"encryption_settings\":[]}", false, ST_E_CONFIG},
        {"{\"encryption\":\"" NAME "\",\"encryption_settings\":{\"private_key\":[1]}}", false,
         ST_E_CONFIG},
        {"{\"encryption\":\"" NAME "\"}", false, ST_E_CONFIG},
        {"{\"encryption\":\"other\"}", false, ST_E_CONFIG},
        /* a client's string is of no use to a server */
        {"{\"encryption\":\"" NAME ".native.0rtt." X25519_KEY "\"}", false, ST_E_CONFIG},
        {"{\"encryption\":\"" NAME ".native.0rtt." X25519_KEY "\",\"decryption\":\"" NAME
         ".native.600s." X25519_KEY "\"}",
         false, ST_OK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct conf_context ctx = {.fallback = cases[i].fallback};
        struct arena *a = arena_new();
        struct conf_error err = {""};
        struct json_error bad;
        struct json_t *v;
        const void *conf = NULL;

        assert_int_equal(json_parse(cases[i].text, strlen(cases[i].text), &v, &bad), ST_OK);
        enum status st = transport_vlessenc.parse_conf(a, v, &ctx, &conf, &err);
        if (st != cases[i].st)
            fail_msg("%s: %s", cases[i].text, err.text);
        if (st == ST_OK)
            transport_vlessenc.free_conf(conf);
        else
            assert_memory_equal(err.text, "vless encryption: ", 18);
        json_unref(v);
        arena_free(a);
    }
}

static void test_padding(void **state)
{
    struct vlessenc_padding p = {.len_count = 0};
    struct vlessenc_pieces d;
    unsigned zero = 0;

    (void)state;
    assert_int_equal(vlessenc_padding_add(&p, "100-40-50", 9), ST_OK);
    assert_int_equal(vlessenc_padding_add(&p, "100-20-20", 9), ST_OK);
    assert_int_equal(vlessenc_padding_add(&p, "49-5-0", 6), ST_OK);
    for (int i = 0; i < 1000; i++) {
        vlessenc_padding_draw(&p, &rng, &d);
        assert_int_equal(d.count, 2);
        assert_in_range(d.len[0], 40, 49);
        assert_true(d.len[1] < 5);
        assert_int_equal(d.gap_ms[0], 20);
        assert_int_equal(d.total, d.len[0] + d.len[1]);
        zero += d.len[1] == 0;
    }
    assert_in_range(zero, 450, 750); /* half of them, and a fifth of the rest */
}

/* ---- tickets --------------------------------------------------------------------------------- */

static void name(uint8_t out[VLESSENC_TICKET_LEN], uint32_t n)
{
    memset(out, 0, VLESSENC_TICKET_LEN);
    memcpy(out, &n, sizeof(n));
    out[15] = (uint8_t)n;
    out[14] = (uint8_t)(n >> 8);
}

static void secret(uint8_t out[VLESSENC_NFS_LEN], uint32_t n)
{
    memset(out, 7, VLESSENC_NFS_LEN);
    memcpy(out, &n, sizeof(n));
}

static void test_ticket_life(void **state)
{
    struct vlessenc_tickets *t = vlessenc_tickets_new(100);
    uint8_t a[16], b[16], nfs[32], pfs[64], got[64];

    (void)state;
    name(a, 1);
    name(b, 2);
    memset(pfs, 5, sizeof(pfs));
    secret(nfs, 1);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 10, got), VLESSENC_USE_UNKNOWN);
    vlessenc_tickets_put(t, a, pfs, 10);
    assert_int_equal(vlessenc_tickets_use(t, b, nfs, 10, got), VLESSENC_USE_UNKNOWN);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 10, got), VLESSENC_USE_GOOD);
    assert_memory_equal(got, pfs, sizeof(pfs));
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 109, got), VLESSENC_USE_REPLAYED);
    secret(nfs, 2);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 109, got), VLESSENC_USE_GOOD);
    secret(nfs, 3);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 110, got), VLESSENC_USE_UNKNOWN);
    assert_int_equal(vlessenc_tickets_count(t), 0);
    vlessenc_tickets_free(t);
}

/* A use that cannot be noted is not let through, and none is forgotten. */
static void test_uses_are_bounded(void **state)
{
    struct vlessenc_tickets *t = vlessenc_tickets_new(100);
    uint8_t a[16], nfs[32], pfs[64] = {0}, got[64];

    (void)state;
    name(a, 1);
    vlessenc_tickets_put(t, a, pfs, 1);
    for (uint32_t i = 0; i < VLESSENC_USES_MAX; i++) {
        secret(nfs, i);
        assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_GOOD);
    }
    secret(nfs, VLESSENC_USES_MAX);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_UNKNOWN);
    for (uint32_t i = 0; i < VLESSENC_USES_MAX; i += 501) {
        secret(nfs, i);
        assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_REPLAYED);
    }
    vlessenc_tickets_free(t);
}

static void test_tickets_are_bounded(void **state)
{
    struct vlessenc_tickets *t = vlessenc_tickets_new(100);
    uint8_t a[16], nfs[32], pfs[64] = {0}, got[64];

    (void)state;
    secret(nfs, 1);
    for (uint32_t i = 0; i < VLESSENC_TICKETS_MAX + 1000; i++) {
        name(a, i);
        vlessenc_tickets_put(t, a, pfs, 1);
    }
    assert_int_equal(vlessenc_tickets_count(t), VLESSENC_TICKETS_MAX);
    name(a, 0); /* the oldest is gone */
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_UNKNOWN);
    name(a, VLESSENC_TICKETS_MAX + 999);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_GOOD);
    for (uint32_t i = 0; i < 16; i++) {
        name(a, 0x1000000 + i);
        vlessenc_tickets_put(t, a, pfs, 101);
    }
    assert_int_equal(vlessenc_tickets_count(t), 16); /* all others expired */
    vlessenc_tickets_free(t);
}

/* With the memory for uses spent, the oldest tickets go, not the marks of a living one. */
static void test_memory_of_uses_is_bounded(void **state)
{
    enum { TICKETS = 4096, USES = 42 }; /* of one shard: more than it can hold */
    struct vlessenc_tickets *t = vlessenc_tickets_new(100);
    uint8_t a[16], nfs[32], pfs[64] = {0}, got[64];

    (void)state;
    for (uint32_t k = 0; k < TICKETS; k++) {
        name(a, k * 16);
        vlessenc_tickets_put(t, a, pfs, 1);
        for (uint32_t i = 0; i < USES; i++) {
            secret(nfs, i);
            assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_GOOD);
        }
    }
    secret(nfs, 5);
    name(a, (TICKETS - 1) * 16);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_REPLAYED);
    name(a, 0);
    assert_int_equal(vlessenc_tickets_use(t, a, nfs, 1, got), VLESSENC_USE_UNKNOWN);
    assert_true(vlessenc_tickets_count(t) < TICKETS);
    vlessenc_tickets_free(t);
}

/* The same hellos at all workers at once: one of them gets each. */
enum { THREADS = 4, HELLOS = 500 };
struct racer {
    pthread_t thread;
    struct vlessenc_tickets *t;
    unsigned good;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    uint8_t a[16], nfs[32], got[64];

    name(a, 1);
    for (uint32_t i = 0; i < HELLOS; i++) {
        secret(nfs, i);
        r->good += vlessenc_tickets_use(r->t, a, nfs, 1, got) == VLESSENC_USE_GOOD;
    }
    return NULL;
}

static void test_replay_to_another_worker(void **state)
{
    struct racer r[THREADS] = {{.good = 0}};
    struct vlessenc_tickets *t = vlessenc_tickets_new(100);
    uint8_t a[16], pfs[64] = {0};
    unsigned good = 0;

    (void)state;
    name(a, 1);
    vlessenc_tickets_put(t, a, pfs, 1);
    for (int i = 0; i < THREADS; i++) {
        r[i].t = t;
        assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
        good += r[i].good;
    }
    assert_int_equal(good, HELLOS);
    vlessenc_tickets_free(t);
}

static int setup(void **state)
{
    (void)state;
    return rng_init(&rng) == ST_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_strings),
        cmocka_unit_test(test_bad_strings),
        cmocka_unit_test(test_panel_words),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_ticket_life),
        cmocka_unit_test(test_uses_are_bounded),
        cmocka_unit_test(test_tickets_are_bounded),
        cmocka_unit_test(test_memory_of_uses_is_bounded),
        cmocka_unit_test(test_replay_to_another_worker),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
