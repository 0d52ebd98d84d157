#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/http1_chunked.h"

/* Decodes @text given in pieces of @step bytes into @body. */
static enum status decode(const char *text, size_t step, char *body, size_t *rest)
{
    struct http1_chunked c = {0};
    size_t at = 0, len = strlen(text), out = 0, have = 0;
    enum status st = ST_MORE;
    while (st == ST_MORE && have < len) {
        have = have + step < len ? have + step : len;
        do {
            size_t used, n;
            const uint8_t *data;
            st = http1_chunked_read(&c, (const uint8_t *)text + at, have - at, &used, &data, &n);
            at += used;
            if (st == ST_OK) {
                memcpy(body + out, data, n);
                out += n;
            }
        } while (st == ST_OK);
    }
    body[out] = '\0';
    *rest = len - at;
    return st;
}

static void test_body_in_every_cut(void **state)
{
    (void)state;
    const char *text =
        "5\r\nhello\r\n00006;ext=\"x\"\r\n world\r\n1 \r\n!\r\n0\r\nTrailer: x\r\n\r\nNEXT";
    for (size_t step = 1; step <= strlen(text); step++) {
        char body[64];
        size_t rest;
        assert_int_equal(decode(text, step, body, &rest), ST_EOF);
        assert_string_equal(body, "hello world!");
        assert_true(rest <= 4);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status st;
    } bad[] = {{"\r\n", ST_E_PROTO},
               {";\r\n", ST_E_PROTO},
               {"g\r\n", ST_E_PROTO},
               {"-1\r\n", ST_E_PROTO},
               {"5\nhello", ST_E_PROTO},
               {"5\rx", ST_E_PROTO},
               {"5\r\nhelloo", ST_E_PROTO},
               {"5\r\nhello\n", ST_E_PROTO},
               {"5x\r\n", ST_E_PROTO},
               {"0\r\n\n", ST_E_PROTO},
               {"0\r\nA\n", ST_E_PROTO},
               {"0\r\n\rx", ST_E_PROTO},
               {"1000000000000000\r\n", ST_E_LIMIT}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char body[64];
        size_t rest;
        assert_int_equal(decode(bad[i].text, 64, body, &rest), bad[i].st);
        assert_int_equal(decode(bad[i].text, 1, body, &rest), bad[i].st);
    }
}

static void test_lines_are_bounded(void **state)
{
    (void)state;
    char text[5000], body[64];
    size_t rest;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "1;", 2);
    assert_int_equal(decode(text, 64, body, &rest), ST_E_LIMIT);
    memcpy(text, "0\r\n", 3);
    assert_int_equal(decode(text, 64, body, &rest), ST_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_in_every_cut),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
