#include "proto/vless/vision_pad.h"

#include "crypto/rng.h"
#include "proto/vless/vision_filter.h"
#include "proto/vless/test_flow.h"

/* The downlink of one connection: what the relay gives, the blocks, and a receiver. */
struct bench {
    struct pool *pool;
    struct rng rng;
    struct vision_pad pad;
    struct vision_filter filter;
    struct bufq down, out;
    struct vision_frame frame;
    struct bufq in, up;
    struct text got; /* payload, in the end with the raw bytes */
    size_t blocks, switched_at;
};

static void open_bench(struct bench *b, bool may_switch)
{
    memset(b, 0, sizeof(*b));
    b->pool = pool_new(0);
    assert_non_null(b->pool);
    assert_int_equal(rng_init(&b->rng), ST_OK);
    vision_pad_init(&b->pad, vision_uuid, may_switch);
    vision_filter_init(&b->filter);
    vision_frame_init(&b->frame, vision_uuid);
    bufq_init(&b->down, UINT32_MAX);
    bufq_init(&b->out, UINT32_MAX);
    bufq_init(&b->in, UINT32_MAX);
    bufq_init(&b->up, UINT32_MAX);
}

static void close_bench(struct bench *b)
{
    bufq_clear(&b->down, b->pool);
    bufq_clear(&b->out, b->pool);
    bufq_clear(&b->in, b->pool);
    bufq_clear(&b->up, b->pool);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
    text_free(&b->got);
}

static void add_span(struct bench *b, struct bufq *q, const void *p, size_t n)
{
    struct span *s = span_new(b->pool);

    assert_non_null(s);
    assert_true(n <= BLK_DATA);
    if (n > 0)
        memcpy(span_data(s), p, n);
    s->len = (uint32_t)n;
    bufq_push(q, s);
}

static enum status pad(struct bench *b)
{
    return vision_pad_tx(&b->pad, &b->filter, &b->rng, b->pool, &b->down, &b->out);
}

/* Gives the receiver what was made, as records: a span that begins one ends the one before it.
 * Keeps the laws that every block obeys. */
static void receive(struct bench *b)
{
    struct span *s;

    while ((s = bufq_pop(&b->out)) != NULL) {
        bool block = b->frame.mode == VISION_PADDED;
        if (block) {
            uint32_t lead = b->blocks == 0 ? VISION_RESPONSE : 0;
            const uint8_t *p = span_data(s) + lead + (b->blocks == 0 ? UUID_LEN : 0);
            assert_true(s->flags & SPAN_EDGE);
            assert_int_equal((s->flags & SPAN_ALONE) != 0, p[0] == VISION_SWITCH);
            assert_true(s->len - lead <= VISION_BLOCK_MAX);
            if (lead > 0)
                assert_memory_equal(span_data(s), "\0\0", VISION_RESPONSE);
            /* one block, whole, and zeros for padding */
            size_t content = get_be16(p + 1), padding = get_be16(p + 3);
            assert_int_equal(p + VISION_HEAD + content + padding - span_data(s), s->len);
            for (size_t i = 0; i < padding; i++)
                assert_int_equal(p[VISION_HEAD + content + i], 0);
            s->off += lead;
            s->len -= lead;
            b->blocks++;
        }
        bufq_push(&b->in, s);
        assert_int_equal(vision_frame_rx(&b->frame, NULL, b->pool, &b->in, &b->up), ST_OK);
        text_drain(&b->got, &b->up, b->pool);
        assert_int_equal(b->in.bytes, 0);
    }
    assert_int_equal(b->frame.mode, b->pad.mode);
}

/* The client's Finished, if there is a ServerHello to finish. */
static void client_answers(struct bench *b)
{
    if (b->filter.server)
        vision_filter_up(&b->filter, (const uint8_t *)"\x14\x03\x03\x00\x01\x01", 6, true);
}

/* ---- the reference's own writes -------------------------------------------------------------- */

static void check_step(struct bench *b, const struct json_t *step)
{
    const struct json_t *in = json_get(step, "in"), *out = json_get(step, "out");
    bool was_padded = b->pad.mode == VISION_PADDED;
    size_t content = 0;
    int64_t command = -1;

    for (size_t i = 0; i < json_array_len(in); i++) {
        struct text t = {0};
        text_hex(&t, json_str(json_at(in, i)));
        add_span(b, &b->down, t.p, t.len);
        text_free(&t);
    }
    assert_int_equal(pad(b), ST_OK);
    client_answers(b);
    assert_int_equal(b->pad.mode == VISION_PADDED, json_get_bool(step, "is_padding_after", false));
    assert_int_equal(b->pad.mode == VISION_DIRECT,
                     json_get_bool(step, "direct_after_this_write", false));
    if (was_padded) {
        assert_int_equal(b->filter.left, json_get_int(step, "filter_left", -1));
        for (size_t i = 0; i < json_array_len(out); i++) {
            content += (size_t)json_get_int(json_at(out, i), "content_len", 0);
            command = json_get_int(json_at(out, i), "command", -1);
        }
        /* several pieces in one turn make one block here */
        const struct span *s = b->out.head;
        const uint8_t *p = span_data(s) + (b->blocks == 0 ? VISION_RESPONSE + UUID_LEN : 0);
        assert_int_equal(b->out.count, 1);
        assert_int_equal(p[0], command);
        assert_int_equal(get_be16(p + 1), content);
        size_t most = b->filter.tls && content < 900 ? 1400 - content : 256;
        size_t least = b->filter.tls && content < 900 ? 900 - content : 0;
        assert_in_range(get_be16(p + 3), least, most - 1);
    }
    receive(b);
}

static void writes_like_the_reference(void **state)
{
    struct json_t *all = vision_vectors();
    const struct json_t *list = json_get(all, "downlink_writer_transcripts");

    (void)state;
    assert_int_equal(json_array_len(list), 4);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *t = json_at(list, i), *steps = json_get(t, "steps");
        bool plain = strncmp(json_get_str(t, "name", ""), "plain", 5) == 0;
        struct bench b;

        open_bench(&b, true);
        if (plain)
            vision_filter_up(&b.filter, (const uint8_t *)"GET", 3, true);
        for (size_t k = 0; k < json_array_len(steps); k++) {
            /* where reads do not end with records we need not wait until one does */
            if (strstr(json_get_str(t, "name", ""), "incomplete") != NULL && k == 1)
                break;
            check_step(&b, json_at(steps, k));
        }
        close_bench(&b);
    }
    json_unref(all);
}

/* ---- whole connections ----------------------------------------------------------------------- */

enum kind { KIND_TLS13, KIND_TLS13_RETRY, KIND_TLS12, KIND_SUITE, KIND_PLAIN, KINDS };

/* A downlink and the places where raw bytes may begin. */
struct flow {
    enum kind kind;
    struct text t;
    uint8_t *ends; /* [offset]: an application data record ends here */
    size_t last;   /* the last record begins here */
};

static size_t record_size(uint64_t *seed)
{
    switch (dice(seed, 4)) {
    case 0:
        return 1 + dice(seed, 40);
    case 1:
        return 1 + dice(seed, 1400);
    case 2:
        return 16401;
    default:
        return 1 + dice(seed, 16401);
    }
}

static void make_flow(struct flow *f, enum kind kind, uint64_t *seed)
{
    size_t ends[64], n = 0;

    memset(f, 0, sizeof(*f));
    f->kind = kind;
    if (kind == KIND_PLAIN) {
        static uint8_t page[70000];
        memset(page, 'p', sizeof(page));
        text_add(&f->t, page, sizeof(page));
    } else {
        bool tls13 = kind != KIND_TLS12;
        uint16_t suite = kind == KIND_TLS12 ? 0xc02f : kind == KIND_SUITE ? 0x1305 : 0x1303;
        if (kind == KIND_TLS13_RETRY) {
            flow_server_hello(&f->t, true, suite, 32, 2);
            flow_noise(&f->t, 20, 1, seed);
        }
        flow_server_hello(&f->t, tls13, suite, 32, dice(seed, 2) ? 36 : 1124);
        if (kind == KIND_TLS12) {
            flow_noise(&f->t, 22, 1 + dice(seed, 9000), seed);
            flow_noise(&f->t, 22, 4, seed);
        }
        flow_noise(&f->t, 20, 1, seed);
        if (kind == KIND_TLS12)
            flow_noise(&f->t, 22, 40, seed);
        for (unsigned i = 2 + dice(seed, 8); i-- > 0;) {
            f->last = f->t.len;
            flow_noise(&f->t, 23, record_size(seed), seed);
            ends[n++] = f->t.len;
        }
    }
    f->ends = calloc(1, f->t.len + 1);
    assert_non_null(f->ends);
    while (n > 0)
        f->ends[ends[--n]] = 1;
}

static void free_flow(struct flow *f)
{
    text_free(&f->t);
    free(f->ends);
}

/* Puts @n bytes into the down queue: in a span of their own, in one whose blk a second view holds
 * (and checks in the end), or at the end of the span before. */
static void give(struct bench *b, const uint8_t *p, size_t n, uint64_t *seed, struct bufq *held)
{
    switch (dice(seed, 3)) {
    case 0:
        assert_int_equal(bufq_put(&b->down, p, n, b->pool), ST_OK);
        break;
    case 1:
        add_span(b, &b->down, p, n);
        break;
    default:
        add_span(b, &b->down, p, n);
        struct span *second = span_share(b->pool, b->down.tail);
        assert_non_null(second);
        bufq_push(held, second);
        add_span(b, &b->down, NULL, 0); /* and an empty one, which means nothing */
    }
}

static void after_switch(struct bench *b)
{
    if (b->pad.mode != VISION_DIRECT)
        return;
    if (b->switched_at == 0)
        b->switched_at = b->got.len;
    text_drain(&b->got, &b->down, b->pool);
}

/* Sends @f in pieces of up to @most bytes and receives it. The client answers at some time, at the
 * latest in front of the last record. */
static void run_flow(struct bench *b, const struct flow *f, uint32_t most, bool full,
                     uint64_t *seed)
{
    struct bufq held;
    struct text kept = {0}, now = {0};

    bufq_init(&held, UINT32_MAX);
    b->out.cap = full ? 1 : UINT32_MAX;
    for (size_t at = 0; at < f->t.len;) {
        size_t n = 1 + dice(seed, most);
        size_t end = at < f->last ? f->last : f->t.len;
        n = n < end - at ? n : end - at;
        size_t before = held.bytes;
        give(b, f->t.p + at, n, seed, &held);
        if (held.bytes != before)
            text_add(&kept, f->t.p + at, n);
        at += n;
        if (dice(seed, 3) == 0 && at < f->t.len && at != f->last)
            continue;
        while (pad(b) == ST_FULL) {
            assert_int_equal(b->out.count, 1);
            receive(b);
        }
        receive(b);
        after_switch(b);
        assert_int_equal(b->down.bytes, 0);
        if (dice(seed, 8) == 0 || at == f->last)
            client_answers(b);
    }
    text_drain(&now, &held, b->pool);
    assert_int_equal(now.len, kept.len);
    if (kept.len > 0)
        assert_memory_equal(now.p, kept.p, kept.len); /* nobody wrote into a shared blk */
    text_free(&now);
    text_free(&kept);
}

static void check_flow(struct bench *b, const struct flow *f)
{
    assert_int_equal(b->got.len, f->t.len);
    assert_memory_equal(b->got.p, f->t.p, f->t.len);
    if (f->kind == KIND_TLS13 || f->kind == KIND_TLS13_RETRY) {
        assert_int_equal(b->pad.mode, VISION_DIRECT);
        assert_true(f->ends[b->switched_at]);
    } else {
        assert_int_equal(b->pad.mode, VISION_PLAIN);
    }
}

static void every_connection_arrives_whole(void **state)
{
    static const uint32_t pieces[] = {1, 7, 900, 1460, 8192, BLK_DATA};
    uint64_t seed = 0xfeedface;

    (void)state;
    for (unsigned run = 0; run < 40; run++) {
        for (unsigned kind = 0; kind < KINDS; kind++) {
            uint32_t most = pieces[run % (sizeof(pieces) / sizeof(pieces[0]))];
            struct flow f;
            struct bench b;

            if (most == 1 && run > 6)
                continue; /* once is enough */
            make_flow(&f, (enum kind)kind, &seed);
            open_bench(&b, true);
            run_flow(&b, &f, most, run % 2 == 0, &seed);
            check_flow(&b, &f);
            close_bench(&b);
            free_flow(&f);
        }
    }
}

/* The server's flight goes in blocks; what comes behind the client's answer is cut at once. */
static void switches_right_behind_the_handshake(void **state)
{
    struct text t = {0};
    uint64_t seed = 5;
    struct bench b;

    (void)state;
    open_bench(&b, true);
    flow_server_hello(&t, true, 0x1301, 32, 36);
    flow_noise(&t, 20, 1, &seed);
    for (int i = 0; i < 4; i++)
        flow_noise(&t, 23, 700, &seed);
    add_span(&b, &b.down, t.p, 1000);
    add_span(&b, &b.down, t.p + 1000, t.len - 1000);
    assert_int_equal(pad(&b), ST_OK);
    receive(&b);
    assert_int_equal(b.pad.mode, VISION_PADDED);
    assert_int_equal(b.got.len, t.len);

    client_answers(&b);
    size_t flight = t.len;
    flow_noise(&t, 23, 250, &seed); /* tickets */
    flow_noise(&t, 23, 250, &seed);
    size_t tickets = t.len;
    text_add(&t, "\x17\x03\x03", 3); /* the next record's first bytes come along */
    add_span(&b, &b.down, t.p + flight, t.len - flight);
    assert_int_equal(pad(&b), ST_OK);
    assert_int_equal(b.pad.mode, VISION_DIRECT);
    assert_int_equal(b.down.bytes, 3);
    receive(&b);
    assert_int_equal(b.blocks, 2);
    assert_int_equal(b.got.len, tickets);
    add_span(&b, &b.down, "x", 1);
    assert_int_equal(pad(&b), ST_OK); /* raw bytes are not ours */
    assert_int_equal(b.down.bytes, 4);
    assert_true(bufq_empty(&b.out));
    close_bench(&b);
    text_free(&t);
}

/* A client who has switched, or sends no blocks, shows us no more: nothing to wait for. */
static void does_not_wait_for_an_uplink_it_cannot_see(void **state)
{
    struct text t = {0}, wire[2] = {{0}, {0}};
    uint64_t seed = 8;

    (void)state;
    flow_server_hello(&t, true, 0x1301, 32, 36);
    flow_noise(&t, 23, 700, &seed);
    text_add(&wire[0], "GET /", 5);
    text_add(&wire[1], vision_uuid, UUID_LEN);
    text_add(&wire[1], "\x02\0\0\0\0", VISION_HEAD);
    for (size_t i = 0; i < 2; i++) {
        struct vision_frame up;
        struct bench b;

        open_bench(&b, true);
        vision_frame_init(&up, vision_uuid);
        add_span(&b, &b.in, wire[i].p, wire[i].len);
        assert_int_equal(vision_frame_rx(&up, &b.filter, b.pool, &b.in, &b.up), ST_OK);
        bufq_clear(&b.up, b.pool);
        add_span(&b, &b.down, t.p, t.len);
        assert_int_equal(pad(&b), ST_OK);
        assert_int_equal(b.pad.mode, VISION_DIRECT);
        receive(&b);
        close_bench(&b);
        text_free(&wire[i]);
    }
    text_free(&t);
}

/* Reads that never end where a record does: Xray-core would pad to the end. */
static void switches_though_reads_never_align(void **state)
{
    struct text t = {0};
    uint64_t seed = 6;
    struct bench b;

    (void)state;
    open_bench(&b, true);
    flow_server_hello(&t, true, 0x1302, 32, 36);
    flow_noise(&t, 20, 1, &seed);
    flow_noise(&t, 23, 3000, &seed);
    size_t end = t.len;
    flow_noise(&t, 23, 3000, &seed);
    for (size_t at = 0; at < t.len && b.pad.mode == VISION_PADDED; at += 1000) {
        add_span(&b, &b.down, t.p + at, 1000 < t.len - at ? 1000 : t.len - at);
        client_answers(&b);
        assert_int_equal(pad(&b), ST_OK);
        receive(&b);
    }
    assert_int_equal(b.pad.mode, VISION_DIRECT);
    assert_int_equal(b.got.len, end);
    close_bench(&b);
    text_free(&t);
}

static void never_switches_where_it_may_not(void **state)
{
    struct text t = {0};
    uint64_t seed = 7;
    struct bench b;

    (void)state;
    open_bench(&b, false);
    flow_server_hello(&t, true, 0x1301, 32, 36);
    flow_noise(&t, 23, 100, &seed);
    add_span(&b, &b.down, t.p, t.len);
    assert_int_equal(pad(&b), ST_OK);
    assert_int_equal(b.pad.mode, VISION_PLAIN);
    receive(&b);
    assert_int_equal(b.got.len, t.len);
    close_bench(&b);

    /* application data without a ServerHello is payload like any other */
    open_bench(&b, true);
    t.len = 0;
    for (int i = 0; i < 20; i++) {
        t.len = 0;
        flow_noise(&t, 23, 100, &seed);
        add_span(&b, &b.down, t.p, t.len);
        assert_int_equal(pad(&b), ST_OK);
        assert_true(b.pad.mode != VISION_DIRECT);
        receive(&b);
    }
    assert_int_equal(b.pad.mode, VISION_PLAIN);
    close_bench(&b);
    text_free(&t);
}

static void plain_streams_end_after_six_writes(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, true);
    vision_filter_up(&b.filter, (const uint8_t *)"GET / HTTP/1.1", 14, true);
    for (int i = 0; i < 8; i++) {
        add_span(&b, &b.down, "data", 4);
        assert_int_equal(pad(&b), ST_OK);
        if (i == 6)
            assert_int_equal(b.out.head->flags,
                             SPAN_EDGE); /* no plain byte in the block's record */
        else if (i > 6)
            assert_int_equal(b.out.head->flags, 0);
        receive(&b);
    }
    assert_int_equal(b.blocks, 6);
    assert_int_equal(b.got.len, 32);
    close_bench(&b);
}

static void big_pieces_are_cut_and_fit(void **state)
{
    static uint8_t page[BLK_DATA];
    struct bench b;

    (void)state;
    memset(page, 'x', sizeof(page));
    for (size_t n = VISION_CONTENT_MAX - 300; n <= VISION_CONTENT_MAX + 300; n += 50) {
        open_bench(&b, true);
        add_span(&b, &b.down, page, n);
        assert_int_equal(pad(&b), ST_OK);
        receive(&b);
        assert_int_equal(b.blocks, n > VISION_CONTENT_MAX ? 2 : 1);
        assert_int_equal(b.got.len, n);
        close_bench(&b);
    }
}

static void payload_stays_where_it_lies(void **state)
{
    static uint8_t page[8000];
    struct bench b;

    (void)state;
    open_bench(&b, true);
    add_span(&b, &b.down, page, sizeof(page));
    const uint8_t *payload = span_data(b.down.head);
    assert_int_equal(pad(&b), ST_OK);
    assert_ptr_equal(span_data(b.out.head) + VISION_RESPONSE + UUID_LEN + VISION_HEAD, payload);
    assert_true(span_headroom(b.out.head) >= 64 && span_tailroom(b.out.head) >= 64);
    close_bench(&b);
}

/* What looks like a hello in the middle of a read is payload. */
static void looks_for_no_hello_in_the_middle_of_a_piece(void **state)
{
    static uint8_t page[VISION_CONTENT_MAX];
    struct text t = {0};
    uint64_t seed = 10;
    struct bench b;

    (void)state;
    text_add(&t, page, sizeof(page)); /* just one block, so the rest begins with the hello */
    flow_server_hello(&t, true, 0x1301, 32, 36);
    flow_noise(&t, 23, 50, &seed);
    open_bench(&b, true);
    add_span(&b, &b.down, t.p, t.len);
    assert_int_equal(pad(&b), ST_OK);
    assert_false(b.filter.server);
    receive(&b);
    assert_int_equal(b.blocks, 2);
    add_span(&b, &b.down, t.p + sizeof(page), t.len - sizeof(page));
    assert_int_equal(pad(&b), ST_OK);
    assert_true(b.filter.server); /* a new piece may begin with one */
    close_bench(&b);
    text_free(&t);
}

static void padding_is_as_long_as_the_reference_draws_it(void **state)
{
    size_t least = SIZE_MAX, most = 0;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct bench b;
        open_bench(&b, true);
        b.filter.tls = i % 2 == 0;
        add_span(&b, &b.down, "0123456789", 10);
        assert_int_equal(pad(&b), ST_OK);
        size_t n = get_be16(span_data(b.out.head) + VISION_RESPONSE + UUID_LEN + 3);
        if (i % 2 == 0) {
            assert_in_range(n, 890, 1389);
            least = n < least ? n : least;
            most = n > most ? n : most;
        } else {
            assert_in_range(n, 0, 255);
        }
        close_bench(&b);
    }
    assert_true(least < 910 && most > 1370); /* the whole range is used */
}

static void survives_any_failing_allocation(void **state)
{
    bool failed = true;

    (void)state;
    for (unsigned nth = 1; failed; nth++) {
        struct text t = {0};
        uint64_t seed = 9;
        struct bench b;

        open_bench(&b, true);
        flow_server_hello(&t, true, 0x1301, 32, 36);
        size_t half = t.len / 2;
        flow_noise(&t, 23, 12000, &seed);
        flow_noise(&t, 23, 12000, &seed);
        add_span(&b, &b.down, t.p, half);
        add_span(&b, &b.down, t.p + half, 9000);
        add_span(&b, &b.down, t.p + half + 9000, t.len - half - 9000);
        pool_fail_after(b.pool, nth, true);
        enum status st = pad(&b);
        failed = st == ST_E_NOMEM;
        assert_true(failed || st == ST_OK);
        assert_true(nth > 1 || failed);
        close_bench(&b);
        text_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_like_the_reference),
        cmocka_unit_test(every_connection_arrives_whole),
        cmocka_unit_test(switches_right_behind_the_handshake),
        cmocka_unit_test(does_not_wait_for_an_uplink_it_cannot_see),
        cmocka_unit_test(switches_though_reads_never_align),
        cmocka_unit_test(never_switches_where_it_may_not),
        cmocka_unit_test(plain_streams_end_after_six_writes),
        cmocka_unit_test(big_pieces_are_cut_and_fit),
        cmocka_unit_test(payload_stays_where_it_lies),
        cmocka_unit_test(looks_for_no_hello_in_the_middle_of_a_piece),
        cmocka_unit_test(padding_is_as_long_as_the_reference_draws_it),
        cmocka_unit_test(survives_any_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
