#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <qrencode.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "app/qr.h"

#define TEXT  "vless://b831381d-6324-4d53-ad4f-8cda48b30811@[2001:db8::1]:443?encryption=none#a%20b"
#define QUIET 2

/* What stands at the front of a line: two modules, upper (1) and lower (2) light. -1: no block. */
static int block(const char **p)
{
    static const char *const blocks[] = {" ", "\xe2\x96\x80", "\xe2\x96\x84", "\xe2\x96\x88"};
    for (int i = 0; i < 4; i++) {
        size_t len = strlen(blocks[i]);
        if (strncmp(*p, blocks[i], len) == 0) {
            *p += len;
            return i;
        }
    }
    return -1;
}

static void the_blocks_on_the_screen_are_the_modules_of_the_code(void **state)
{
    (void)state;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(qr_print(out, TEXT, QR_BLOCKS), ST_OK);
    fclose(out);
    QRcode *qr = QRcode_encodeString(TEXT, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    const char *p = text;
    int lines = (qr->width + 2 * QUIET + 1) / 2;
    for (int row = 0; row < lines; row++) {
        p = strchr(p, 'm') + 1; /* the colours */
        for (int x = -QUIET; x < qr->width + QUIET; x++) {
            int b = block(&p);
            assert_true(b >= 0);
            for (int half = 0; half < 2; half++) {
                int y = row * 2 + half - QUIET;
                bool inside = x >= 0 && x < qr->width && y >= 0 && y < qr->width;
                bool dark = inside && (qr->data[y * qr->width + x] & 1) != 0;
                assert_int_equal((b >> half & 1) == 0, dark);
            }
        }
        p = strchr(p, '\n') + 1;
    }
    assert_string_equal(p, "");
    QRcode_free(qr);
    free(text);
}

static void the_fallback_is_plain_ascii(void **state)
{
    (void)state;
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(qr_print(out, TEXT, QR_ASCII), ST_OK);
    assert_int_equal(qr_print(out, TEXT, QR_NONE), ST_OK);
    fclose(out);
    assert_true(len > 1000);
    for (size_t i = 0; i < len; i++)
        assert_true((unsigned char)text[i] < 0x80);
    free(text);
}

static void what_does_not_fit_is_told(void **state)
{
    (void)state;
    static char text[4000];
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(qr_print(stdout, text, QR_BLOCKS), ST_E_LIMIT);
}

static void a_file_gets_no_code(void **state)
{
    (void)state;
    FILE *out = tmpfile();
    assert_int_equal(qr_style_for(out), QR_NONE);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_blocks_on_the_screen_are_the_modules_of_the_code),
        cmocka_unit_test(the_fallback_is_plain_ascii),
        cmocka_unit_test(what_does_not_fit_is_told),
        cmocka_unit_test(a_file_gets_no_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
