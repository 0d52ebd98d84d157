#include "proto/vless/vision_filter.h"

#include "proto/vless/test_flow.h"

static uint64_t seed;

static int seed_again(void **state)
{
    (void)state;
    seed = 0x9e3779b97f4a7c15u;
    return 0;
}

static size_t down(struct vision_filter *f, const struct text *t)
{
    return vision_filter_down(f, t->p, t->len, true);
}

/* Xray-core looks at each piece alone; where a ServerHello is cut we know better. */
static bool cut_hello(const char *name)
{
    return strncmp(name, "sh split", 8) == 0;
}

static void decides_like_the_reference(void **state)
{
    struct json_t *all = vision_vectors();
    const struct json_t *list = json_get(all, "tls_filter");

    (void)state;
    assert_true(json_array_len(list) >= 8);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i), *packets = json_get(o, "packets");
        const char *name = json_get_str(o, "name", "");
        struct vision_filter f;

        vision_filter_init(&f);
        for (size_t k = 0; k < json_array_len(packets); k++) {
            struct text t = {0};
            text_hex(&t, json_str(json_at(packets, k)));
            if (k == 0 && json_array_len(packets) > 1)
                vision_filter_up(&f, t.p, t.len, true);
            else
                assert_int_equal(down(&f, &t), 0);
            text_free(&t);
        }
        bool tls13 = json_get_bool(o, "enable_xtls", false);
        assert_int_equal(f.tls, json_get_bool(o, "is_tls", false));
        assert_int_equal(f.server, json_get_bool(o, "is_tls12_or_above", false));
        assert_int_equal(f.tls13, tls13 || cut_hello(name));
        assert_int_equal(f.left, json_get_int(o, "packets_left", -1));
        int64_t cipher = json_get_int(o, "cipher", -1);
        if (cipher != 0)
            assert_int_equal(f.cipher, cipher);
    }
    json_unref(all);
}

static void a_server_hello_may_be_cut_anywhere(void **state)
{
    static const struct {
        bool tls13;
        uint16_t cipher;
        size_t sid, share;
        bool raw;
    } cases[] = {
        {true, 0x1301, 32, 36, true},  {true, 0x1302, 0, 1124, true}, {true, 0x1303, 32, 0, true},
        {true, 0x1304, 255, 36, true}, {true, 0x1305, 32, 36, false}, {true, 0xc02f, 32, 36, false},
        {false, 0xc02f, 32, 2, false}, {false, 0x1301, 0, 36, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text t = {0};
        flow_server_hello(&t, cases[i].tls13, cases[i].cipher, cases[i].sid, cases[i].share);
        size_t hello = t.len;
        flow_noise(&t, 20, 1, &seed);
        flow_noise(&t, 23, 30, &seed);
        for (size_t step = 1; step <= t.len; step++) {
            struct vision_filter f;
            size_t end = 0;

            vision_filter_init(&f);
            for (size_t at = 0; at < t.len; at += step) {
                size_t n = t.len - at < step ? t.len - at : step;
                size_t e = vision_filter_down(&f, t.p + at, n, true);
                if (at + n < hello)
                    assert_false(f.left == 0 && f.cipher == 0);
                end = e > 0 ? at + e : end;
            }
            assert_true(f.tls && f.server);
            assert_int_equal(f.tls13, cases[i].raw);
            assert_int_equal(f.cipher, cases[i].cipher);
            assert_int_equal(end, t.len);
            assert_false(vision_filter_gave_up(&f));
        }
        text_free(&t);
    }
}

static void tells_the_last_record_end(void **state)
{
    struct vision_filter f;
    struct text t = {0};

    (void)state;
    flow_server_hello(&t, true, 0x1301, 32, 36);
    flow_noise(&t, 20, 1, &seed);
    flow_noise(&t, 23, 300, &seed);
    flow_noise(&t, 23, 16640, &seed);
    size_t second = t.len;
    flow_noise(&t, 23, 100, &seed);
    vision_filter_init(&f);
    assert_int_equal(vision_filter_down(&f, t.p, second + 104, true), second);
    assert_int_equal(vision_filter_down(&f, t.p + second + 104, 1, true), 1);
    text_free(&t);
}

/* The second hello of a HelloRetryRequest is a record like any other. */
static void reads_on_behind_a_hello_retry_request(void **state)
{
    struct vision_filter f;
    struct text t = {0};

    (void)state;
    vision_filter_init(&f);
    flow_server_hello(&t, true, 0x1302, 32, 2);
    flow_noise(&t, 20, 1, &seed);
    assert_int_equal(down(&f, &t), 0);
    assert_true(f.tls13);
    text_free(&t);
    flow_server_hello(&t, true, 0x1302, 32, 36);
    flow_noise(&t, 23, 50, &seed);
    assert_int_equal(down(&f, &t), t.len);
    assert_true(f.tls13);
    text_free(&t);
}

static void a_hello_that_breaks_off_is_not_relayed_raw(void **state)
{
    struct text t = {0}, u = {0};
    struct vision_filter f;

    (void)state;
    flow_server_hello(&t, true, 0x1301, 32, 36);
    put_be16(t.p + 3, 60); /* the record ends inside the hello */
    t.len = 65;
    flow_noise(&t, 23, 50, &seed);
    vision_filter_init(&f);
    assert_int_equal(down(&f, &t), t.len);
    assert_true(f.server && !f.tls13);

    t.len = 0; /* the other half comes, but something else came between */
    flow_server_hello(&t, true, 0x1301, 32, 36);
    flow_record(&u, 22, t.p + 5, 60);
    flow_record(&u, 20, "\1", 1);
    flow_record(&u, 22, t.p + 65, t.len - 65);
    vision_filter_init(&f);
    assert_int_equal(down(&f, &u), 0);
    assert_true(f.server && !f.tls13 && f.left == 0);
    text_free(&u);

    text_free(&t);
    flow_server_hello(&t, true, 0x1301, 32, 36);
    size_t hello = t.len;
    flow_noise(&t, 23, 50, &seed);
    text_add(&u, t.p, t.len);
    text_add(&u, "no record", 9);
    vision_filter_init(&f);
    assert_int_equal(down(&f, &u), 0); /* a record ends here, but what follows is none */
    assert_true(vision_filter_gave_up(&f));

    t.p[hello - 6 + 5] = 3; /* supported_versions says TLS 1.2 */
    t.p[hello - 1] = 3;
    vision_filter_init(&f);
    assert_int_equal(down(&f, &t), t.len);
    assert_false(f.tls13);

    t.p[6] = 0xff; /* a message longer than any */
    vision_filter_init(&f);
    (void)down(&f, &t);
    assert_false(f.tls13);
    text_free(&t);
    text_free(&u);
}

/* A hello may come in several records (RFC 8446 section 5.1). */
static void a_hello_may_span_records(void **state)
{
    struct text t = {0}, u = {0};
    struct vision_filter f;

    (void)state;
    flow_server_hello(&t, true, 0x1303, 32, 36);
    for (size_t at = 5; at < t.len; at += 40)
        flow_record(&u, 22, t.p + at, t.len - at < 40 ? t.len - at : 40);
    vision_filter_init(&f);
    assert_int_equal(down(&f, &u), 0);
    assert_true(f.tls13);
    text_free(&t);
    text_free(&u);
}

static void gives_up_after_eight_pieces(void **state)
{
    struct vision_filter f;

    (void)state;
    vision_filter_init(&f);
    for (int i = 0; i < VISION_FILTER_PIECES - 1; i++) {
        assert_false(vision_filter_gave_up(&f));
        if (i % 2 == 0)
            vision_filter_up(&f, (const uint8_t *)"HELO", 4, true);
        else
            assert_int_equal(vision_filter_down(&f, (const uint8_t *)"250 ", 4, true), 0);
        assert_int_equal(vision_filter_down(&f, NULL, 0, true), 0); /* empty ones do not count */
        assert_int_equal(vision_filter_down(&f, (const uint8_t *)"x", 1, false), 0); /* nor rests */
    }
    assert_true(vision_filter_gave_up(&f));
    assert_false(f.tls);
}

/* STARTTLS: the hellos come after some plain lines, and in small pieces. */
static void finds_tls_behind_plain_lines(void **state)
{
    struct vision_filter f;
    struct text ch = {0}, sh = {0};

    (void)state;
    vision_filter_init(&f);
    for (int i = 0; i < 2; i++) {
        (void)vision_filter_down(&f, (const uint8_t *)"220 ok\r\n", 8, true);
        vision_filter_up(&f, (const uint8_t *)"STARTTLS\r\n", 10, true);
    }
    (void)vision_filter_down(&f, (const uint8_t *)"220 go\r\n", 8, true);
    flow_client_hello(&ch, 1700, &seed);
    for (size_t i = 0; i < ch.len; i++)
        vision_filter_up(&f, ch.p + i, 1, true);
    assert_true(f.tls);
    assert_int_equal(f.left, 2); /* one hello, one piece, however it comes */
    flow_server_hello(&sh, true, 0x1301, 32, 36);
    for (size_t i = 0; i < sh.len; i++)
        (void)vision_filter_down(&f, sh.p + i, 1, true);
    assert_true(f.tls13);
    text_free(&ch);
    text_free(&sh);
}

/* The beginning of a hello that turns out to be none must not hide the one behind it. */
static void looks_again_after_a_false_start(void **state)
{
    struct vision_filter f;
    struct text sh = {0};

    (void)state;
    flow_server_hello(&sh, true, 0x1301, 32, 36);
    vision_filter_init(&f);
    (void)vision_filter_down(&f, (const uint8_t *)"\x16\x03\x03", 3, true);
    (void)down(&f, &sh);
    assert_true(f.tls13);

    vision_filter_init(&f);
    (void)vision_filter_down(&f, (const uint8_t *)"ab", 2, true);
    (void)vision_filter_down(&f, sh.p, sh.len, false); /* in the middle of a piece: payload */
    assert_false(f.server);
    text_free(&sh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides_like_the_reference),
        cmocka_unit_test_setup(a_server_hello_may_be_cut_anywhere, seed_again),
        cmocka_unit_test_setup(tells_the_last_record_end, seed_again),
        cmocka_unit_test_setup(reads_on_behind_a_hello_retry_request, seed_again),
        cmocka_unit_test_setup(a_hello_that_breaks_off_is_not_relayed_raw, seed_again),
        cmocka_unit_test_setup(a_hello_may_span_records, seed_again),
        cmocka_unit_test(gives_up_after_eight_pieces),
        cmocka_unit_test_setup(finds_tls_behind_plain_lines, seed_again),
        cmocka_unit_test_setup(looks_again_after_a_false_start, seed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
