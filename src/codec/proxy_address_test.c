#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "codec/proxy_address.h"

#define SOCKS PROXY_ADDRESS_SOCKS
#define SS    PROXY_ADDRESS_SHADOWSOCKS
#define V2RAY PROXY_ADDRESS_V2RAY

static void reads_every_form(void **state)
{
    static const struct {
        enum proxy_address_form form;
        const char *hex, *text;
    } cases[] = {
        {SOCKS,
         "0101020304"
         "0050",
         "1.2.3.4:80"},
        {SOCKS,
         "030b6578616d706c652e636f6d"
         "01bb",
         "example.com:443"},
        {SOCKS,
         "0420010db8000000000000000000000001"
         "1f90",
         "[2001:db8::1]:8080"},
        {SOCKS,
         "0400000000000000000000ffff01020304"
         "1f90",
         "1.2.3.4:8080"},
        {SOCKS,
         "0307312e322e332e34"
         "0050",
         "1.2.3.4:80"},
        {SS,
         "1101020304"
         "0050",
         "1.2.3.4:80"},
        {SS,
         "f30161"
         "0000",
         "a:0"},
        {V2RAY,
         "0050"
         "0101020304",
         "1.2.3.4:80"},
        {V2RAY,
         "01bb"
         "020b6578616d706c652e636f6d",
         "example.com:443"},
        {V2RAY,
         "1f90"
         "0320010db8000000000000000000000001",
         "[2001:db8::1]:8080"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t wire[PROXY_ADDRESS_MAX + 1];
        char text[TARGET_STRLEN];
        struct target t;
        size_t n = strlen(cases[i].hex) / 2;
        assert_int_equal(hex_decode(wire, cases[i].hex, 2 * n), ST_OK);
        for (size_t cut = 0; cut < n; cut++) {
            struct reader r = reader_of(wire, cut);
            assert_int_equal(proxy_address_read(&r, cases[i].form, &t), ST_MORE);
        }
        wire[n] = 0xee;
        struct reader r = reader_of(wire, n + 1);
        assert_int_equal(proxy_address_read(&r, cases[i].form, &t), ST_OK);
        assert_int_equal(reader_left(&r), 1);
        assert_string_equal(target_str(&t, text), cases[i].text);
        /* The way back. */
        uint8_t back[PROXY_ADDRESS_IP_MAX];
        if (t.host_len == 0) {
            struct target again;
            struct reader w = reader_of(back, proxy_address_write(cases[i].form, &t.addr, back));
            assert_int_equal(proxy_address_read(&w, cases[i].form, &again), ST_OK);
            assert_int_equal(reader_left(&w), 0);
            assert_true(addr_equal(&again.addr, &t.addr));
        }
    }
}

static void refuses_what_is_none(void **state)
{
    static const struct {
        enum proxy_address_form form;
        const char *hex;
    } cases[] = {
        {SOCKS, "00"},
        {SOCKS, "02"},
        {SOCKS, "05"},
        {SOCKS, "1101020304"
                "0050"},
        {SOCKS, "0300"},
        {SS, "15"},
        {SOCKS, "03022f61"},
        {V2RAY, "005000"},
        {V2RAY, "005004"},
        {V2RAY, "00500200"},
        {V2RAY, "00500203612062"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t wire[PROXY_ADDRESS_MAX];
        struct target t;
        size_t n = strlen(cases[i].hex) / 2;
        assert_int_equal(hex_decode(wire, cases[i].hex, 2 * n), ST_OK);
        struct reader r = reader_of(wire, n);
        if (proxy_address_read(&r, cases[i].form, &t) != ST_E_PROTO)
            fail_msg("%s", cases[i].hex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_form),
        cmocka_unit_test(refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
