/* QUIC: Initial packets in pieces, in any order, in bad shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "codec/json.h"
#include "codec/test_vectors.h"
#include "sniff/sniff.h"
#include "sniff/test_initial.h"

#define NAME "tls.sni.example.com"

static struct pool *pool;
static struct crypto_ctx cc;
static struct json_t *vectors;
static uint8_t hello[4096]; /* the message */
static size_t hello_len;

static int setup(void **state)
{
    static uint8_t wire[4096];

    (void)state;
    vectors = test_vectors("src/sniff/testdata/sniff.json");
    hello_len = test_hex_of(json_get(vectors, "tls"), "hex", wire, sizeof(wire)) - 5;
    memcpy(hello, wire + 5, hello_len);
    pool = pool_new(0);
    return crypto_ctx_init(&cc) == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_unref(vectors);
    crypto_ctx_fini(&cc);
    pool_free(pool);
    return 0;
}

static enum status feed(struct sniff_datagrams *d, const uint8_t *p, size_t n, struct sniff *out)
{
    enum status st = sniff_datagrams_feed(d, pool, &cc, p, n, out);

    assert_true(st == ST_MORE || d->quic == NULL); /* memory is held for a reason only */
    return st;
}

/* A datagram with the part of the hello from @at to @end; its packet has number @pn. */
static size_t part(uint8_t *out, uint32_t version, uint16_t pn, size_t at, size_t end)
{
    static uint8_t frames[4096];
    size_t n = 0;

    frames[n++] = 1; /* PING, then PADDING in between */
    frames[n++] = 0;
    n += test_initial_crypto(frames + n, at, hello + at, end - at);
    return test_initial_seal(&cc, version, pn, frames, n, out);
}

static void assert_found(enum status st, const struct sniff *out)
{
    assert_int_equal(st, ST_OK);
    assert_int_equal(out->protocol, SNIFF_QUIC);
    assert_string_equal(out->host, NAME);
}

/* ---- what comes ------------------------------------------------------------------------------ */

/* Its hello needs two datagrams. */
static void datagrams_of_a_real_client(void **state)
{
    const struct json_t *quic = json_get(vectors, "quic"), *list = json_get(quic, "datagrams");
    uint8_t p[2][2048];
    size_t n[2];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        n[i] = test_hex(json_str(json_at(list, i)), p[i], sizeof(p[i]));
    for (unsigned first = 0; first < 2; first++) {
        assert_int_equal(feed(&d, p[first], n[first], &out), ST_MORE);
        assert_int_equal(out.protocol, SNIFF_QUIC);
        assert_int_equal(feed(&d, p[!first], n[!first], &out), ST_OK);
        assert_int_equal(out.protocol, SNIFF_QUIC);
        assert_string_equal(out.host, json_get_str(quic, "host", NULL));
    }
}

static void both_versions(void **state)
{
    static const uint32_t versions[] = {TEST_INITIAL_V1, TEST_INITIAL_V2};
    uint8_t p[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    for (unsigned i = 0; i < 2; i++)
        assert_found(feed(&d, p, part(p, versions[i], 0, 0, hello_len), &out), &out);
    size_t n = part(p, TEST_INITIAL_V2, 0, 0, hello_len);
    put_be32(p + 1, 0xff00001d); /* a draft */
    assert_int_equal(feed(&d, p, n, &out), ST_E_NOTFOUND);
}

/* Chrome cuts its hello into pieces and sends them in disorder. */
static void pieces_in_any_order(void **state)
{
    enum { PIECES = 6 };
    static const unsigned order[PIECES] = {3, 0, 5, 1, 4, 2};
    uint8_t p[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;
    size_t each = hello_len / PIECES + 1;

    (void)state;
    for (unsigned i = 0; i < PIECES; i++) {
        size_t at = order[i] * each, end = at + each + 20; /* they overlap */
        size_t n = part(p, TEST_INITIAL_V1, (uint16_t)i, at, end < hello_len ? end : hello_len);
        enum status st = feed(&d, p, n, &out);
        if (i + 1 < PIECES)
            assert_int_equal(st, ST_MORE);
        else
            assert_found(st, &out);
    }
}

static void packets_behind_each_other(void **state)
{
    uint8_t p[8192];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    size_t n = part(p, TEST_INITIAL_V1, 7, 700, hello_len);
    /* 0-RTT in between: a long header of the same connection that is stepped over */
    memcpy(p + n, p, 15);
    p[n] = 0xd0;
    put_be16(p + n + 15, 0x4000 | 30);
    memset(p + n + 17, 0xee, 30);
    n += 47;
    n += part(p + n, TEST_INITIAL_V1, 1, 0, 700);
    memset(p + n, 0, 100); /* and zeros to fill the datagram */
    assert_found(feed(&d, p, n + 100, &out), &out);
}

static void a_packet_that_overtook_the_first(void **state)
{
    uint8_t p[4096], early[64] = {0xd0, 0, 0, 0, 1, 8};
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    put_be16(early + 15, 0x4000 | 40); /* 0-RTT: cids of 8 and 0 bytes, length, the rest */
    assert_int_equal(feed(&d, early, 57, &out), ST_MORE);
    assert_int_equal(out.protocol, SNIFF_NONE);
    assert_found(feed(&d, p, part(p, TEST_INITIAL_V1, 0, 0, hello_len), &out), &out);
}

static void another_connection_begins_anew(void **state)
{
    const struct json_t *list = json_get(json_get(vectors, "quic"), "datagrams");
    uint8_t p[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    assert_int_equal(feed(&d, p, test_hex(json_str(json_at(list, 0)), p, sizeof(p)), &out),
                     ST_MORE);
    assert_int_equal(feed(&d, p, part(p, TEST_INITIAL_V1, 0, 500, hello_len), &out), ST_MORE);
    assert_found(feed(&d, p, part(p, TEST_INITIAL_V1, 1, 0, 500), &out), &out);
}

/* The second datagram was lost; the server has answered the first one meanwhile. */
static void what_is_sent_again_after_an_answer(void **state)
{
    uint8_t p[4096], frames[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    for (unsigned versions = 0; versions < 2; versions++) {
        uint32_t version = versions ? TEST_INITIAL_V2 : TEST_INITIAL_V1;
        assert_int_equal(feed(&d, p, part(p, version, 0, 0, 500), &out), ST_MORE);
        size_t n = test_initial_crypto(frames, 500, hello + 500, hello_len - 500);
        n = test_initial_seal_answered(&cc, version, 2, frames, n, p);
        assert_found(feed(&d, p, n, &out), &out);
    }
}

static void frames_of_all_kinds_are_stepped_over(void **state)
{
    static const uint8_t ack[] = {2, 0x40, 9, 1, 2, 0, 1, 1, 1, 1, /* two ranges */
                                  3, 5,    0, 0, 0, 1, 2, 3};      /* with ECN counts */
    uint8_t p[4096], frames[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    memcpy(frames, ack, sizeof(ack));
    size_t n = sizeof(ack);
    n += test_initial_crypto(frames + n, 0, hello, hello_len);
    frames[n++] = 0x1c; /* what follows is not read */
    assert_found(feed(&d, p, test_initial_seal(&cc, 1, 0, frames, n, p), &out), &out);
}

/* ---- bounds, and what is none ---------------------------------------------------------------- */

static void a_hello_that_never_ends_is_quic_without_a_name(void **state)
{
    uint8_t p[4096], frames[64] = {0}, long_hello[4] = {1, 0, 0x40, 0};
    struct sniff_datagrams d = {0};
    struct sniff out;
    size_t n;

    (void)state;
    for (unsigned i = 0; i < SNIFF_DATAGRAMS_MAX; i++) {
        enum status st = feed(&d, p, part(p, TEST_INITIAL_V1, (uint16_t)i, 0, 100), &out);
        assert_int_equal(st, i + 1 < SNIFF_DATAGRAMS_MAX ? ST_MORE : ST_OK);
    }
    assert_int_equal(out.protocol, SNIFF_QUIC);
    assert_string_equal(out.host, "");
    n = test_initial_crypto(frames, 0, long_hello, sizeof(long_hello)); /* 16 KiB */
    n = test_initial_seal(&cc, 1, 0, frames, n, p);
    assert_int_equal(feed(&d, p, n, &out), ST_OK);
    n = test_initial_crypto(frames, 1u << 29, long_hello, 1); /* far behind */
    n = test_initial_seal(&cc, 1, 0, frames, n, p);
    assert_int_equal(feed(&d, p, n, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_QUIC);
    long_hello[0] = 2; /* a server's */
    n = test_initial_crypto(frames, 0, long_hello, sizeof(long_hello));
    n = test_initial_seal(&cc, 1, 0, frames, n, p);
    assert_int_equal(feed(&d, p, n, &out), ST_OK);
    assert_string_equal(out.host, "");
}

static void packets_that_cannot_be_opened_are_none(void **state)
{
    uint8_t p[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;

    (void)state;
    size_t n = part(p, TEST_INITIAL_V1, 0, 0, hello_len);
    p[n - 1] ^= 1;
    for (unsigned i = 0; i < SNIFF_DATAGRAMS_MAX; i++) {
        enum status st = feed(&d, p, n, &out);
        assert_int_equal(st, i + 1 < SNIFF_DATAGRAMS_MAX ? ST_MORE : ST_E_NOTFOUND);
        assert_int_equal(out.protocol, SNIFF_NONE);
    }
}

static void heads_that_are_none(void **state)
{
    uint8_t p[4096], q[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;
    size_t n = part(p, TEST_INITIAL_V1, 0, 0, hello_len);

    (void)state;
    for (size_t cut = 0; cut < n; cut += cut < 40 ? 1 : 97) /* cut off */
        assert_int_equal(feed(&d, p, cut, &out), ST_E_NOTFOUND);
    memcpy(q, p, n);
    q[0] &= 0xbf; /* no fixed bit */
    assert_int_equal(feed(&d, q, n, &out), ST_E_NOTFOUND);
    memcpy(q, p, n);
    q[0] |= 0x30; /* a Retry */
    assert_int_equal(feed(&d, q, n, &out), ST_E_NOTFOUND);
    memcpy(q, p, n);
    q[5] = 21; /* too long a connection id */
    assert_int_equal(feed(&d, q, n, &out), ST_E_NOTFOUND);
    memcpy(q, p, n);
    q[0] = 0x41; /* a short header */
    assert_int_equal(feed(&d, q, n, &out), ST_E_NOTFOUND);
}

static void nothing_is_found_without_memory(void **state)
{
    uint8_t p[4096];
    struct sniff_datagrams d = {0};
    struct sniff out;
    size_t n = part(p, TEST_INITIAL_V1, 0, 0, hello_len);

    (void)state;
    pool_fail_after(pool, 1, false);
    assert_int_equal(feed(&d, p, n, &out), ST_E_NOTFOUND);
    assert_found(feed(&d, p, n, &out), &out);
    sniff_datagrams_fini(&d, pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_of_a_real_client),
        cmocka_unit_test(both_versions),
        cmocka_unit_test(pieces_in_any_order),
        cmocka_unit_test(packets_behind_each_other),
        cmocka_unit_test(a_packet_that_overtook_the_first),
        cmocka_unit_test(another_connection_begins_anew),
        cmocka_unit_test(what_is_sent_again_after_an_answer),
        cmocka_unit_test(frames_of_all_kinds_are_stepped_over),
        cmocka_unit_test(a_hello_that_never_ends_is_quic_without_a_name),
        cmocka_unit_test(packets_that_cannot_be_opened_are_none),
        cmocka_unit_test(heads_that_are_none),
        cmocka_unit_test(nothing_is_found_without_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
