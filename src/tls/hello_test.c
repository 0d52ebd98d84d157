#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/hello.h"
#include "tls/test_client.h"

static struct pool *pool;

static size_t load(const char *name, uint8_t *out, size_t cap)
{
    const char *root = getenv("V2SP_SOURCE_ROOT");
    char path[512];

    snprintf(path, sizeof(path), "%s/src/tls/testdata/%s", root != NULL ? root : ".", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, cap, f);
    fclose(f);
    return n;
}

static void put_cut(struct bufq *q, const uint8_t *p, size_t len, size_t cut)
{
    bufq_init(q, UINT32_MAX);
    for (size_t at = 0; at < len; at += cut) {
        size_t n = len - at < cut ? len - at : cut;
        struct span *s = span_new_for(pool, n);
        memcpy(span_data(s), p + at, n);
        s->len = (uint32_t)n;
        bufq_push(q, s);
    }
}

static void assert_text(struct reader r, const char *text)
{
    assert_int_equal(reader_left(&r), strlen(text));
    assert_memory_equal(r.p, text, strlen(text));
}

/* A browser's hello as a proxy client imitates it: GREASE everywhere, a hybrid key share, 1,785
 * bytes. */
static void test_chrome(void **state)
{
    static uint8_t record[4096], msg[4096];
    size_t n = load("hello_chrome.bin", record, sizeof(record)), wire, len;
    struct hello h;
    struct bufq q;

    (void)state;
    put_cut(&q, record, n, 700);
    assert_int_equal(hello_locate(&q, HELLO_MAX, &wire, &len), ST_OK);
    assert_int_equal(wire, n);
    assert_int_equal(len, n - 5);
    hello_copy(&q, msg, len);
    assert_memory_equal(msg, record + 5, len);
    assert_int_equal(hello_parse(msg, len, &h), ST_OK);
    assert_text(h.sni, "target.test");
    assert_int_equal(h.legacy_version, 0x0303);
    assert_int_equal(h.random[0], 0x1c);
    assert_int_equal(reader_left(&h.session_id), 32);
    assert_int_equal(h.session_id.p[0], 0xa6);
    assert_true(hello_has_u16(h.versions, 0x0304));
    assert_true(hello_has_u16(h.versions, 0x0303));
    assert_false(hello_has_u16(h.versions, 0x0301));
    assert_true(hello_has_u16(h.ciphers, 0x1301));
    assert_true(hello_has_u16(h.groups, 0x11ec));
    struct reader x = hello_key_share(&h, 29), hybrid = hello_key_share(&h, 0x11ec);
    assert_int_equal(reader_left(&x), 32);
    assert_int_equal(x.p[0], 0xac);
    assert_int_equal(reader_left(&hybrid), 1216);
    assert_true(hello_key_share(&h, 23).bad);
    assert_true(hello_has_alpn(&h, "h2"));
    assert_true(hello_has_alpn(&h, "http/1.1"));
    assert_false(hello_has_alpn(&h, "http/1"));
    assert_false(h.psk);
    assert_false(h.early_data);
    bufq_clear(&q, pool);
}

static void test_openssl(void **state)
{
    static const struct test_client_options opts[] = {
        {.version = 0x0303}, {.version = 0x0304, .alpn = "x:yy", .sni = "n.test"}};
    uint8_t out[4096];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct test_client *c = test_client_new(&opts[i]);
        struct hello h;
        size_t n = test_client_talk(c, NULL, 0, out, sizeof(out));
        assert_int_equal(hello_parse(out + 5, n - 5, &h), ST_OK);
        assert_int_equal(hello_has_u16(h.versions, 0x0304), i == 1);
        assert_text(h.sni, i == 1 ? "n.test" : "");
        assert_int_equal(hello_has_alpn(&h, "yy"), i == 1);
        test_client_free(c);
    }
}

/* Every prefix asks for more, whatever the cut; the message may be spread over many records. */
static void test_prefixes_and_fragments(void **state)
{
    static uint8_t record[4096], frag[65536], msg[4096];
    size_t n = load("hello_chrome.bin", record, sizeof(record)), wire, len;
    struct bufq q;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        put_cut(&q, record, i, 100);
        assert_int_equal(hello_locate(&q, HELLO_MAX, &wire, &len), ST_MORE);
        bufq_clear(&q, pool);
    }
    static const size_t pieces[] = {1, 2, 3, 4, 5, 100, 1000};
    for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
        size_t at = 0;
        for (size_t i = 5; i < n; i += pieces[k]) {
            size_t step = n - i < pieces[k] ? n - i : pieces[k];
            memcpy(frag + at, (uint8_t[]){22, 3, 1, (uint8_t)(step >> 8), (uint8_t)step}, 5);
            memcpy(frag + at + 5, record + i, step);
            at += 5 + step;
        }
        memcpy(frag + at, "after", 5);
        put_cut(&q, frag, at + 5, 13);
        assert_int_equal(hello_locate(&q, HELLO_MAX, &wire, &len), ST_OK);
        assert_int_equal(wire, at);
        assert_int_equal(len, n - 5);
        hello_copy(&q, msg, len);
        assert_memory_equal(msg, record + 5, len);
        bufq_clear(&q, pool);
    }
}

static enum status locate(const uint8_t *p, size_t n, size_t max)
{
    size_t wire, msg;
    struct bufq q;

    put_cut(&q, p, n, 3);
    enum status st = hello_locate(&q, max, &wire, &msg);
    bufq_clear(&q, pool);
    return st;
}

static void test_bad_records(void **state)
{
    (void)state;
    assert_int_equal(locate((const uint8_t *)"G", 1, HELLO_MAX), ST_E_PROTO);
    assert_int_equal(locate((const uint8_t *)"\x16", 1, HELLO_MAX), ST_MORE);
    assert_int_equal(locate((const uint8_t *)"\x16\x02", 2, HELLO_MAX), ST_E_PROTO);
    assert_int_equal(locate((const uint8_t *)"\x16\x03\x01\0\0", 5, HELLO_MAX), ST_E_PROTO);
    assert_int_equal(locate((const uint8_t *)"\x16\x03\x01\x40\x01", 5, HELLO_MAX), ST_E_PROTO);
    assert_int_equal(locate((const uint8_t *)"\x16\x03\x01\0\x09\x02", 6, HELLO_MAX), ST_E_PROTO);
    assert_int_equal(locate((const uint8_t *)"\x16\x03\x01\0\x09\x01\0\x40\0", 9, 16384),
                     ST_E_LIMIT);
    assert_int_equal(locate((const uint8_t *)"\x16\x03\x01\0\x09\x01\0\x3f\xfc", 9, 16384),
                     ST_MORE);
    assert_int_equal(locate((const uint8_t *)"\x16\x03\x01\0\x01\x01\x17\x03\x03", 9, 16384),
                     ST_E_PROTO);
}

/* Any one byte changed is either still well formed or refused; any cut-off message is refused. */
static void test_damaged_messages(void **state)
{
    static uint8_t record[4096];
    size_t n = load("hello_chrome.bin", record, sizeof(record));
    struct hello h;

    (void)state;
    for (size_t i = 0; i + 5 < n; i++) {
        uint8_t *copy = malloc(i + 1);
        memcpy(copy, record + 5, i);
        assert_int_equal(hello_parse(copy, i, &h), ST_E_PROTO);
        free(copy);
        for (unsigned bit = 0; bit < 8; bit++) {
            record[5 + i] ^= (uint8_t)(1u << bit);
            (void)!hello_parse(record + 5, n - 5, &h);
            record[5 + i] ^= (uint8_t)(1u << bit);
        }
    }
}

static void put_ext(uint8_t *msg, size_t *at, uint16_t type, const void *body, uint16_t len)
{
    put_be16(msg + *at, type);
    put_be16(msg + *at + 2, len);
    memcpy(msg + *at + 4, body, len);
    *at += 4u + len;
}

static enum status parse_with(const char *body, uint16_t len, uint16_t type, unsigned times)
{
    uint8_t msg[512] = {1, 0, 0, 0, 3, 3};
    size_t at = 6 + 32;
    struct hello h;

    msg[at++] = 0;
    memcpy(msg + at, (uint8_t[]){0, 2, 0x13, 1, 1, 0}, 6);
    at += 6;
    size_t exts = at;
    at += 2;
    while (times-- > 0)
        put_ext(msg, &at, type, body, len);
    put_be16(msg + exts, (uint16_t)(at - exts - 2));
    put_be24(msg + 1, (uint32_t)(at - 4));
    return hello_parse(msg, at, &h);
}

static void test_extensions(void **state)
{
    static const char sni[] = "\0\x06\0\0\x03"
                              "abc";
    static const char nul[] = "\0\x06\0\0\x03"
                              "a\0c";

    (void)state;
    assert_int_equal(parse_with("", 0, 0x4a4a, 1), ST_OK);
    assert_int_equal(parse_with(sni, 8, 0, 1), ST_OK);
    assert_int_equal(parse_with(sni, 8, 0, 2), ST_E_PROTO);
    assert_int_equal(parse_with(sni, 7, 0, 1), ST_E_PROTO);
    assert_int_equal(parse_with(sni, 9, 0, 1), ST_E_PROTO);
    assert_int_equal(parse_with(nul, 8, 0, 1), ST_E_PROTO);
    assert_int_equal(parse_with("\0\0", 2, 16, 1), ST_E_PROTO);
    assert_int_equal(parse_with("\0\x02\0\0", 4, 16, 1), ST_E_PROTO);
    assert_int_equal(parse_with("\0\x03\x02h2", 5, 16, 1), ST_OK);
    assert_int_equal(parse_with("\x02\3\4", 3, 43, 1), ST_OK);
    assert_int_equal(parse_with("\x02\3\4", 3, 43, 2), ST_E_PROTO); /* twice */
    assert_int_equal(parse_with("\x03\3\4\1", 4, 43, 1), ST_E_PROTO);
    assert_int_equal(parse_with("\0\0", 2, 51, 1), ST_OK); /* asks for a HelloRetryRequest */
    assert_int_equal(parse_with("\0\x04\0\x1d\0\0", 6, 51, 1), ST_E_PROTO);
    assert_int_equal(parse_with("\0\x02\0", 3, 10, 1), ST_E_PROTO);
}

static int setup(void **state)
{
    (void)state;
    pool = pool_new(0);
    return pool == NULL;
}

static int teardown(void **state)
{
    (void)state;
    pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chrome),
        cmocka_unit_test(test_openssl),
        cmocka_unit_test(test_prefixes_and_fragments),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_damaged_messages),
        cmocka_unit_test(test_extensions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
