/* The REALITY layer between a client and a target, both in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "crypto/rng.h"
#include "stream/aux.h"
#include "stream/chain.h"
#include "tls/alert.h"
#include "tls/server_hello.h"
#include "tls/test_target.h"
#include "transport/reality/reality.h"
#include "transport/reality/reality_conf.h"
#include "transport/reality/test_peer.h"

#define NOW 1763726047u

static struct crypto_ctx crypto;
static struct rng rng;
static struct reality_name names[] = {{"target.test", 11}, {"Second.test", 11}};
static const uint8_t short_ids[][8] = {{0}, {1, 2, 3, 4}};
static uint16_t tail_lens[2] = {271, 62};
static struct reality_tail tail = {.server_name = "target.test", .alpn = 2, .suite = 0x1301};
static struct reality_conf conf = {
    .names = names, .name_count = 2, .short_ids = short_ids, .short_id_count = 2};
static uint8_t server_public[32];

static const struct test_target TARGETS[] = {
    {0x1301, TLS_GROUP_X25519, {0, 0, 41, 900, 101, 58, 0}},
    {0x1302, TLS_GROUP_X25519, {0, 0, 28, 3000, 281, 74, 271}},
    {0x1303, TLS_GROUP_X25519, {0, 0, 1500, 0, 0, 0, 0}},
    {0x1301, TLS_GROUP_X25519MLKEM768, {0, 0, 41, 16000, 101, 58, 30}},
};

/* One connection. */
struct bench {
    struct pool *pool, *own; /* of the layer, of everybody else */
    struct env env;
    struct aux aux;
    struct conn_info info;
    struct chain chain;
    struct test_peer peer;
    const struct test_target *target;
    struct bufq to_server, to_client, to_target, from_target; /* on their ways */
    struct bufq said;                                         /* all that was forwarded */
    size_t cut;
    uint32_t events;
    enum status st;
    bool answered, adopted;
};

static const struct test_peer_options FRIEND = {
    .server_public = server_public, .sni = "target.test", .version = {25, 12, 1}, .unix_s = NOW};

static void open_bench(struct bench *b, const struct test_peer_options *o,
                       const struct test_target *target, size_t cut)
{
    const struct chain_stage stage = {&reality_server_ops, &conf};

    memset(b, 0, sizeof(*b));
    b->pool = pool_new(0);
    b->own = pool_new(0);
    b->target = target;
    b->cut = cut;
    aux_init(&b->aux);
    b->env = (struct env){
        .pool = b->pool, .rng = &rng, .crypto = &crypto, .info = &b->info, .aux = &b->aux};
    struct bufq *all[] = {&b->to_server, &b->to_client, &b->to_target, &b->from_target, &b->said};
    for (size_t i = 0; i < 5; i++)
        bufq_init(all[i], UINT32_MAX);
    assert_true(test_peer_init(&b->peer, o, &crypto, b->own));
    assert_int_equal(chain_init(&b->chain, &b->env, &stage, 1), ST_OK);
}

static void close_bench(struct bench *b)
{
    chain_fini(&b->chain);
    aux_clear(&b->aux, b->pool);
    conn_info_clear(b->pool, &b->info);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
    test_peer_fini(&b->peer);
    struct bufq *all[] = {&b->to_server, &b->to_client, &b->to_target, &b->from_target, &b->said};
    for (size_t i = 0; i < 5; i++)
        bufq_clear(all[i], b->own);
    assert_int_equal(pool_used(b->own), 0);
    pool_free(b->own);
}

/* Copies the next piece of @src to @dst; pools differ. */
static bool carry(struct bench *b, struct bufq *dst, struct pool *dp, struct bufq *src,
                  struct pool *sp)
{
    static uint8_t piece[65536];
    size_t n = bufq_peek(src, piece, b->cut < sizeof(piece) ? b->cut : sizeof(piece));

    if (n == 0)
        return false;
    if (bufq_put(dst, piece, n, dp) == ST_OK)
        bufq_drop(src, n, sp);
    return true;
}

static void run_chain(struct bench *b)
{
    struct events ev;
    uint64_t wake = UINT64_MAX;

    if (b->st < 0 || b->adopted)
        return;
    enum status st = chain_run(&b->chain, &ev, 1, NOW, &wake);
    b->st = st;
    if (ev.mask & EV_ASK) {
        assert_ptr_equal(ev.ask, &conf.dest);
        assert_false(b->events & EV_ASK);
    }
    b->events |= ev.mask;
    if (st < 0 && b->pool != NULL)
        assert_non_null(ev.why.text);
    if (ev.mask & EV_ADOPT) {
        assert_true(ev.mask & EV_DIVERT);
        b->adopted = true;
        chain_divert(&b->chain);
    }
}

static void answer_hello(struct bench *b)
{
    static uint8_t msg[8192], out[65536];
    size_t wire, len;

    if (b->answered || b->target == NULL ||
        hello_locate(&b->to_target, sizeof(msg), &wire, &len) != ST_OK)
        return;
    b->answered = true;
    hello_copy(&b->to_target, msg, len);
    len = test_target_answer(b->target, msg, len, out, sizeof(out));
    assert_int_equal(bufq_put(&b->from_target, out, len, b->own), ST_OK);
}

/* Everybody says what he has to, a piece at a time, until nothing moves. */
static void settle(struct bench *b)
{
    uint8_t piece[65536];
    bool moved = true;

    run_chain(b);
    while (moved) {
        moved = false;
        if (!b->adopted && bufq_room(chain_bottom_in(&b->chain)) > 0)
            moved |= carry(b, chain_bottom_in(&b->chain), b->pool, &b->to_server, b->own);
        run_chain(b);
        size_t n = bufq_peek(&b->aux.out, piece, b->cut < 65536 ? b->cut : 65536);
        if (n > 0) {
            assert_int_equal(bufq_put(&b->said, piece, n, b->own), ST_OK);
            moved |= carry(b, &b->to_target, b->own, &b->aux.out, b->pool);
        }
        answer_hello(b);
        if (!b->adopted && bufq_room(&b->aux.in) > 0)
            moved |= carry(b, &b->aux.in, b->pool, &b->from_target, b->own);
        run_chain(b);
        if (b->adopted)
            continue;
        n = bufq_peek(chain_bottom_out(&b->chain), piece, b->cut < 65536 ? b->cut : 65536);
        bufq_drop(chain_bottom_out(&b->chain), n, b->pool);
        if (n > 0)
            test_peer_hear(&b->peer, piece, n, &b->to_server);
        moved |= n > 0;
        if (b->st < 0 && n == 0)
            moved = false;
    }
}

static void send_hello(struct bench *b)
{
    uint8_t record[4200];
    size_t n = test_peer_hello(&b->peer, record);

    assert_int_equal(bufq_put(&b->to_server, record, n, b->own), ST_OK);
}

static void check_data(struct bench *b)
{
    uint8_t got[8];

    test_peer_say(&b->peer, "uplink", 6, &b->to_server);
    assert_int_equal(bufq_put(chain_down(&b->chain), "downlink", 8, b->pool), ST_OK);
    settle(b);
    assert_int_equal(b->st, ST_OK);
    assert_int_equal(bufq_peek(chain_up(&b->chain), got, 8), 6);
    assert_memory_equal(got, "uplink", 6);
    assert_int_equal(bufq_peek(&b->peer.data, got, 8), 8);
    assert_memory_equal(got, "downlink", 8);
}

static void test_handshake(void **state)
{
    static const size_t cuts[] = {65536, 1, 700};

    (void)state;
    for (size_t i = 0; i < sizeof(TARGETS) / sizeof(TARGETS[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            struct test_peer_options o = FRIEND;
            struct bench b;
            o.hybrid = i == 3 || j == 2;
            o.hybrid_only = i == 3 && j == 1;
            open_bench(&b, &o, &TARGETS[i], cuts[j]);
            run_chain(&b);
            assert_int_equal(b.events, EV_ASK);
            send_hello(&b);
            settle(&b);
            assert_int_equal(b.st, ST_OK);
            assert_true(b.peer.ready);
            assert_int_equal(b.events, EV_ASK | EV_READY | EV_AUX_DONE);
            assert_string_equal(b.info.sni, "target.test");
            assert_true(b.info.tls13);
            check_data(&b);
            chain_down(&b.chain)->eof = true;
            settle(&b);
            assert_true(b.peer.eof);
            close_bench(&b);
        }
    }
}

/* What the target got and what is still to be sent to it are what the client said, and the answer
 * is untouched. */
static void check_adopted(struct bench *b, const uint8_t *said, size_t len)
{
    static uint8_t got[65536];

    assert_true(b->adopted);
    assert_int_equal(b->st, ST_OK);
    assert_false(b->events & (EV_READY | EV_AUX_DONE));
    assert_int_equal(chain_down(&b->chain)->bytes, 0);
    size_t n = bufq_peek(&b->said, got, sizeof(got));
    n += bufq_peek(chain_up(&b->chain), got + n, sizeof(got) - n);
    n += bufq_peek(&b->to_server, got + n, sizeof(got) - n);
    assert_int_equal(n, len);
    assert_memory_equal(got, said, len);
}

static void test_strangers(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 3; j++) {
            static const size_t cuts[] = {65536, 1, 300};
            struct test_peer_options o = FRIEND;
            static uint8_t wrong_key[32], record[4300];
            struct bench b;
            memset(wrong_key, 9, sizeof(wrong_key));
            conf.max_time_diff_ms = i == 2 || i == 3 ? 60000 : 0;
            conf.has_min = i == 4;
            conf.min_version = 0x190c02;
            conf.has_max = i == 5;
            conf.max_version = 0x190c00;
            switch (i) {
            case 0:
                o.short_id[0] = 1;
                break;
            case 1:
                o.sni = "second.test"; /* names are case-sensitive */
                break;
            case 2:
                o.unix_s = NOW - 61;
                break;
            case 3:
                o.unix_s = NOW + 61;
                break;
            case 6:
                o.server_public = wrong_key;
                break;
            case 7:
                o.sni = "";
                break;
            default:
                break;
            }
            open_bench(&b, &o, &TARGETS[0], cuts[j]);
            size_t n = test_peer_hello(&b.peer, record);
            memcpy(record + n, "\x14\3\3\0\1\1more", 10);
            assert_int_equal(bufq_put(&b.to_server, record, n + 10, b.own), ST_OK);
            settle(&b);
            check_adopted(&b, record, n + 10);
            close_bench(&b);
        }
    }
    conf.max_time_diff_ms = 0;
    conf.has_min = conf.has_max = false;
}

static void test_limits_are_inclusive(void **state)
{
    struct test_peer_options o = FRIEND;
    struct bench b;

    (void)state;
    conf.max_time_diff_ms = 60000;
    conf.has_min = conf.has_max = true;
    conf.min_version = conf.max_version = 0x190c01;
    o.unix_s = NOW - 60;
    o.sni = "Second.test";
    memcpy(o.short_id, short_ids[1], 8);
    open_bench(&b, &o, &TARGETS[0], 65536);
    send_hello(&b);
    settle(&b);
    assert_true(b.peer.ready);
    close_bench(&b);
    conf.max_time_diff_ms = 0;
    conf.has_min = conf.has_max = false;
}

static void test_no_tls(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x16\3\1\0\5\2",
                                        "\x16\3\1\x40\1\1\0"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct bench b;
        size_t len = i == 2 ? 6 : i == 3 ? 7 : strlen(texts[i]);
        open_bench(&b, &FRIEND, NULL, 65536);
        assert_int_equal(bufq_put(&b.to_server, texts[i], len, b.own), ST_OK);
        settle(&b);
        check_adopted(&b, (const uint8_t *)texts[i], len);
        close_bench(&b);
    }
}

/* Half a hello and then the end, the target's word, or its end: all of it is between those two. */
static void test_half_a_hello(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct bench b;
        uint8_t record[4200];
        open_bench(&b, &FRIEND, NULL, 65536);
        size_t n = test_peer_hello(&b.peer, record);
        assert_int_equal(bufq_put(&b.to_server, record, i == 3 ? n : n / 2, b.own), ST_OK);
        settle(&b);
        assert_false(b.adopted);
        if (i == 0)
            chain_bottom_in(&b.chain)->eof = true;
        else if (i == 1)
            assert_int_equal(bufq_put(&b.from_target, "x", 1, b.own), ST_OK);
        else
            b.aux.in.eof = true;
        settle(&b);
        check_adopted(&b, record, i == 3 ? n : n / 2);
        assert_int_equal(b.aux.in.bytes, i == 1 ? 1 : 0);
        assert_int_equal(chain_up(&b.chain)->eof, i == 0);
        close_bench(&b);
    }
}

/* Answers that we do not imitate reach the client as they are, even when their end comes late. */
static void test_targets_that_do_not_fit(void **state)
{
    static const struct test_target targets[] = {
        {0x1301, TLS_GROUP_X25519, {0, 0, 27, 900, 101, 58, 0}},
        {0x1301, TLS_GROUP_X25519, {0, 0, 41, 200, 101, 58, 0}},
        {0x1302, TLS_GROUP_X25519, {0, 0, 41, 900, 101, 58, 0}},
        {0x1304, TLS_GROUP_X25519, {0, 0, 41, 900, 101, 58, 0}},
        {0x1301, 23, {0, 0, 41, 900, 101, 58, 0}},
        {0x1301, TLS_GROUP_X25519MLKEM768, {0, 0, 41, 900, 101, 58, 0}}, /* not offered */
        {0x1301, TLS_GROUP_X25519, {0, 0, 41, 16500, 101, 58, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        static uint8_t record[4200], want[65536], got[65536];
        struct bench b;
        open_bench(&b, &FRIEND, &targets[i], i % 2 == 0 ? 65536 : 1);
        size_t n = test_peer_hello(&b.peer, record);
        send_hello(&b);
        settle(&b);
        check_adopted(&b, record, n);
        size_t len =
            test_target_answer(&targets[i], b.peer.hello, b.peer.hello_len, want, sizeof(want));
        n = bufq_peek(&b.aux.in, got, sizeof(got));
        n += bufq_peek(&b.from_target, got + n, sizeof(got) - n);
        assert_int_equal(n, len);
        assert_memory_equal(got, want, len);
        close_bench(&b);
    }
}

static void test_target_cannot_be_reached(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, &FRIEND, NULL, 65536);
    run_chain(&b);
    b.aux.failed = true;
    run_chain(&b);
    assert_int_equal(b.st, ST_E_CLOSED);
    assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
    close_bench(&b);
}

/* Brings @b to the point where the client's Finished is awaited, and takes it away. */
static void to_finished(struct bench *b)
{
    size_t want = 0;
    struct flight_shape shape = test_target_shape(b->target);

    send_hello(b);
    for (int i = 0; i < FLIGHT_PARTS; i++)
        want += shape.len[i];
    run_chain(b);
    while (carry(b, chain_bottom_in(&b->chain), b->pool, &b->to_server, b->own))
        run_chain(b);
    while (carry(b, &b->to_target, b->own, &b->aux.out, b->pool))
        run_chain(b);
    answer_hello(b);
    while (carry(b, &b->aux.in, b->pool, &b->from_target, b->own)) {
        assert_int_equal(chain_bottom_out(&b->chain)->bytes, 0); /* never before the target */
        run_chain(b);
    }
    assert_int_equal(chain_bottom_out(&b->chain)->bytes, want);
    assert_int_equal(b->events, EV_ASK);
}

/* The same, and our flight has reached the client, who has answered into to_server. */
static void to_answer(struct bench *b)
{
    uint8_t piece[65536];

    to_finished(b);
    size_t n = bufq_peek(chain_bottom_out(&b->chain), piece, sizeof(piece));
    bufq_drop(chain_bottom_out(&b->chain), n, b->pool);
    test_peer_hear(&b->peer, piece, n, &b->to_server);
    assert_true(b->peer.ready);
}

/* After our flight: what was said since is there for the target, and nothing of its own flight is
 * left for the client. */
static void check_given_back(struct bench *b, const uint8_t *said, size_t len)
{
    uint8_t got[65536];

    assert_true(b->adopted);
    assert_int_equal(b->st, ST_OK);
    assert_false(b->events & (EV_READY | EV_AUX_DONE));
    assert_int_equal(b->aux.out.bytes, 0);
    assert_int_equal(bufq_peek(chain_up(&b->chain), got, sizeof(got)), len);
    assert_memory_equal(got, said, len);
}

static void test_target_ends_first(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, &FRIEND, &TARGETS[0], 65536);
    to_finished(&b);
    assert_int_equal(bufq_put(&b.aux.in, "bye", 3, b.pool), ST_OK);
    b.aux.in.eof = true;
    run_chain(&b);
    check_given_back(&b, NULL, 0);
    assert_int_equal(b.aux.in.bytes, 3);
    close_bench(&b);
}

static void test_client_ends_first(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, &FRIEND, &TARGETS[0], 65536);
    to_finished(&b);
    assert_int_equal(bufq_put(chain_bottom_in(&b.chain), "\x14\3\3\0\1\1\x17", 7, b.pool), ST_OK);
    run_chain(&b);
    assert_false(b.adopted);
    chain_bottom_in(&b.chain)->eof = true;
    run_chain(&b);
    check_given_back(&b, (const uint8_t *)"\x14\3\3\0\1\1\x17", 7);
    close_bench(&b);
}

/* The header of its last record tells how long the target's flight is. Until that has come whole
 * the target cannot have the connection, and what the client has said waits, his end or not. */
static void test_client_ends_before_the_target_is_done(void **state)
{
    static const char said[] = "GET / HTTP/1.1\r\n";
    struct bench b;

    (void)state;
    open_bench(&b, &FRIEND, &TARGETS[2], 1000);
    send_hello(&b);
    while (carry(&b, chain_bottom_in(&b.chain), b.pool, &b.to_server, b.own))
        run_chain(&b);
    while (carry(&b, &b.to_target, b.own, &b.aux.out, b.pool))
        run_chain(&b);
    answer_hello(&b);
    assert_true(carry(&b, &b.aux.in, b.pool, &b.from_target, b.own));
    run_chain(&b);
    assert_int_not_equal(chain_bottom_out(&b.chain)->bytes, 0);
    assert_int_equal(bufq_put(chain_bottom_in(&b.chain), said, sizeof(said) - 1, b.pool), ST_OK);
    run_chain(&b);
    chain_bottom_in(&b.chain)->eof = true;
    run_chain(&b);
    assert_false(b.adopted);
    assert_int_not_equal(b.from_target.bytes, 0);
    while (carry(&b, &b.aux.in, b.pool, &b.from_target, b.own))
        run_chain(&b);
    check_given_back(&b, (const uint8_t *)said, sizeof(said) - 1);
    assert_int_equal(b.aux.in.bytes, 0);
    close_bench(&b);
}

/* Whoever does not know the keys is heard by the target from there on, whatever he says. */
static void test_wrong_finished(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        {NULL, 0}, /* the right one but for its last byte */
        {"GET / HTTP/1.1\r\n", 16},
        {"\x15\3\3\0\2\2\x28", 7},
        {"\x14\3\3\0\2\1\1", 7},
        {"\x14\3\3\0\1\1\x17\3\3\0\5hello", 16},
        {"\x14\3\3\0\1\1\x14\3\3\0\1\1\x17\3\3\x48\0", 17},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench b;
        uint8_t piece[65536];
        open_bench(&b, &FRIEND, &TARGETS[i % 3], 65536);
        to_answer(&b);
        size_t n = bufq_peek(&b.to_server, piece, sizeof(piece));
        if (i == 0) {
            piece[n - 1] ^= 1;
        } else {
            n = cases[i].len;
            memcpy(piece, cases[i].text, n);
        }
        assert_int_equal(bufq_put(chain_bottom_in(&b.chain), piece, n, b.pool), ST_OK);
        run_chain(&b);
        check_given_back(&b, piece, n);
        assert_int_equal(b.aux.in.bytes, 0);
        assert_int_equal(chain_bottom_out(&b.chain)->bytes, 0);
        close_bench(&b);
    }
}

/* More in one go with the hello than a user says: the flight is the target's own. */
static void test_more_than_a_hello(void **state)
{
    struct bench b;
    uint8_t record[4300];

    (void)state;
    open_bench(&b, &FRIEND, &TARGETS[0], 65536);
    size_t n = test_peer_hello(&b.peer, record);
    memcpy(record + n, "\x14\3\3\0\1\1", 6);
    assert_int_equal(bufq_put(&b.to_server, record, n + 6, b.own), ST_OK);
    settle(&b);
    check_adopted(&b, record, n + 6);
    close_bench(&b);
}

/* A client that does know them is answered under them. */
static void test_wrong_finished_of_a_user(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, &FRIEND, &TARGETS[0], 65536);
    to_finished(&b);
    uint8_t piece[65536];
    size_t n = bufq_peek(chain_bottom_out(&b.chain), piece, sizeof(piece));
    bufq_drop(chain_bottom_out(&b.chain), n, b.pool);
    b.peer.wrong_finished = true;
    test_peer_hear(&b.peer, piece, n, &b.to_server);
    settle(&b);
    assert_false(b.adopted);
    assert_int_equal(b.st, ST_E_AUTH);
    assert_int_equal(b.peer.alert, TLS_ALERT_DECRYPT_ERROR);
    close_bench(&b);
}

static void test_tail(void **state)
{
    struct test_peer_options o = FRIEND;
    struct bench b;

    (void)state;
    memcpy(tail.len, tail_lens, sizeof(tail_lens));
    tail.count = 2;
    static const struct reality_tail_list list = {1, &tail};
    static struct reality_tails tails;
    conf.tails = &tails;
    reality_tails_publish(&tails, &list);
    for (int h2 = 0; h2 < 2; h2++) {
        o.h2 = h2 == 1;
        open_bench(&b, &o, &TARGETS[0], 65536);
        to_finished(&b);
        uint8_t piece[65536];
        size_t n = bufq_peek(chain_bottom_out(&b.chain), piece, sizeof(piece));
        bufq_drop(chain_bottom_out(&b.chain), n, b.pool);
        test_peer_hear(&b.peer, piece, n, &b.to_server);
        carry(&b, chain_bottom_in(&b.chain), b.pool, &b.to_server, b.own);
        run_chain(&b);
        assert_int_equal(chain_bottom_out(&b.chain)->bytes, h2 == 1 ? 271 + 62 : 0);
        check_data(&b);
        close_bench(&b);
    }
    conf.tails = NULL;
}

/* Whichever allocation fails: no crash, no leak, and nothing reaches the client but what the
 * target's shape allows. */
static void test_without_memory(void **state)
{
    bool whole = false;

    (void)state;
    for (unsigned i = 1; !whole; i++) {
        struct bench b;
        open_bench(&b, &FRIEND, &TARGETS[1], 65536);
        pool_fail_after(b.pool, i, true);
        send_hello(&b);
        struct flight_shape shape = test_target_shape(b.target);
        uint8_t header[5];
        for (int k = 0; k < 20 && b.st >= 0 && !b.adopted; k++) {
            carry(&b, chain_bottom_in(&b.chain), b.pool, &b.to_server, b.own);
            run_chain(&b);
            if (!b.adopted && bufq_peek(chain_bottom_out(&b.chain), header, 5) == 5)
                assert_int_equal(get_be16(header + 3) + 5, shape.len[0]);
            carry(&b, &b.to_target, b.own, &b.aux.out, b.pool);
            answer_hello(&b);
            carry(&b, &b.aux.in, b.pool, &b.from_target, b.own);
        }
        pool_fail_after(b.pool, 0, false);
        whole = b.st >= 0 && !b.adopted && chain_bottom_out(&b.chain)->bytes > 0;
        close_bench(&b);
        assert_true(i < 200);
    }
}

static int setup(void **state)
{
    uint8_t private_key[32], seed[32] = {5};

    (void)state;
    memset(private_key, 7, sizeof(private_key));
    return rng_init(&rng) == ST_OK && crypto_ctx_init(&crypto) == ST_OK &&
                   x25519_public(private_key, server_public) == ST_OK &&
                   x25519_key_new(private_key, &conf.key) == ST_OK &&
                   flight_identity_init(&conf.identity, seed) == ST_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    reality_conf_free(&conf);
    crypto_ctx_fini(&crypto);
    rng_fini(&rng);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_limits_are_inclusive),
        cmocka_unit_test(test_no_tls),
        cmocka_unit_test(test_half_a_hello),
        cmocka_unit_test(test_targets_that_do_not_fit),
        cmocka_unit_test(test_target_cannot_be_reached),
        cmocka_unit_test(test_target_ends_first),
        cmocka_unit_test(test_client_ends_first),
        cmocka_unit_test(test_client_ends_before_the_target_is_done),
        cmocka_unit_test(test_wrong_finished),
        cmocka_unit_test(test_more_than_a_hello),
        cmocka_unit_test(test_wrong_finished_of_a_user),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
