#include "codec/json.h"
#include "codec/test_vectors.h"
#include "transport/ws/test_client.h"

/* What the wire must carry: the answer, then frames around @down, one Close with @close_code at the
 * end (0: none), and Pongs anywhere if @pongs. */
struct want {
    const char *answer;
    size_t answer_len;
    const uint8_t *down;
    size_t down_len;
    unsigned close_code;
    bool pongs;
};

static bool judge(void *arg, const uint8_t *p, size_t len)
{
    const struct want *w = arg;
    size_t at = 0;
    unsigned code = 0;
    if (len < w->answer_len || memcmp(p, w->answer, w->answer_len) != 0)
        return false;
    p += w->answer_len;
    len -= w->answer_len;
    while (len > 0) {
        struct ws_frame f;
        if (ws_frame_parse(p, len, &f) != ST_OK || f.masked || !f.fin || f.len > len - f.size ||
            code != 0)
            return false;
        const uint8_t *payload = p + f.size;
        size_t n = (size_t)f.len;
        if (f.opcode == WS_CLOSE)
            code = ws_close_code(payload, n);
        else if (f.opcode == WS_PONG && !w->pongs)
            return false;
        else if (f.opcode == WS_BINARY) {
            if (n == 0 || n > w->down_len - at || memcmp(w->down + at, payload, n) != 0)
                return false;
            at += n;
        } else if (f.opcode != WS_PONG && (f.opcode != WS_PING || n > 0)) {
            return false;
        }
        p = payload + n;
        len -= f.size + n;
    }
    return at == w->down_len && code == w->close_code;
}

/* Some captures asked 127.0.0.1. */
static const struct ws_conf any_host = {
    .path = {.text = "/ws", .decoded = "/ws", .text_len = 3, .decoded_len = 3},
};

static const struct chain_stage stages[] = {{&ws_server_ops, &plain_conf}};

/* ---- what real clients sent ------------------------------------------------------------------ */

/* Xray-core refuses both; we take the escaped "?ed=2048" of sing-box. */
static void check_refused(const struct json_t *c, const uint8_t *client, size_t len)
{
    struct test_bench r;
    rig_open(&r, &any_host);
    test_bench_feed(&r, client, len);
    assert_int_equal(r.st, ST_OK);
    if (strcmp(json_get_str(c, "name", ""), "sb_wsedpath") == 0)
        assert_int_equal(r.ev.mask, EV_READY);
    else
        rig_expect(&r, "HTTP/1.1 404 Not Found\r\n" DATE "Content-Length: 0\r\n\r\n");
    bufq_clear(chain_bottom_out(&r.chain), r.pool);
    test_bench_close(&r);
}

static void check_capture(const struct json_t *c)
{
    static const struct chain_stage open_stages[] = {{&ws_server_ops, &any_host}};
    static uint8_t client[4096], plain[4096], down[4096], answer[4096];
    bool closes = json_get_bool(c, "client_closes", false);
    struct want w = {
        .answer = (const char *)answer, .down = down, .close_code = 1000, .pongs = true};
    struct law_case law = {.stages = open_stages, .count = 1, .wire = client, .plain = plain};
    law.wire_len = test_hex_of(c, "client", client, sizeof(client));
    law.plain_len = test_hex_of(c, "plain", plain, sizeof(plain));
    w.answer_len = test_hex_of(c, "answer", answer, sizeof(answer));
    assert_true(w.answer_len > 0);
    if (memcmp(answer, "HTTP/1.1 404", 12) == 0) {
        check_refused(c, client, law.wire_len);
        return;
    }
    law.events = EV_READY;
    law.plain_eof = true;
    law.wire_eof = true;
    if (!closes) {
        /* Who closes first decides what is still sent; here the relay does, as the client never
         * did. */
        law.down = down;
        law.down_len = w.down_len = test_hex_of(c, "down", down, sizeof(down));
        law.down_eof = true;
    }
    law.written = judge;
    law.arg = &w;
    test_bench_laws(&law);
}

static void test_captures_of_real_clients(void **state)
{
    (void)state;
    struct json_t *v = test_vectors("src/transport/ws/testdata/captures.json");
    const struct json_t *list = json_get(v, "captures");
    assert_int_equal(json_array_len(list), 8);
    for (size_t i = 0; i < json_array_len(list); i++)
        check_capture(json_at(list, i));
    json_unref(v);
}

/* ---- scripts --------------------------------------------------------------------------------- */

static uint8_t wire[60000], plain[60000], down[40000];

struct script {
    size_t wire, plain;
};

static void say(struct script *s, const void *data, size_t n)
{
    memcpy(wire + s->wire, data, n);
    s->wire += n;
}

static void say_data(struct script *s, uint8_t opcode, bool fin, size_t n)
{
    for (size_t i = 0; i < n; i++)
        plain[s->plain + i] = (uint8_t)((s->plain + i) * 31 >> 3);
    s->wire += frame(wire + s->wire, opcode, fin, plain + s->plain, n);
    s->plain += n;
}

/* Refused requests first, then frames of every shape: empty, fragmented with pings between, just
 * below and above what is copied, with long forms. */
static void test_every_shape_of_frame(void **state)
{
    (void)state;
    static const char refused[] = "GET /nothing HTTP/1.1\r\nHost: h.example\r\n\r\n";
    static const size_t sizes[] = {0, 1, 2, 125, 126, 127, 511, 512, 513, 4096};
    struct script s = {0};
    say(&s, refused, sizeof(refused) - 1);
    say(&s, REQUEST, strlen(REQUEST));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        say_data(&s, i % 2 ? WS_TEXT : WS_BINARY, true, sizes[i]);
    say_data(&s, WS_BINARY, false, 1000);
    s.wire += frame(wire + s.wire, WS_PING, true, "p", 1);
    say_data(&s, WS_CONTINUATION, false, 0);
    s.wire += frame(wire + s.wire, WS_PONG, true, "", 0);
    say_data(&s, WS_CONTINUATION, true, 3);
    for (size_t i = 0; i < sizeof(down); i++)
        down[i] = (uint8_t)(i * 13 >> 2);
    struct want w = {
        .answer = "HTTP/1.1 404 Not Found\r\nDate: Fri, 21 Nov 2025 11:54:07 GMT\r\n"
                  "Content-Length: 0\r\n\r\n" ANSWER101 "\r\n",
        .down = down,
        .down_len = 5000,
        .close_code = 1000,
        .pongs = true,
    };
    w.answer_len = strlen(w.answer);
    struct law_case c = {
        .stages = stages,
        .count = 1,
        .wire = wire,
        .wire_len = s.wire,
        .plain = plain,
        .plain_len = s.plain,
        .down = down,
        .down_len = 5000,
        .down_eof = true,
        .events = EV_READY,
        .written = judge,
        .arg = &w,
    };
    test_bench_laws(&c);
    /* Without the relay's end nothing closes. */
    w.close_code = 0;
    c.down_eof = false;
    test_bench_laws(&c);
}

static void test_bulk(void **state)
{
    (void)state;
    struct script s = {0};
    say(&s, REQUEST, strlen(REQUEST));
    say_data(&s, WS_BINARY, true, 30000);
    say_data(&s, WS_BINARY, true, 17000);
    struct want w = {.answer = ANSWER101 "\r\n", .down = down, .down_len = sizeof(down)};
    w.answer_len = strlen(w.answer);
    const struct law_case c = {
        .stages = stages,
        .count = 1,
        .wire = wire,
        .wire_len = s.wire,
        .wire_eof = true,
        .plain = plain,
        .plain_len = s.plain,
        .plain_eof = true,
        .down = down,
        .down_len = sizeof(down),
        .events = EV_READY,
        .runs = 8,
        .written = judge,
        .arg = &w,
    };
    test_bench_laws(&c);
}

static void test_errors_are_the_same_in_every_cut(void **state)
{
    (void)state;
    struct script s = {0};
    say(&s, REQUEST, strlen(REQUEST));
    say_data(&s, WS_BINARY, true, 700);
    say(&s, "\x82\x01x", 3);
    struct want w = {.answer = ANSWER101 "\r\n", .close_code = 1002};
    w.answer_len = strlen(w.answer);
    struct law_case c = {
        .stages = stages,
        .count = 1,
        .wire = wire,
        .wire_len = s.wire,
        .plain = plain,
        .plain_len = s.plain,
        .events = EV_READY,
        .end = ST_E_PROTO,
        .written = judge,
        .arg = &w,
    };
    test_bench_laws(&c);
    static const char bad[] = "GET /ws HTTP/1.1\nHost: h.example\r\n";
    w = (struct want){.answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; "
                                "charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"};
    w.answer_len = strlen(w.answer);
    c.wire = (const uint8_t *)bad;
    c.wire_len = sizeof(bad) - 1;
    c.plain_len = 0;
    c.events = 0;
    test_bench_laws(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captures_of_real_clients),
        cmocka_unit_test(test_every_shape_of_frame),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_errors_are_the_same_in_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
