#include "proto/shadowsocks/search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "proto/shadowsocks/test_shadowsocks.h"

#define COUNT 6000u

static const char *const methods[] = {"aes-128-gcm", "aes-256-gcm", "chacha20-poly1305",
                                      "xchacha20-poly1305"};

struct bench {
    struct test_node n;
    struct user_rt users[COUNT];
    struct user_index *index;
    uint8_t wire[1600];
    struct ss_search search;
    struct ss_search_for w;
    unsigned slices;
};

static struct bench b;

static void open_bench(const char *method)
{
    static struct user_rt *list[COUNT];

    memset(&b, 0, sizeof(b));
    assert_true(test_node_open(&b.n, method, NULL, false));
    for (unsigned i = 0; i < COUNT; i++) {
        b.users[i].uid = 1 + i;
        memcpy(b.users[i].uuid, &b.users[i].uid, 8);
        list[i] = &b.users[i];
    }
    const struct user_index_build build = {
        .conf = &b.n.conf, .users = list, .count = COUNT, .seed = 5};
    assert_int_equal(ss_index_ops.build(&build, &b.index), ST_OK);
}

static void close_bench(void)
{
    user_index_free(b.index);
    test_node_close(&b.n);
}

/* The client of one of the many. */
static void client(struct test_client *c, const struct user_rt *u, uint8_t salt)
{
    char text[USER_SECRET_MAX + 1];

    test_client_init(c, &b.n, 0, salt);
    ss_master_key(c->m, user_secret(u, text), c->key);
}

/* Begins to look for whose stream (or datagram) this is. */
static void begin(const struct user_rt *u, uint8_t salt, bool datagram)
{
    struct test_client c;
    size_t len = SS_LENGTH_LEN;

    client(&c, u, salt);
    if (datagram)
        len = test_client_packet(&c, 0, "\3\x9host.test\0\x35", 13, b.n.secrets, 1000, b.wire) -
              c.m->key_len;
    else
        test_client_begin(&c, "\1\1\2\3\4\0\x50", 7, "hello", 5, b.wire);
    ss_search_begin(&b.search, c.m, b.wire);
    b.w = (struct ss_search_for){.method = c.m,
                                 .index = b.index,
                                 .shared = &b.n.shared,
                                 .cc = &b.n.cc,
                                 .from = &b.n.info.peer,
                                 .now_us = b.w.now_us,
                                 .sealed = b.wire + c.m->key_len,
                                 .len = (uint32_t)len,
                                 .datagram = datagram};
    b.slices = 0;
}

static enum status run(struct user_rt **user)
{
    uint8_t master[SS_KEY_MAX], subkey[SS_KEY_MAX];
    uint64_t wake = UINT64_MAX;
    enum status st;

    do {
        st = ss_search_run(&b.search, &b.w, user, master, subkey, &wake);
        b.slices++;
    } while (st == ST_YIELD);
    if (st == ST_MORE)
        assert_true(wake > b.w.now_us && wake < b.w.now_us + 1000000);
    return st;
}

static void assert_finds(struct user_rt *u, uint8_t salt, bool datagram)
{
    struct user_rt *user = NULL;

    begin(u, salt, datagram);
    assert_int_equal(run(&user), ST_OK);
    assert_ptr_equal(user, u);
}

static void finds_each_user_among_many(void **state)
{
    (void)state;
    for (size_t m = 0; m < 4; m++) {
        open_bench(methods[m]);
        for (unsigned i = 0; i < COUNT; i += 599) {
            b.n.info.peer.ip[3] = (uint8_t)i;
            assert_finds(&b.users[i], (uint8_t)i, false);
        }
        assert_finds(&b.users[COUNT - 1], 1, false);
        for (unsigned i = 5; i < COUNT; i += 1999) {
            b.n.info.peer.ip[2] = (uint8_t)i;
            assert_finds(&b.users[i], (uint8_t)i, true);
        }
        close_bench();
    }
}

static void a_known_source_needs_no_search(void **state)
{
    (void)state;
    open_bench(methods[0]);
    assert_finds(&b.users[4000], 1, false);
    assert_true(b.slices > 2);
    uint32_t spent = b.search.spent;
    assert_true(spent > 0);
    for (uint8_t i = 2; i < 100; i++) {
        assert_finds(&b.users[4000], i, i % 2 == 0);
        assert_int_equal(b.slices, 1);
        assert_int_equal(b.search.spent, 0);
    }
    /* seen last, from wherever */
    b.n.info.peer.ip[0] = 9;
    assert_finds(&b.users[4000], 100, false);
    assert_true(b.search.spent < spent);
    close_bench();
}

static void nobodys_stream_costs_the_budget(void **state)
{
    static struct user_rt stranger = {.uid = 999999, .secret = "nobody"};
    struct user_rt *user = NULL;
    unsigned searches = 0;
    enum status st;

    (void)state;
    open_bench(methods[0]);
    do {
        begin(&stranger, (uint8_t)searches, false);
        st = run(&user);
    } while (st == ST_E_NOTFOUND && ++searches < 100000);
    assert_int_equal(st, ST_MORE);
    assert_true(searches >= 1);
    /* the source is known: its user is found all the same */
    sources_note(&b.n.shared.sources, sources_key(&b.n.shared.sources, &b.n.info.peer),
                 b.users[5].uid);
    assert_finds(&b.users[5], 1, false);
    /* and other sources have their own */
    b.n.info.peer.ip[0] = 10;
    assert_finds(&b.users[3000], 1, false);
    /* what waited goes on when it is time */
    b.n.info.peer.ip[0] = 192;
    begin(&b.users[5555], 3, false);
    while ((st = run(&user)) == ST_MORE) {
        b.w.now_us += 50000;
        assert_true(b.w.now_us < 60000000);
    }
    assert_int_equal(st, ST_OK);
    assert_ptr_equal(user, &b.users[5555]);
    close_bench();
}

static void goes_on_in_a_new_list(void **state)
{
    static struct user_rt *list[COUNT];
    struct user_rt *user = NULL;
    uint8_t master[SS_KEY_MAX], subkey[SS_KEY_MAX];
    uint64_t wake = UINT64_MAX;

    (void)state;
    open_bench(methods[0]);
    begin(&b.users[10], 1, false);
    begin(&b.users[COUNT - 1], 1, false);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ss_search_run(&b.search, &b.w, &user, master, subkey, &wake), ST_YIELD);
    /* all before him go, and so does he in the end */
    for (unsigned i = 0; i < 100; i++)
        list[i] = &b.users[COUNT - 100 + i];
    const struct user_index_build build = {
        .conf = &b.n.conf, .users = list, .count = 100, .seed = 5, .before = b.index};
    struct user_index *next;
    assert_int_equal(ss_index_ops.build(&build, &next), ST_OK);
    user_index_free(b.index);
    b.w.index = b.index = next;
    assert_int_equal(run(&user), ST_OK);
    assert_ptr_equal(user, &b.users[COUNT - 1]);
    atomic_store(&b.users[COUNT - 1].removed, true);
    begin(&b.users[COUNT - 1], 2, false);
    assert_int_equal(run(&user), ST_E_NOTFOUND);
    b.w.index = NULL;
    assert_int_equal(run(&user), ST_E_NOTFOUND);
    close_bench();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_user_among_many),
        cmocka_unit_test(a_known_source_needs_no_search),
        cmocka_unit_test(nobodys_stream_costs_the_budget),
        cmocka_unit_test(goes_on_in_a_new_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
