#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "control/redis/device_script.h"

static struct device_seen seen(const char *ip, uint8_t bits)
{
    struct device_seen d = {.bits = bits};
    assert_int_equal(addr_parse_ip(&d.ip, ip, strlen(ip)), ST_OK);
    return d;
}

static void what_is_asked(void **state)
{
    static const char *const want[] = {
        "EVALSHA",      "0123", "1",  "v2sp:dev:ab12:18446744073709551615",
        "c0ffee",       "2",    "60", "192.0.2.0/24",
        "2001:db8::/64"};
    struct device_seen devices[DEVICE_SCRIPT_DEVICES + 1];
    struct device_command c;
    struct device_question q = {.sha = "0123",
                                .prefix = "v2sp:dev:",
                                .panel = "ab12",
                                .process = "c0ffee",
                                .uid = UINT64_MAX,
                                .limit = 2,
                                .expiry_s = 60,
                                .devices = devices,
                                .count = 2};

    (void)state;
    devices[0] = seen("192.0.2.0", 24);
    devices[1] = seen("2001:db8::", 64);
    device_script_ask(&q, &c);
    assert_int_equal(c.argc, sizeof(want) / sizeof(want[0]));
    for (int i = 0; i < c.argc; i++) {
        assert_string_equal(c.argv[i], want[i]);
        assert_int_equal(c.len[i], strlen(want[i]));
    }
    q.limit = DEVICES_NO_LIMIT;
    q.count = 0;
    device_script_ask(&q, &c);
    assert_int_equal(c.argc, 7);
    assert_string_equal(c.argv[5], "0");
}

/* Texts as long as they can be. */
static void there_is_room_for_all(void **state)
{
    static char prefix[600];
    struct device_seen devices[DEVICE_SCRIPT_DEVICES];
    struct device_command c;
    struct device_question q = {.sha = "0123456789012345678901234567890123456789",
                                .prefix = prefix,
                                .panel = "0123456789abcdef",
                                .process = "0123456789abcdef",
                                .uid = UINT64_MAX,
                                .limit = UINT32_MAX - 1,
                                .expiry_s = UINT32_MAX,
                                .devices = devices,
                                .count = DEVICE_SCRIPT_DEVICES};

    (void)state;
    memset(prefix, 'p', sizeof(prefix) - 1);
    for (size_t i = 0; i < DEVICE_SCRIPT_DEVICES; i++)
        devices[i] = seen("1111:2222:3333:4444:5555:6666:7777:8888", 128);
    device_script_ask(&q, &c);
    assert_int_equal(c.argc, DEVICE_SCRIPT_ARGS);
    assert_string_equal(c.argv[c.argc - 1], "1111:2222:3333:4444:5555:6666:7777:8888/128");
    assert_int_equal(c.len[3], 255 + 16 + 1 + 20);
    assert_true(c.argv[c.argc - 1] + c.len[c.argc - 1] < c.text + sizeof(c.text));
}

static enum status answer(const char *text, size_t asked, struct device_verdict *v)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_non_null(reader);
    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    enum status st = device_script_read(reply, asked, v);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return st;
}

static void answers(void **state)
{
    static const char *const bad[] = {"*0\r\n",
                                      "+OK\r\n",
                                      ":3\r\n",
                                      "$-1\r\n",
                                      "-ERR no\r\n",
                                      "*1\r\n$1\r\n3\r\n",
                                      "*1\r\n:-1\r\n",
                                      "*1\r\n:99999999999\r\n",
                                      "*2\r\n:0\r\n:0\r\n",
                                      "*2\r\n:0\r\n:3\r\n",
                                      "*2\r\n:0\r\n*0\r\n",
                                      "*4\r\n:0\r\n:1\r\n:2\r\n:1\r\n"};
    struct device_verdict v;

    (void)state;
    assert_int_equal(answer("*1\r\n:7\r\n", 2, &v), ST_OK);
    assert_int_equal(v.elsewhere, 7);
    assert_int_equal(v.refused, 0);
    assert_int_equal(answer("*3\r\n:0\r\n:2\r\n:1\r\n", 2, &v), ST_OK);
    assert_int_equal(v.elsewhere, 0);
    assert_int_equal(v.refused, 2);
    assert_int_equal(v.index[0], 1);
    assert_int_equal(v.index[1], 0);
    assert_int_equal(answer("-WRONGTYPE Operation against a key, on @user_script:4.\r\n", 2, &v),
                     ST_E_BUSY);
    assert_int_equal(answer("-ERR Error running script: @user_script:4: WRONGTYPE Op\r\n", 2, &v),
                     ST_E_BUSY);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(answer(bad[i], 2, &v), ST_E_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(there_is_room_for_all),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
