#include "proto/vless/vision_frame.h"

#include "proto/vless/vision_filter.h"
#include "proto/vless/test_flow.h"

struct bench {
    struct pool *pool;
    struct vision_frame f;
    struct vision_filter filter;
    struct bufq in, up;
    struct text got;
};

static void open_bench(struct bench *b, const uint8_t uuid[UUID_LEN])
{
    memset(b, 0, sizeof(*b));
    b->pool = pool_new(0);
    assert_non_null(b->pool);
    vision_frame_init(&b->f, uuid);
    vision_filter_init(&b->filter);
    bufq_init(&b->in, UINT32_MAX);
    bufq_init(&b->up, UINT32_MAX);
}

static void close_bench(struct bench *b)
{
    bufq_clear(&b->in, b->pool);
    bufq_clear(&b->up, b->pool);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
    text_free(&b->got);
}

static enum status feed(struct bench *b, const void *p, size_t n)
{
    assert_int_equal(bufq_put(&b->in, p, n, b->pool), ST_OK);
    enum status st = vision_frame_rx(&b->f, &b->filter, b->pool, &b->in, &b->up);
    text_drain(&b->got, &b->up, b->pool);
    return st;
}

static void add_block(struct text *t, uint8_t command, const void *content, size_t n,
                      size_t padding)
{
    static const uint8_t zeros[65535];
    uint8_t head[VISION_HEAD] = {command};

    put_be16(head + 1, (uint16_t)n);
    put_be16(head + 3, (uint16_t)padding);
    text_add(t, head, sizeof(head));
    text_add(t, content, n);
    text_add(t, zeros, padding);
}

static void assert_got(const struct bench *b, const void *want, size_t n)
{
    assert_int_equal(b->got.len, n);
    if (n > 0)
        assert_memory_equal(b->got.p, want, n);
}

static enum vision_mode mode_of(const char *name)
{
    return strcmp(name, "direct") == 0  ? VISION_DIRECT
           : strcmp(name, "plain") == 0 ? VISION_PLAIN
                                        : VISION_PADDED;
}

/* Blocks that Xray-core made, each alone, the second with the first in front of it. */
static void reads_the_blocks_of_the_reference(void **state)
{
    struct json_t *all = vision_vectors();
    const struct json_t *list = json_get(all, "padding_frames");

    (void)state;
    assert_true(json_array_len(list) >= 4);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        static const enum vision_mode modes[] = {VISION_PADDED, VISION_PLAIN, VISION_DIRECT};
        struct text wire = {0}, want = {0};
        struct bench b;

        open_bench(&b, vision_uuid);
        if (!json_get_bool(o, "uuid_prefix", false))
            text_add(&wire, vision_uuid, UUID_LEN);
        text_hex(&wire, json_get_str(o, "frame", ""));
        text_hex(&want, json_get_str(o, "content", ""));
        assert_int_equal(feed(&b, wire.p, wire.len), ST_OK);
        assert_got(&b, want.p, want.len);
        assert_int_equal(b.f.mode, modes[json_get_int(o, "command", 0)]);
        close_bench(&b);
        text_free(&wire);
        text_free(&want);
    }
    json_unref(all);
}

/* Sessions of real clients and servers, record by record as they came and cut at random. */
static void reads_live_sessions(void **state)
{
    struct json_t *all = vision_vectors();
    const struct json_t *list = json_get(all, "live");
    uint64_t seed = 12345;

    (void)state;
    assert_true(json_array_len(list) >= 10);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i), *records = json_get(o, "records");
        struct text wire = {0}, want = {0};
        uint8_t uuid[UUID_LEN];
        struct bench b;

        assert_int_equal(hex_decode(uuid, json_get_str(o, "uuid", ""), 32), ST_OK);
        text_hex(&want, json_get_str(o, "payload", ""));
        open_bench(&b, uuid);
        for (size_t k = 0; k < json_array_len(records); k++) {
            size_t at = wire.len;
            text_hex(&wire, json_str(json_at(records, k)));
            if (wire.len > at)
                assert_true(feed(&b, wire.p + at, wire.len - at) >= 0);
            /* command 2 ends with its record, in all of them */
            assert_true(b.f.mode != VISION_DIRECT || k + 1 == json_array_len(records));
        }
        assert_got(&b, want.p, want.len);
        assert_int_equal(b.f.mode, mode_of(json_get_str(o, "mode", "")));
        assert_int_equal(b.in.bytes, 0);
        close_bench(&b);
        for (int run = 0; run < 20; run++) {
            open_bench(&b, uuid);
            for (size_t at = 0; at < wire.len;) {
                size_t n = 1 + dice(&seed, run == 0 ? 1 : 1500);
                n = n < wire.len - at ? n : wire.len - at;
                assert_true(feed(&b, wire.p + at, n) >= 0);
                at += n;
            }
            assert_got(&b, want.p, want.len);
            assert_int_equal(b.f.mode, mode_of(json_get_str(o, "mode", "")));
            close_bench(&b);
        }
        text_free(&wire);
        text_free(&want);
    }
    json_unref(all);
}

/* uuid, three blocks, an end, and what follows it */
static void make_script(struct text *t, uint8_t command, struct text *want)
{
    uint8_t body[3000];

    memset(body, 'b', sizeof(body));
    text_add(t, vision_uuid, UUID_LEN);
    add_block(t, 0, "hello", 5, 7);
    add_block(t, 0, NULL, 0, 900);
    add_block(t, 0, body, sizeof(body), 0);
    add_block(t, 0, NULL, 0, 0);
    add_block(t, command, "last", 4, 300);
    text_add(t, "behind", 6);
    text_add(want, "hello", 5);
    text_add(want, body, sizeof(body));
    text_add(want, "last", 4);
}

static void eats_exactly_the_block_of_a_switch(void **state)
{
    struct text wire = {0}, want = {0};

    (void)state;
    make_script(&wire, VISION_SWITCH, &want);
    for (size_t cut = 0; cut <= wire.len; cut++) {
        struct bench b;
        char rest[16];

        open_bench(&b, vision_uuid);
        assert_true(feed(&b, wire.p, cut) >= 0);
        assert_int_equal(b.f.mode == VISION_DIRECT, cut >= wire.len - 6);
        assert_int_equal(feed(&b, wire.p + cut, wire.len - cut), ST_OK);
        assert_int_equal(b.f.mode, VISION_DIRECT);
        assert_got(&b, want.p, want.len);
        assert_int_equal(bufq_peek(&b.in, rest, sizeof(rest)), 6);
        assert_memory_equal(rest, "behind", 6);
        close_bench(&b);
    }
    text_free(&wire);
    text_free(&want);
}

static void goes_on_plain_after_an_end(void **state)
{
    struct text wire = {0}, want = {0};
    struct bench b;

    (void)state;
    make_script(&wire, VISION_END, &want);
    text_add(&want, "behind", 6);
    for (size_t step = 1; step < 40; step++) {
        open_bench(&b, vision_uuid);
        for (size_t at = 0; at < wire.len; at += step)
            assert_true(feed(&b, wire.p + at, wire.len - at < step ? wire.len - at : step) >= 0);
        assert_int_equal(b.f.mode, VISION_PLAIN);
        /* a second uuid means nothing */
        assert_int_equal(feed(&b, vision_uuid, UUID_LEN), ST_OK);
        assert_int_equal(b.got.len, want.len + UUID_LEN);
        b.got.len = want.len;
        assert_got(&b, want.p, want.len);
        close_bench(&b);
    }
    text_free(&wire);
    text_free(&want);
}

static void takes_what_has_no_uuid_as_it_is(void **state)
{
    struct bench b;

    (void)state;
    for (size_t same = 0; same < UUID_LEN; same++) {
        uint8_t wire[UUID_LEN + 8];

        memcpy(wire, vision_uuid, UUID_LEN);
        memset(wire + UUID_LEN, 0, 8);
        wire[same] ^= 1;
        open_bench(&b, vision_uuid);
        for (size_t i = 0; i < sizeof(wire); i++) {
            assert_int_equal(feed(&b, wire + i, 1), i < same ? ST_MORE : ST_OK);
            assert_int_equal(b.got.len, i < same ? 0 : i + 1);
        }
        assert_int_equal(b.f.mode, VISION_PLAIN);
        assert_got(&b, wire, sizeof(wire));
        close_bench(&b);

        /* the client ends while it is still undecided */
        open_bench(&b, vision_uuid);
        b.in.eof = true;
        assert_int_equal(feed(&b, vision_uuid, same), ST_OK);
        assert_got(&b, vision_uuid, same);
        close_bench(&b);
    }
}

static void refuses_unknown_commands(void **state)
{
    (void)state;
    for (unsigned command = 3; command < 256; command++) {
        struct text wire = {0};
        struct bench b;

        open_bench(&b, vision_uuid);
        text_add(&wire, vision_uuid, UUID_LEN);
        add_block(&wire, 0, "a", 1, 1);
        add_block(&wire, (uint8_t)command, "b", 1, 1);
        assert_int_equal(feed(&b, wire.p, wire.len), ST_E_PROTO);
        assert_got(&b, "a", 1);
        text_free(&wire);
        close_bench(&b);
    }
}

static void waits_for_room(void **state)
{
    struct text wire = {0}, want = {0};
    struct bench b;

    (void)state;
    make_script(&wire, VISION_END, &want);
    text_add(&want, "behind", 6);
    open_bench(&b, vision_uuid);
    b.up.cap = 1;
    assert_int_equal(bufq_put(&b.in, wire.p, wire.len, b.pool), ST_OK);
    for (int turns = 0;; turns++) {
        enum status st = vision_frame_rx(&b.f, &b.filter, b.pool, &b.in, &b.up);
        uint32_t held = b.up.bytes;
        assert_true(turns < 100);
        if (st == ST_OK)
            break;
        assert_int_equal(st, ST_FULL);
        assert_int_equal(vision_frame_rx(&b.f, &b.filter, b.pool, &b.in, &b.up), ST_FULL);
        assert_int_equal(b.up.bytes, held);
        text_drain(&b.got, &b.up, b.pool);
    }
    text_drain(&b.got, &b.up, b.pool);
    assert_got(&b, want.p, want.len);
    close_bench(&b);
    text_free(&wire);
    text_free(&want);
}

static void survives_any_failing_allocation(void **state)
{
    struct text wire = {0}, want = {0};
    bool failed = true;

    (void)state;
    make_script(&wire, VISION_SWITCH, &want);
    for (unsigned nth = 1; failed; nth++) {
        struct bench b;

        open_bench(&b, vision_uuid);
        assert_int_equal(bufq_put(&b.in, wire.p, wire.len, b.pool), ST_OK);
        pool_fail_after(b.pool, nth, true);
        enum status st = vision_frame_rx(&b.f, &b.filter, b.pool, &b.in, &b.up);
        failed = st == ST_E_NOMEM;
        assert_true(failed || st == ST_OK);
        assert_true(nth > 1 || failed);
        close_bench(&b);
    }
    text_free(&wire);
    text_free(&want);
}

static void copies_no_payload(void **state)
{
    struct bench b;
    uint8_t head[UUID_LEN + VISION_HEAD] = {0};

    (void)state;
    open_bench(&b, vision_uuid);
    struct span *s = span_new(b.pool);
    assert_non_null(s);
    memcpy(head, vision_uuid, UUID_LEN);
    put_be16(head + UUID_LEN + 1, 12000);
    memset(span_data(s), 7, 14000);
    memcpy(span_data(s), head, sizeof(head));
    s->len = sizeof(head) + 6000;
    const uint8_t *payload = span_data(s) + sizeof(head);
    bufq_push(&b.in, s);
    assert_int_equal(vision_frame_rx(&b.f, &b.filter, b.pool, &b.in, &b.up), ST_OK);
    assert_int_equal(b.up.bytes, 6000);
    assert_ptr_equal(span_data(b.up.head), payload);
    close_bench(&b);
}

static void shows_the_payload_to_the_filter(void **state)
{
    struct text wire = {0}, hello = {0};
    uint64_t seed = 77;
    struct bench b;

    (void)state;
    flow_client_hello(&hello, 600, &seed);
    text_add(&wire, vision_uuid, UUID_LEN);
    add_block(&wire, 0, hello.p, 300, 100); /* blocks and the hello share no edges */
    add_block(&wire, 0, hello.p + 300, hello.len - 300, 9);
    open_bench(&b, vision_uuid);
    for (size_t i = 0; i < wire.len; i++)
        assert_true(feed(&b, wire.p + i, 1) >= 0);
    assert_true(b.filter.tls);
    assert_int_equal(b.filter.left, VISION_FILTER_PIECES - 1);
    assert_int_equal(vision_frame_rx(&b.f, NULL, b.pool, &b.in, &b.up), ST_OK);
    close_bench(&b);

    /* in the middle of a block it is payload, also where a record of the outer TLS begins */
    struct text content = {0};
    text_add(&content, "abc", 3);
    text_add(&content, hello.p, hello.len);
    wire.len = UUID_LEN;
    add_block(&wire, 0, content.p, content.len, 0);
    open_bench(&b, vision_uuid);
    size_t cut = UUID_LEN + VISION_HEAD + 3;
    assert_int_equal(feed(&b, wire.p, cut), ST_OK);
    assert_int_equal(feed(&b, wire.p + cut, wire.len - cut), ST_OK);
    assert_false(b.filter.tls);
    assert_int_equal(b.got.len, content.len);
    close_bench(&b);
    text_free(&content);
    text_free(&wire);
    text_free(&hello);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_blocks_of_the_reference),
        cmocka_unit_test(reads_live_sessions),
        cmocka_unit_test(eats_exactly_the_block_of_a_switch),
        cmocka_unit_test(goes_on_plain_after_an_end),
        cmocka_unit_test(takes_what_has_no_uuid_as_it_is),
        cmocka_unit_test(refuses_unknown_commands),
        cmocka_unit_test(waits_for_room),
        cmocka_unit_test(survives_any_failing_allocation),
        cmocka_unit_test(copies_no_payload),
        cmocka_unit_test(shows_the_payload_to_the_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
