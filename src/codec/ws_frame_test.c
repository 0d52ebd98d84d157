#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ws_frame.h"

static void test_heads_round_trip(void **state)
{
    (void)state;
    static const struct {
        uint64_t len;
        size_t size;
    } cases[] = {{0, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {(uint64_t)INT64_MAX, 10}};
    static const uint8_t mask[4] = {1, 2, 3, 4};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int masked = 0; masked < 2; masked++) {
            uint8_t head[WS_FRAME_HEAD_MAX];
            struct ws_frame f;
            size_t n = ws_frame_build(head, WS_BINARY, cases[i].len, masked ? mask : NULL);
            assert_int_equal(n, cases[i].size + (masked ? 4 : 0));
            for (size_t k = 0; k < n; k++)
                assert_int_equal(ws_frame_parse(head, k, &f), ST_MORE);
            assert_int_equal(ws_frame_parse(head, n, &f), ST_OK);
            assert_true(f.fin && f.opcode == WS_BINARY && f.masked == masked);
            assert_true(f.len == cases[i].len);
            assert_int_equal(f.size, n);
            if (masked)
                assert_memory_equal(f.mask, mask, 4);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const uint8_t bad[][10] = {
        {0xc2, 0x80},                            /* RSV1 */
        {0xa2, 0x80},                            /* RSV2 */
        {0x92, 0x80},                            /* RSV3 */
        {0x83, 0x80},                            /* opcode 3 */
        {0x8b, 0x80},                            /* opcode 11 */
        {0x09, 0x80},                            /* fragmented Ping */
        {0x89, 0xfe, 0, 126},                    /* long Ping */
        {0x88, 0xff},                            /* long Close */
        {0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0}, /* top bit of a length */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct ws_frame f;
        assert_int_equal(ws_frame_parse(bad[i], 10, &f), ST_E_PROTO);
    }
}

static void test_long_forms_of_short_lengths_are_read(void **state)
{
    (void)state;
    static const uint8_t head[] = {0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0, 5};
    struct ws_frame f;
    assert_int_equal(ws_frame_parse(head, sizeof(head), &f), ST_OK);
    assert_true(f.len == 5);
    assert_int_equal(f.size, 10);
}

static void test_mask_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t want[67], got[67];
    for (size_t i = 0; i < sizeof(want); i++)
        want[i] = (uint8_t)(i ^ mask[i & 3]);
    for (size_t a = 0; a <= sizeof(got); a++) {
        for (size_t b = a; b <= sizeof(got); b += 3) {
            for (size_t i = 0; i < sizeof(got); i++)
                got[i] = (uint8_t)i;
            unsigned phase = ws_mask(got, a, mask, 0);
            phase = ws_mask(got + a, b - a, mask, phase);
            phase = ws_mask(got + b, sizeof(got) - b, mask, phase);
            assert_int_equal(phase, sizeof(got) & 3);
            assert_memory_equal(got, want, sizeof(got));
        }
    }
}

static void test_close_codes(void **state)
{
    (void)state;
    static const uint8_t normal[] = {0x03, 0xe8, 'b', 'y', 'e'};
    assert_int_equal(ws_close_code(normal, 5), 1000);
    assert_int_equal(ws_close_code(normal, 2), 1000);
    assert_int_equal(ws_close_code(normal, 1), 0);
    assert_int_equal(ws_close_code(normal, 0), WS_CLOSE_NONE);
    static const unsigned bad[] = {0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t p[2] = {(uint8_t)(bad[i] >> 8), (uint8_t)bad[i]};
        assert_int_equal(ws_close_code(p, 2), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_forms_of_short_lengths_are_read),
        cmocka_unit_test(test_mask_in_pieces_of_any_size),
        cmocka_unit_test(test_close_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
