#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/protobuf.h"

static struct protobuf_reader reader(const void *data, size_t len)
{
    const uint8_t *p = data;
    return (struct protobuf_reader){p, p + len};
}

static void test_every_type_is_read(void **state)
{
    (void)state;
    /* 1: varint 300, 2: fixed64 1, 3: "ab", 5: fixed32 7, 536870911: 0 */
    static const uint8_t m[] = {0x08, 0xac, 0x02, 0x11, 1,    0,    0,    0,    0,
                                0,    0,    0,    0x1a, 2,    'a',  'b',  0x2d, 7,
                                0,    0,    0,    0xf8, 0xff, 0xff, 0xff, 0x0f, 0};
    struct protobuf_reader r = reader(m, sizeof(m));
    struct protobuf_field f;
    assert_int_equal(protobuf_next(&r, &f), ST_OK);
    assert_true(f.number == 1 && f.type == PROTOBUF_VARINT && f.value == 300);
    assert_int_equal(protobuf_next(&r, &f), ST_OK);
    assert_true(f.number == 2 && f.type == PROTOBUF_FIXED64 && f.value == 1);
    assert_int_equal(protobuf_next(&r, &f), ST_OK);
    assert_true(f.number == 3 && f.len == 2 && memcmp(f.data, "ab", 2) == 0);
    assert_int_equal(protobuf_next(&r, &f), ST_OK);
    assert_true(f.number == 5 && f.type == PROTOBUF_FIXED32 && f.value == 7);
    assert_int_equal(protobuf_next(&r, &f), ST_OK);
    assert_true(f.number == 536870911 && f.value == 0);
    assert_int_equal(protobuf_next(&r, &f), ST_EOF);
}

static void test_broken_messages(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x00\x00", 2},                                          /* field 0 */
        {"\x08", 1},                                              /* no value */
        {"\x08\x80", 2},                                          /* cut number */
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 11},     /* over 64 bits */
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12}, /* eleven bytes */
        {"\x0a\x03xx", 4},                                        /* cut text */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* longer than memory */
        {"\x09\x00\x00\x00\x00\x00\x00\x00", 8},                  /* cut fixed64 */
        {"\x0d\x00\x00\x00", 4},                                  /* cut fixed32 */
        {"\x0b\x0c", 2},                                          /* a group */
        {"\x0e\x00", 2},                                          /* type 6 */
        {"\x80\x80\x80\x80\x10\x00", 6},                          /* field 2^29 */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct protobuf_reader r = reader(bad[i].bytes, bad[i].len);
        struct protobuf_field f;
        assert_int_equal(protobuf_next(&r, &f), ST_E_PROTO);
    }
}

static void test_long_numbers_are_numbers(void **state)
{
    (void)state;
    struct protobuf_reader r = reader("\x08\x81\x80\x00", 4);
    struct protobuf_field f;
    assert_int_equal(protobuf_next(&r, &f), ST_OK);
    assert_true(f.value == 1);
    uint64_t v;
    size_t n;
    assert_int_equal(
        protobuf_varint((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, &v, &n),
        ST_OK);
    assert_true(v == UINT64_MAX && n == 10);
    assert_int_equal(protobuf_varint((const uint8_t *)"\x80", 1, &v, &n), ST_MORE);
}

/* As a real server of this API wrote it: one Stat of 2000. */
static void test_written_as_others_do(void **state)
{
    (void)state;
    static const char name[] = "user>>>alice@x>>>traffic>>>downlink";
    uint8_t buf[64], want[64] = {0x0a, 0x28, 0x0a, 0x23};
    struct protobuf_writer w = {buf, sizeof(buf), 0, false};
    size_t len = strlen(name);
    protobuf_put_head(&w, 1, protobuf_bytes_size(1, len) + protobuf_number_size(2, 2000));
    protobuf_put_bytes(&w, 1, name, len);
    protobuf_put_number(&w, 2, 2000);
    memcpy(want + 4, name, len);
    memcpy(want + 4 + len, "\x10\xd0\x0f", 3);
    assert_false(w.full);
    assert_int_equal(w.len, len + 7);
    assert_memory_equal(buf, want, w.len);
}

static void test_zero_is_left_out_and_full_is_said(void **state)
{
    (void)state;
    uint8_t buf[4];
    struct protobuf_writer w = {buf, sizeof(buf), 0, false};
    protobuf_put_number(&w, 1, 0);
    assert_int_equal(w.len, 0);
    protobuf_put_bytes(&w, 1, "abc", 3);
    assert_true(w.full && w.len == 0);
    protobuf_put_number(&w, 1, 1); /* would fit, but something is missing before it */
    assert_int_equal(w.len, 0);
    for (unsigned bits = 0; bits < 64; bits++) {
        uint8_t text[PROTOBUF_VARINT_MAX + 1];
        uint64_t v = UINT64_C(1) << bits, back = 0;
        size_t size = 0;
        struct protobuf_writer one = {text, sizeof(text), 0, false};
        protobuf_put_number(&one, 1, v);
        assert_int_equal(one.len, protobuf_number_size(1, v));
        assert_int_equal(protobuf_varint(text + 1, one.len - 1, &back, &size), ST_OK);
        assert_true(back == v && size == one.len - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_read),
        cmocka_unit_test(test_broken_messages),
        cmocka_unit_test(test_long_numbers_are_numbers),
        cmocka_unit_test(test_written_as_others_do),
        cmocka_unit_test(test_zero_is_left_out_and_full_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
