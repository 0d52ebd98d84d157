#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/base64.h"

/* RFC 4648 section 10. */
static const struct {
    const char *data, *text;
} rfc[] = {{"", ""},
           {"f", "Zg=="},
           {"fo", "Zm8="},
           {"foo", "Zm9v"},
           {"foob", "Zm9vYg=="},
           {"fooba", "Zm9vYmE="},
           {"foobar", "Zm9vYmFy"}};

static void test_rfc_vectors_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rfc) / sizeof(rfc[0]); i++) {
        char text[16];
        uint8_t data[16];
        size_t len = 99;
        assert_int_equal(base64_encode(text, rfc[i].data, strlen(rfc[i].data), 0),
                         strlen(rfc[i].text));
        assert_string_equal(text, rfc[i].text);
        assert_int_equal(base64_decode(data, &len, rfc[i].text, strlen(rfc[i].text), 0), ST_OK);
        assert_int_equal(len, strlen(rfc[i].data));
        assert_memory_equal(data, rfc[i].data, len);
    }
}

static void test_url_alphabet_without_padding(void **state)
{
    (void)state;
    const uint8_t raw[] = {0xfb, 0xff, 0xfe};
    char text[16];
    uint8_t out[16];
    size_t len;
    base64_encode(text, raw, 3, BASE64_URL | BASE64_UNPADDED);
    assert_string_equal(text, "-__-");
    base64_encode(text, raw, 2, BASE64_URL | BASE64_UNPADDED);
    assert_string_equal(text, "-_8");
    assert_int_equal(base64_decode(out, &len, "-_8", 3, BASE64_URL | BASE64_UNPADDED), ST_OK);
    assert_int_equal(len, 2);
    assert_memory_equal(out, raw, 2);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned flags;
    } bad[] = {{"Zg", 0},
               {"Zg=", 0},
               {"Zg===", 0},
               {"=", 0},
               {"====", 0},
               {"Z===", 0},
               {"Zm8=", BASE64_UNPADDED},
               {"Z", BASE64_UNPADDED},
               {"Zm9 ", 0},
               {"Zm\n9", 0},
               {"Zm9-", 0},
               {"Zm9+", BASE64_URL},
               {"Zh==", 0},
               {"Zm9=", 0},
               {"Zh", BASE64_UNPADDED},
               {"Z=g=", 0}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[8];
        size_t len;
        assert_int_equal(base64_decode(out, &len, bad[i].text, strlen(bad[i].text), bad[i].flags),
                         ST_E_PROTO);
    }
}

static void test_any_tail_reads_what_go_reads(void **state)
{
    (void)state;
    uint8_t out[8];
    size_t len;
    assert_int_equal(base64_decode(out, &len, "Zh==", 4, BASE64_ANY_TAIL), ST_OK);
    assert_int_equal(len, 1);
    assert_int_equal(out[0], 'f');
}

static void test_decodes_in_place(void **state)
{
    (void)state;
    char text[] = "Zm9vYmFy";
    size_t len;
    assert_int_equal(base64_decode((uint8_t *)text, &len, text, 8, 0), ST_OK);
    assert_int_equal(len, 6);
    assert_memory_equal(text, "foobar", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_vectors_both_ways),
        cmocka_unit_test(test_url_alphabet_without_padding),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_any_tail_reads_what_go_reads),
        cmocka_unit_test(test_decodes_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
