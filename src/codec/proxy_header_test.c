#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "codec/json.h"
#include "codec/proxy_header.h"
#include "codec/test_vectors.h"

static void assert_addr(const struct addr *a, const char *want, const char *name)
{
    char text[ADDR_STRLEN];
    if (want == NULL || *want == '\0') {
        assert_int_equal(a->family, ADDR_NONE);
        return;
    }
    if (strcmp(addr_str(a, text), want) != 0)
        fail_msg("%s: %s instead of %s", name, text, want);
}

/* One case whole, followed by other bytes, and in every prefix. */
static void check(const struct json_t *c)
{
    const char *name = json_get_str(c, "name", "?"), *hex = json_get_str(c, "header", "");
    uint8_t data[1024];
    size_t n = strlen(hex) / 2, used;
    struct proxy_header h;
    assert_int_equal(hex_decode(data, hex, 2 * n), ST_OK);
    memcpy(data + n, "tail", 4);

    bool bad = json_get_str(c, "err", NULL) != NULL;
    enum status st = proxy_header_parse(data, n + 4, &h, &used);
    if (st != (bad ? ST_E_PROTO : ST_OK))
        fail_msg("%s: %s", name, status_str(st));
    for (size_t k = 0; k < n; k++) {
        st = proxy_header_parse(data, k, &h, &used);
        if (st != ST_MORE && !(bad && st == ST_E_PROTO))
            fail_msg("%s: %s after %zu bytes", name, status_str(st), k);
    }
    if (bad)
        return;
    assert_int_equal(proxy_header_parse(data, n, &h, &used), ST_OK);
    assert_int_equal(used, n);
    bool local = json_get_bool(c, "local", false);
    assert_addr(&h.src, local ? NULL : json_get_str(c, "src", NULL), name);
    assert_addr(&h.dst, local ? NULL : json_get_str(c, "dst", NULL), name);
}

static void of_the_reference(void **state)
{
    (void)state;
    struct json_t *v = test_vectors("src/codec/testdata/proxy_protocol.json");
    const struct json_t *cases = json_get(v, "cases");
    assert_true(json_array_len(cases) > 20);
    for (size_t i = 0; i < json_array_len(cases); i++)
        check(json_at(cases, i));
    json_unref(v);
}

static void test_more_refusals(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXYX",
        "\r\n\r\n\r",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct proxy_header h;
        size_t used;
        if (proxy_header_parse((const uint8_t *)bad[i], strlen(bad[i]), &h, &used) != ST_E_PROTO)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_v2_limit(void **state)
{
    (void)state;
    static const uint8_t head[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51,
                                   0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0x0f, 0xf0};
    static uint8_t big[PROXY_HEADER_MAX + 1];
    struct proxy_header h;
    size_t used;
    memcpy(big, head, sizeof(head));
    assert_int_equal(proxy_header_parse(big, PROXY_HEADER_MAX - 1, &h, &used), ST_MORE);
    assert_int_equal(proxy_header_parse(big, sizeof(big), &h, &used), ST_OK);
    assert_int_equal(used, PROXY_HEADER_MAX);
    big[15]++;
    assert_int_equal(proxy_header_parse(big, 16, &h, &used), ST_E_LIMIT);
}

static struct addr addr_of(const char *ip, uint16_t port)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(&a, ip, strlen(ip)), ST_OK);
    a.port = port;
    return a;
}

static void test_build(void **state)
{
    (void)state;
    static const struct {
        const char *src, *dst;
        const char *v1;
    } cases[] = {
        {"1.2.3.4", "5.6.7.8", "PROXY TCP4 1.2.3.4 5.6.7.8 65535 443\r\n"},
        {"2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 65535 443\r\n"},
        {"2001:db8::1", "5.6.7.8", NULL},
    };
    uint8_t out[PROXY_HEADER_BUILD_MAX];
    struct proxy_header h;
    size_t n, used;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct addr src = addr_of(cases[i].src, 65535), dst = addr_of(cases[i].dst, 443);
        n = proxy_header_build(out, 1, &src, &dst);
        if (cases[i].v1 != NULL) {
            assert_int_equal(n, strlen(cases[i].v1));
            assert_memory_equal(out, cases[i].v1, n);
        }
        for (unsigned version = 1; version <= 2; version++) {
            n = proxy_header_build(out, version, &src, &dst);
            assert_true(n <= PROXY_HEADER_BUILD_MAX);
            assert_int_equal(proxy_header_parse(out, n, &h, &used), ST_OK);
            assert_int_equal(used, n);
            assert_true(addr_equal(&h.src, &src) && addr_equal(&h.dst, &dst));
        }
    }
    const struct addr none = {0}, one = addr_of("1.2.3.4", 1);
    n = proxy_header_build(out, 1, &none, &one);
    assert_int_equal(n, 15);
    assert_memory_equal(out, "PROXY UNKNOWN\r\n", 15);
    n = proxy_header_build(out, 2, &one, &none);
    assert_int_equal(n, 16);
    assert_memory_equal(out + 12, "\x20\0\0\0", 4);
    struct addr long6 = addr_of("1111:2222:3333:4444:5555:6666:7777:8888", 65535);
    assert_true(proxy_header_build(out, 1, &long6, &long6) <= 107);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_reference),
        cmocka_unit_test(test_more_refusals),
        cmocka_unit_test(test_v2_limit),
        cmocka_unit_test(test_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
