/* The bound of handshake objects: env->heavy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "stream/chain.h"
#include "tls/test_client.h"
#include "transport/tls/tls.h"

#define SECOND_US 1000000u

static struct crypto_ctx crypto;
static struct rng rng;

struct bench {
    struct arena *arena;
    const void *conf;
    struct pool *pool;
    struct heavy heavy;
};

struct link {
    struct env env;
    struct conn_info info;
    struct chain chain;
    struct events ev;
    struct test_client *client;
    enum status st;
};

static int setup(void **state)
{
    static struct bench b;
    const struct conf_context ctx = {.self_signed = true, .cert_domain = "example.test"};
    struct conf_error err;

    b = (struct bench){.arena = arena_new(), .pool = pool_new(0), .heavy = {.max = 1}};
    list_init(&b.heavy.held);
    *state = &b;
    return transport_tls.parse_conf(b.arena, NULL, &ctx, &b.conf, &err) != ST_OK;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    assert_int_equal(b->heavy.count, 0);
    assert_int_equal(pool_used(b->pool), 0);
    pool_free(b->pool);
    transport_tls.free_conf(b->conf);
    arena_free(b->arena);
    return 0;
}

/* One exchange: what the client says, the server's answer, and so on until both are silent. */
static void talk(struct link *k, uint64_t now_us)
{
    uint8_t answer[16384], words[16384];
    size_t n = 0, said;

    while (k->st >= 0 &&
           (said = test_client_talk(k->client, answer, n, words, sizeof(words))) > 0) {
        uint64_t wake = UINT64_MAX;
        assert_int_equal(bufq_put(chain_bottom_in(&k->chain), words, said, k->env.pool), ST_OK);
        k->st = chain_run(&k->chain, &k->ev, now_us, 1, &wake);
        n = bufq_peek(chain_bottom_out(&k->chain), answer, sizeof(answer));
        bufq_drop(chain_bottom_out(&k->chain), n, k->env.pool);
    }
}

static void open_link(struct bench *b, struct link *k, const struct test_client_options *o)
{
    const struct chain_stage stage = {transport_tls.server, b->conf};

    *k = (struct link){
        .env = {
            .pool = b->pool, .rng = &rng, .crypto = &crypto, .info = &k->info, .heavy = &b->heavy}};
    assert_int_equal(chain_init(&k->chain, &k->env, &stage, 1), ST_OK);
    k->client = test_client_new(o);
    assert_non_null(k->client);
}

/* Says hello and nothing after it. */
static void say_hello(struct link *k, uint64_t now_us)
{
    uint8_t words[16384];
    uint64_t wake = UINT64_MAX;
    size_t n = test_client_talk(k->client, NULL, 0, words, sizeof(words));

    assert_int_equal(bufq_put(chain_bottom_in(&k->chain), words, n, k->env.pool), ST_OK);
    k->st = chain_run(&k->chain, &k->ev, now_us, 1, &wake);
}

static void close_link(struct link *k)
{
    chain_fini(&k->chain);
    conn_info_clear(k->env.pool, &k->info);
    test_client_free(k->client);
}

static const struct test_client_options PLAIN;

static void a_handshake_beyond_the_bound_is_refused(void **state)
{
    struct link first, second;

    open_link(*state, &first, &PLAIN);
    open_link(*state, &second, &PLAIN);
    say_hello(&first, SECOND_US);
    assert_true(first.st >= 0);
    say_hello(&second, 2 * SECOND_US);
    assert_int_equal(second.st, ST_E_LIMIT);
    assert_non_null(second.ev.why.text);
    close_link(&second);
    close_link(&first);
}

static void a_slow_handshake_makes_room_for_a_new_one(void **state)
{
    struct link slow, quick;

    open_link(*state, &slow, &PLAIN);
    open_link(*state, &quick, &PLAIN);
    say_hello(&slow, SECOND_US);
    talk(&quick, 4 * SECOND_US);
    assert_true(test_client_ready(quick.client));
    /* Whatever the slow one says next, he is told to go. */
    uint64_t wake = UINT64_MAX;
    assert_int_equal(bufq_put(chain_bottom_in(&slow.chain), "x", 1, slow.env.pool), ST_OK);
    assert_int_equal(chain_run(&slow.chain, &slow.ev, 5 * SECOND_US, 1, &wake), ST_E_LIMIT);
    close_link(&quick);
    close_link(&slow);
}

static void a_finished_handshake_counts_no_more(void **state)
{
    const struct bench *b = *state;
    const struct test_client_options old = {.version = 0x0303};
    struct link a, c, d;

    open_link(*state, &a, &PLAIN);
    talk(&a, SECOND_US);
    assert_true(test_client_ready(a.client));
    assert_int_equal(b->heavy.count, 0);
    open_link(*state, &c, &old); /* the library stays, the handshake is over */
    talk(&c, SECOND_US);
    assert_true(test_client_ready(c.client));
    assert_int_equal(b->heavy.count, 0);
    open_link(*state, &d, &PLAIN);
    say_hello(&d, SECOND_US);
    assert_int_equal(b->heavy.count, 1);
    close_link(&d);
    assert_int_equal(b->heavy.count, 0);
    close_link(&c);
    close_link(&a);
}

static int group_setup(void **state)
{
    (void)state;
    return crypto_ctx_init(&crypto) != ST_OK || rng_init(&rng) != ST_OK;
}

static int group_teardown(void **state)
{
    (void)state;
    crypto_ctx_fini(&crypto);
    return 0;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_handshake_beyond_the_bound_is_refused),
        CASE(a_slow_handshake_makes_room_for_a_new_one),
        CASE(a_finished_handshake_counts_no_more),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
