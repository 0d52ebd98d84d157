#include <stdio.h>

#include "base/arena.h"
#include "codec/json.h"
#include "transport/ws/test_client.h"

#define ANSWER404 "HTTP/1.1 404 Not Found\r\n" DATE "Content-Length: 0\r\n"
#define REFUSED(line, text, n)                                                                     \
    "HTTP/1.1 " line "\r\nContent-Type: text/plain; charset=utf-8\r\n"                             \
    "Sec-Websocket-Version: 13\r\nX-Content-Type-Options: nosniff\r\n" DATE "Content-Length: " n   \
    "\r\n\r\n" text
#define ANSWER400 REFUSED("400 Bad Request", "Bad Request\n", "12")
#define ANSWER405 REFUSED("405 Method Not Allowed", "Method Not Allowed\n", "19")
#define PLAIN(line)                                                                                \
    "HTTP/1.1 " line "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: "                 \
    "close\r\n\r\n" line
#define HOST "Host: h.example\r\n"

/* Each refused request is answered as Go and gorilla do, in their order of checks, and the
 * connection goes on: the right request after it is taken. */
static void test_refusals_keep_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *request, *answer;
    } cases[] = {
        {"GET /ws HTTP/1.1\r\nHost: x\r\n" UPGRADE VERSION KEY "\r\n", ANSWER404 "\r\n"},
        {"GET /WS HTTP/1.1\r\n" HOST UPGRADE VERSION KEY "\r\n", ANSWER404 "\r\n"},
        {"GET / HTTP/1.1\r\n" HOST "\r\n", ANSWER404 "\r\n"},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", ANSWER404 "\r\n"},
        {"GET /ws HTTP/1.1\r\n" HOST "\r\n", ANSWER400},
        {"POST /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n", ANSWER400},
        {"GET /ws HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", ANSWER400},
        {"POST /ws HTTP/1.1\r\n" HOST UPGRADE "\r\n", ANSWER405},
        {"GET /ws HTTP/1.1\r\n" HOST UPGRADE KEY "\r\n", ANSWER400},
        {"GET /ws HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY "\r\n", ANSWER400},
        {"GET /ws HTTP/1.1\r\n" HOST UPGRADE VERSION "\r\n", ANSWER400},
        {"GET /ws HTTP/1.1\r\n" HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAA\r\n\r\n", ANSWER400},
        {"GET /ws HTTP/1.1\r\n" HOST UPGRADE VERSION
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ--\r\n\r\n",
         ANSWER400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench r;
        rig_open(&r, &plain_conf);
        test_bench_feed(&r, cases[i].request, strlen(cases[i].request));
        assert_int_equal(r.st, ST_OK);
        assert_int_equal(r.ev.mask, 0);
        rig_expect(&r, cases[i].answer);
        test_bench_feed(&r, REQUEST, strlen(REQUEST));
        assert_int_equal(r.ev.mask, EV_READY);
        rig_expect(&r, ANSWER101 "\r\n");
        test_bench_close(&r);
    }
}

static void test_refusals_that_end_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *request, *answer;
        enum status st;
    } cases[] = {
        {"GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         ANSWER404 "Connection: close\r\n\r\n", ST_E_PROTO},
        {"GET /ws HTTP/1.0\r\n" HOST "\r\n", NULL, ST_E_PROTO},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n",
         ANSWER404 "Connection: close\r\n\r\n", ST_E_PROTO},
        {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
         ANSWER404 "Connection: close\r\n\r\n", ST_E_PROTO},
        {"\x16\x03\x01\x02\x01\r\n", PLAIN("400 Bad Request"), ST_E_PROTO},
        {"GET /%zz HTTP/1.1\r\n" HOST "\r\n", PLAIN("400 Bad Request"), ST_E_PROTO},
        {"GET / HTTP/1.1\r\n\r\n", PLAIN("400 Bad Request"), ST_E_PROTO},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         PLAIN("505 HTTP Version Not Supported: unsupported protocol version"), ST_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench r;
        rig_open(&r, &plain_conf);
        test_bench_feed(&r, cases[i].request, strlen(cases[i].request));
        assert_int_equal(r.st, cases[i].st);
        assert_non_null(r.ev.why.text);
        if (cases[i].answer != NULL)
            rig_expect(&r, cases[i].answer);
        test_bench_close(&r);
    }
}

static void test_head_too_long(void **state)
{
    (void)state;
    static char text[HTTP1_HEAD_MAX + 10];
    struct test_bench r;
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    rig_open(&r, &plain_conf);
    test_bench_feed(&r, text, sizeof(text));
    assert_int_equal(r.st, ST_E_LIMIT);
    rig_expect(&r, PLAIN("431 Request Header Fields Too Large"));
    test_bench_close(&r);
}

/* The answer of one request, and whether it was an upgrade. */
static bool upgrades(const struct ws_conf *conf, const char *text)
{
    struct test_bench r;
    rig_open(&r, conf);
    test_bench_feed(&r, text, strlen(text));
    bool ready = r.ev.mask == EV_READY;
    test_bench_close(&r);
    return ready;
}

static void test_requests_that_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "GET /%77s HTTP/1.1\r\n" HOST UPGRADE VERSION KEY "\r\n",
        "GET /ws?ed=2048&x HTTP/1.1\r\n" HOST UPGRADE VERSION KEY "\r\n",
        "GET /ws%3Fed=2048 HTTP/1.1\r\n" HOST UPGRADE VERSION KEY "\r\n",
        "GET http://h.example/ws HTTP/1.1\r\nHost: x\r\n" UPGRADE VERSION KEY "\r\n",
        "GET /ws HTTP/1.1\r\nHost: H.EXAMPLE:8443\r\n" UPGRADE VERSION KEY "\r\n",
        "GET /ws HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nCONNECTION: x, UpGrade\r\n"
        "Upgrade: x, WebSocket\r\nSec-WebSocket-Version: 8, 13\r\n"
        "Origin: http://evil.example\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" KEY
        "\r\n",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!upgrades(&plain_conf, good[i]))
            fail_msg("refused: %s", good[i]);
    struct ws_conf any = plain_conf;
    any.host = NULL;
    assert_true(upgrades(&any, "GET /ws HTTP/1.1\r\nHost: x\r\n" UPGRADE VERSION KEY "\r\n"));
}

/* The 101 is alone in its write, and what follows it starts anew. */
static void test_marks_of_the_101(void **state)
{
    (void)state;
    struct test_bench r;
    rig_open(&r, &plain_conf);
    struct span *s = span_new(r.pool);
    s->len = 5;
    memcpy(span_data(s), "early", 5);
    bufq_push(chain_down(&r.chain), s);
    test_bench_feed(&r, REQUEST, strlen(REQUEST));
    struct span *first = bufq_pop(chain_bottom_out(&r.chain));
    assert_int_equal(first->flags, SPAN_EDGE | SPAN_ALONE);
    assert_int_equal(first->len, strlen(ANSWER101) + 2);
    struct span *second = chain_bottom_out(&r.chain)->head;
    assert_ptr_equal(second, s);
    assert_int_equal(second->flags, SPAN_EDGE);
    span_free(r.pool, first);
    rig_expect_n(&r,
                 "\x82\x05"
                 "early",
                 7);
    test_bench_close(&r);
}

#define WITH_PROTOCOL(p)                                                                           \
    "GET /ws HTTP/1.1\r\n" HOST UPGRADE VERSION KEY "Sec-WebSocket-Protocol: " p "\r\n\r\n"

static void test_early_data(void **state)
{
    (void)state;
    static const struct {
        const char *request, *echo, *data;
        size_t len;
    } cases[] = {
        {WITH_PROTOCOL("AAECAwQ"), "AAECAwQ", "\0\1\2\3\4", 5},
        {WITH_PROTOCOL("AAECAwQ="), "AAECAwQ=", "\0\1\2\3\4", 5},
        {WITH_PROTOCOL("+/8="), "+/8=", "\xfb\xff", 2},
        {WITH_PROTOCOL("-_8"), "-_8", "\xfb\xff", 2},
        {WITH_PROTOCOL("chat, superchat"), NULL, "", 0},
        {WITH_PROTOCOL("A"), NULL, "", 0},
        {WITH_PROTOCOL("AB C"), NULL, "", 0},
        {WITH_PROTOCOL("AB\tCD"), NULL, "", 0},
        {WITH_PROTOCOL(""), NULL, "", 0},
        {WITH_PROTOCOL("="), NULL, "", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench r;
        char want[300] = ANSWER101;
        rig_open(&r, &plain_conf);
        test_bench_feed(&r, cases[i].request, strlen(cases[i].request));
        assert_int_equal(r.ev.mask, EV_READY);
        if (cases[i].echo != NULL)
            snprintf(want, sizeof(want), "%sSec-WebSocket-Protocol: %s\r\n", ANSWER101,
                     cases[i].echo);
        strcat(want, "\r\n");
        rig_expect(&r, want);
        rig_expect_plain(&r, cases[i].data, cases[i].len);
        test_bench_close(&r);
    }
}

#define SING_BOX(more)                                                                             \
    "GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n" VERSION KEY        \
    "Sec-WebSocket-Protocol: AAEC\r\n" more "\r\n"

/* On plain TCP the answer to sing-box's early data is held back until the client speaks or 250 ms
 * passed, with Pings to make it speak. */
static void test_answer_to_early_data_waits(void **state)
{
    (void)state;
    static const char text[] = SING_BOX("");
    for (int speaks = 0; speaks < 2; speaks++) {
        struct test_bench r;
        uint8_t buf[20];
        rig_open(&r, &plain_conf);
        test_bench_feed(&r, text, strlen(text));
        rig_expect_plain(&r, "\0\1\2", 3);
        rig_expect(&r, ANSWER101 "Sec-WebSocket-Protocol: AAEC\r\n\r\n");
        assert_int_equal(bufq_put(chain_down(&r.chain), "hi", 2, r.pool), ST_OK);
        r.now_us = NOW + 7999;
        test_bench_run(&r);
        rig_expect(&r, "");
        assert_true(r.wake_us == NOW + 8000);
        r.now_us = r.wake_us;
        test_bench_run(&r);
        rig_expect_n(&r, "\x89\x00", 2);
        if (speaks) {
            test_bench_feed(&r, buf, frame(buf, WS_PONG, true, "", 0));
        } else {
            assert_true(r.wake_us == NOW + 16000);
            r.now_us = NOW + 250000;
            test_bench_run(&r);
        }
        rig_expect_n(&r, "\x82\x02hi", 4);
        assert_true(r.wake_us == UINT64_MAX);
        test_bench_close(&r);
    }
}

/* Nobody else waits: sing-box above TLS or behind a proxy, and clients that keep what follows the
 * 101. */
static void test_answer_to_early_data_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool tls13;
    } cases[] = {
        {SING_BOX(""), true},
        {SING_BOX("X-Forwarded-For: 1.2.3.4\r\n"), false},
        {SING_BOX("X-Real-IP: 1.2.3.4\r\n"), false},
        {WITH_PROTOCOL("AAEC"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_bench r;
        rig_open(&r, &plain_conf);
        r.info.tls13 = cases[i].tls13;
        test_bench_feed(&r, cases[i].text, strlen(cases[i].text));
        bufq_clear(chain_bottom_out(&r.chain), r.pool);
        assert_int_equal(bufq_put(chain_down(&r.chain), "hi", 2, r.pool), ST_OK);
        test_bench_run(&r);
        rig_expect_n(&r, "\x82\x02hi", 4);
        test_bench_close(&r);
    }
}

static void test_long_early_data_with_frames_behind_it(void **state)
{
    (void)state;
    static char text[HTTP1_HEAD_MAX + 100];
    static uint8_t want[9000];
    size_t chars = 10924, bytes = chars / 4 * 3; /* 8 KiB of early data */
    int n = snprintf(text, sizeof(text),
                     "GET /ws HTTP/1.1\r\n" HOST UPGRADE VERSION KEY "Sec-WebSocket-Protocol: ");
    memset(text + n, 'A', chars);
    memcpy(text + n + chars, "\r\n\r\n", 4);
    size_t len = (size_t)n + chars + 4;
    assert_true(len < HTTP1_HEAD_MAX);
    len += frame((uint8_t *)text + len, WS_BINARY, true, "after", 5);
    memcpy(want + bytes, "after", 5);
    struct test_bench r;
    rig_open(&r, &plain_conf);
    test_bench_feed(&r, text, len);
    assert_int_equal(r.ev.mask, EV_READY);
    rig_expect_plain(&r, want, bytes + 5);
    bufq_clear(chain_bottom_out(&r.chain), r.pool);
    test_bench_close(&r);
}

static void test_forwarded_address(void **state)
{
    (void)state;
    static const char *const trusted[] = {"X-Real-Proxy"};
    static const char text[] = "GET /ws HTTP/1.1\r\n" HOST UPGRADE VERSION KEY
                               "X-Real-Proxy: 1\r\nX-Forwarded-For: 9.8.7.6, 1.1.1.1\r\n\r\n";
    const struct addr socket = {.family = ADDR_IP4, .port = 99, .ip = {127, 0, 0, 1}};
    struct ws_conf conf = plain_conf;
    for (int trust = 0; trust < 2; trust++) {
        struct test_bench r;
        char shown[ADDR_STRLEN];
        conf.trusted_xff = trusted;
        conf.trusted_xff_count = trust ? 1 : 0;
        rig_open(&r, &conf);
        r.info.peer = socket;
        test_bench_feed(&r, text, strlen(text));
        assert_string_equal(addr_str(&r.info.peer, shown), trust ? "9.8.7.6:0" : "127.0.0.1:99");
        test_bench_close(&r);
    }
}

/* ---- configuration --------------------------------------------------------------------------- */

static enum status conf_of(struct arena *a, const char *text, const struct ws_conf **c,
                           struct conf_error *err)
{
    static const char *const trusted[] = {"CF-Ray"};
    const struct conf_context ctx = {.trusted_xff = trusted, .trusted_xff_count = 1};
    struct json_t *v = NULL;
    struct json_error jerr;
    const void *conf = NULL;
    if (text != NULL)
        assert_int_equal(json_parse(text, strlen(text), &v, &jerr), ST_OK);
    enum status st = transport_ws.parse_conf(a, v, &ctx, &conf, err);
    json_unref(v);
    *c = conf;
    return st;
}

static void test_settings(void **state)
{
    (void)state;
    static const struct {
        const char *json, *path, *host;
        uint32_t heartbeat;
    } cases[] = {
        {NULL, "/", NULL, 0},
        {"[]", "/", NULL, 0},
        {"{}", "/", NULL, 0},
        {"\"\"", "/", NULL, 0},
        {"{\"path\":null,\"headers\":[],\"heartbeatPeriod\":\"\"}", "/", NULL, 0},
        {"{\"path\":\"ws?ed=2048\",\"headers\":{\"host\":\"a.b\"}}", "/ws", "a.b", 0},
        {"{\"Path\":[\"/x\"],\"host\":\"c\",\"headers\":{\"Host\":\"a.b\"}}", "/x", "c", 0},
        {"{\"host\":\"\",\"headers\":{\"Host\":\"a.b\"},\"heartbeatPeriod\":\"30\"}", "/", "a.b",
         30},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena *a = arena_new();
        const struct ws_conf *c;
        struct conf_error err;
        assert_int_equal(conf_of(a, cases[i].json, &c, &err), ST_OK);
        assert_string_equal(c->path.text, cases[i].path);
        if (cases[i].host == NULL)
            assert_null(c->host);
        else
            assert_string_equal(c->host, cases[i].host);
        assert_int_equal(c->heartbeat_s, cases[i].heartbeat);
        assert_int_equal(c->trusted_xff_count, 1);
        assert_string_equal(c->trusted_xff[0], "CF-Ray");
        arena_free(a);
    }
}

static void test_unusable_settings_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"path\":5}", "ws path: must be a string"},
        {"{\"host\":{}}", NULL},
        {"{\"host\":7}", "ws host: must be a string"},
        {"{\"headers\":{\"Host\":1}}", "ws headers.Host: must be a string"},
        {"{\"heartbeatPeriod\":-1}", "ws heartbeatPeriod: must be a number of seconds, 0 to 86400"},
        {"{\"heartbeatPeriod\":\"x\"}",
         "ws heartbeatPeriod: must be a number of seconds, 0 to 86400"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena *a = arena_new();
        const struct ws_conf *c;
        struct conf_error err = {""};
        enum status st = conf_of(a, cases[i][0], &c, &err);
        if (cases[i][1] != NULL) {
            assert_int_equal(st, ST_E_CONFIG);
            assert_string_equal(err.text, cases[i][1]);
        }
        arena_free(a);
    }
    assert_string_equal(transport_ws.alpn[0], "http/1.1");
    assert_null(transport_ws.alpn[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_keep_the_connection),
        cmocka_unit_test(test_refusals_that_end_the_connection),
        cmocka_unit_test(test_head_too_long),
        cmocka_unit_test(test_requests_that_are_taken),
        cmocka_unit_test(test_marks_of_the_101),
        cmocka_unit_test(test_early_data),
        cmocka_unit_test(test_answer_to_early_data_waits),
        cmocka_unit_test(test_answer_to_early_data_at_once),
        cmocka_unit_test(test_long_early_data_with_frames_behind_it),
        cmocka_unit_test(test_forwarded_address),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_unusable_settings_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
