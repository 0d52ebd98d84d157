/* The index of users, and finding one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/vmess/lookup.h"
#include "proto/vmess/test_vmess.h"

#define MINUTE (60 * UINT64_C(1000000))
#define START  (1000 * MINUTE)
#define USERS  1000u
#define NOW_S  1763726047

/* ---- users ----------------------------------------------------------------------------------- */

struct crowd {
    struct user_rt all[USERS];
    struct user_rt *list[USERS];
    size_t count;
    struct test_vmess client;
};

static int open_crowd(void **state)
{
    struct crowd *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return -1;
    test_vmess_open(&c->client, VMESS_NONE, 0, VMESS_TCP, "example.com");
    for (uint32_t i = 0; i < USERS; i++) {
        c->all[i].uid = i + 1;
        memcpy(c->all[i].uuid, &i, sizeof(i));
        c->all[i].uuid[15] = 1;
    }
    *state = c;
    return 0;
}

static int close_crowd(void **state)
{
    struct crowd *c = *state;
    test_vmess_close(&c->client);
    test_vmess_fini(&c->client);
    free(c);
    return 0;
}

static void count_skip(void *arg, const struct user_rt *u, const char *why)
{
    (void)u;
    assert_non_null(why);
    ++*(unsigned *)arg;
}

/* The index of c->list in place of @before, which goes. */
static struct vmess_users *build(struct crowd *c, struct vmess_users *before, unsigned *skipped)
{
    struct user_index *out = NULL;
    unsigned ignored = 0;
    const struct user_index_build b = {.users = c->list,
                                       .count = c->count,
                                       .seed = 5,
                                       .before = before != NULL ? &before->index : NULL,
                                       .skipped = count_skip,
                                       .arg = skipped != NULL ? skipped : &ignored};

    assert_int_equal(vmess_users_ops.build(&b, &out), ST_OK);
    if (before != NULL)
        user_index_free(&before->index);
    return (struct vmess_users *)(void *)out;
}

static void list_range(struct crowd *c, uint32_t from, uint32_t to, uint32_t step)
{
    c->count = 0;
    for (uint32_t i = from; i < to; i += step)
        c->list[c->count++] = &c->all[i];
}

/* The user that @ix finds for user @i's AuthID; NULL: none. */
static const struct user_rt *find(struct crowd *c, const struct vmess_users *ix, uint32_t i)
{
    uint8_t auth_id[VMESS_AUTH_ID_LEN];
    int64_t time_s = 0;

    test_vmess_auth_id(&c->client, c->all[i].uuid, NOW_S, auth_id);
    size_t place = vmess_users_find(ix, 0, SIZE_MAX, auth_id, &time_s);
    if (place == AES_SCAN_NONE)
        return NULL;
    assert_int_equal(time_s, NOW_S);
    assert_int_equal(vmess_users_find(ix, place, place + 1, auth_id, &time_s), place);
    assert_int_equal(vmess_users_find(ix, 0, place, auth_id, &time_s), AES_SCAN_NONE);
    assert_int_equal(vmess_users_find(ix, place + 1, SIZE_MAX, auth_id, &time_s), AES_SCAN_NONE);
    return vmess_users_at(ix, place);
}

static void assert_finds_exactly_the_list(struct crowd *c, const struct vmess_users *ix)
{
    bool listed[USERS] = {false};

    for (size_t i = 0; i < c->count; i++)
        listed[c->list[i] - c->all] = true;
    for (uint32_t i = 0; i < USERS; i++)
        assert_ptr_equal(find(c, ix, i), listed[i] ? &c->all[i] : NULL);
    assert_int_equal(ix->index.count, c->count);
}

static void finds_every_user_after_every_change(void **state)
{
    struct crowd *c = *state;
    struct vmess_users *ix;

    list_range(c, 0, 0, 1);
    ix = build(c, NULL, NULL);
    assert_finds_exactly_the_list(c, ix);
    static const struct {
        uint32_t from, to, step;
    } lists[] = {{0, 300, 1},    {0, 1000, 1}, {0, 1000, 3}, {1, 1000, 3}, {0, 1000, 1},
                 {900, 1000, 1}, {0, 5, 1},    {0, 0, 1},    {0, 1000, 2}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        uint64_t serial = ix->serial;
        list_range(c, lists[i].from, lists[i].to, lists[i].step);
        ix = build(c, ix, NULL);
        assert_finds_exactly_the_list(c, ix);
        assert_true(ix->serial != serial);
    }
    user_index_free(&ix->index);
}

/* A list in another order costs more, and that is all. */
static void order_does_not_matter(void **state)
{
    struct crowd *c = *state;
    struct vmess_users *ix = NULL;

    for (unsigned round = 0; round < 4; round++) {
        list_range(c, round * 10, 700, 1);
        for (size_t i = c->count - 1; i > 0; i--) {
            size_t k = (size_t)rng_below(&c->client.rng, i + 1);
            struct user_rt *u = c->list[i];
            c->list[i] = c->list[k];
            c->list[k] = u;
        }
        ix = build(c, ix, NULL);
        assert_finds_exactly_the_list(c, ix);
    }
    user_index_free(&ix->index);
}

static void a_change_leaves_other_chunks_alone(void **state)
{
    struct crowd *c = *state;
    struct vmess_users *a, *b;
    struct user_index *out = NULL;
    unsigned same = 0;

    list_range(c, 0, USERS, 1);
    a = build(c, NULL, NULL);
    memmove(c->list + 500, c->list + 501, (--c->count - 500) * sizeof(c->list[0]));
    const struct user_index_build how = {
        .users = c->list, .count = c->count, .seed = 5, .before = &a->index};
    assert_int_equal(vmess_users_ops.build(&how, &out), ST_OK);
    b = (struct vmess_users *)(void *)out;
    assert_int_equal(a->chunk_count, b->chunk_count);
    for (size_t i = 0; i < a->chunk_count; i++)
        same += a->chunks[i] == b->chunks[i];
    assert_int_equal(same, a->chunk_count - 1);
    /* The old one still serves who has it. */
    assert_ptr_equal(find(c, a, 500), &c->all[500]);
    assert_null(find(c, b, 500));
    user_index_free(&a->index);
    assert_finds_exactly_the_list(c, b);
    user_index_free(&b->index);
}

static void of_two_with_one_uuid_one_is_skipped(void **state)
{
    struct crowd *c = *state;
    unsigned skipped = 0;

    c->all[20] = c->all[10];
    c->all[20].uid = 21;
    list_range(c, 0, 100, 1);
    struct vmess_users *ix = build(c, NULL, &skipped);
    assert_int_equal(skipped, 1);
    assert_int_equal(ix->index.count, 99);
    assert_ptr_equal(find(c, ix, 20), &c->all[10]);
    /* He is named again as long as it is so, and served when the other has gone. */
    ix = build(c, ix, &skipped);
    assert_int_equal(skipped, 2);
    memmove(c->list + 10, c->list + 11, (c->count - 11) * sizeof(c->list[0]));
    c->count--;
    ix = build(c, ix, &skipped);
    assert_int_equal(skipped, 2);
    assert_int_equal(ix->index.count, 99);
    assert_ptr_equal(find(c, ix, 10), &c->all[20]);
    user_index_free(&ix->index);
}

static void a_removed_user_is_nobody(void **state)
{
    struct crowd *c = *state;

    list_range(c, 0, 100, 1);
    struct vmess_users *ix = build(c, NULL, NULL);
    assert_ptr_equal(find(c, ix, 50), &c->all[50]);
    atomic_store(&c->all[50].removed, true);
    assert_null(find(c, ix, 50));
    user_index_free(&ix->index);
}

/* ---- look-up --------------------------------------------------------------------------------- */

struct office {
    struct crowd *c;
    struct vmess_users *ix;
    struct vmess_shared *shared;
    struct addr peer;
    uint64_t now_us;
    struct why why;
};

static struct addr ip4(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};
    memcpy(a.ip, &n, 4);
    return a;
}

static void open_office(struct office *o, struct crowd *c)
{
    memset(o, 0, sizeof(*o));
    o->c = c;
    list_range(c, 0, USERS, 1);
    o->ix = build(c, NULL, NULL);
    o->shared = aligned_alloc(64, (sizeof(*o->shared) + 63) / 64 * 64);
    assert_non_null(o->shared);
    memset(o->shared, 0, sizeof(*o->shared));
    assert_int_equal(vmess_shared_init(o->shared, 99), ST_OK);
    o->peer = ip4(0x0a000001);
    o->now_us = START;
}

static void close_office(struct office *o)
{
    vmess_shared_fini(o->shared);
    free(o->shared);
    user_index_free(&o->ix->index);
}

/* Looks for @auth_id till the end. *@calls counts. */
static enum status ask(struct office *o, struct vmess_lookup *l, const uint8_t *auth_id,
                       unsigned *calls)
{
    const struct vmess_arrival at = {&o->peer, o->now_us, NOW_S};
    enum status st;

    memset(&o->why, 0, sizeof(o->why));
    *calls = 0;
    do {
        st = vmess_lookup_run(l, o->ix, o->shared, &at, auth_id, &o->why);
        ++*calls;
    } while (st == ST_YIELD);
    return st;
}

/* A search that takes its time, as with very many users. */
static const struct aes_scan *slow_scan(void)
{
    static struct aes_scan slow;
    slow = *aes_scan_at(0);
    slow.ns_per_key = 2000; /* 50 keys a slice */
    return &slow;
}

static void finds_in_slices_and_then_at_once(void **state)
{
    struct office o;
    struct vmess_lookup l = {0};
    uint8_t auth_id[VMESS_AUTH_ID_LEN], key[VMESS_KEY_LEN];
    uint64_t recent[VMESS_RECENT_USERS];
    unsigned calls;

    open_office(&o, *state);
    o.ix->scan = slow_scan();
    test_vmess_auth_id(&o.c->client, o.c->all[777].uuid, NOW_S, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    assert_ptr_equal(vmess_lookup_user(&l), &o.c->all[777]);
    assert_in_range(calls, 3, 1 + 777 / 50 + 1); /* those who are likely are a slice of their own */
    vmess_kdf_user(o.c->all[777].uuid, key);
    assert_memory_equal(l.key, key, sizeof(key));
    vmess_lookup_proved(&l, o.shared);

    /* The same source again: no search. */
    memset(&l, 0, sizeof(l));
    test_vmess_auth_id(&o.c->client, o.c->all[777].uuid, NOW_S + 1, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    assert_int_equal(calls, 1);
    assert_false(l.paid);
    vmess_lookup_proved(&l, o.shared);

    /* The user from another place: one of those found last, which only a search makes. */
    assert_int_equal(vmess_recent_users(o.shared, recent), 1);
    assert_int_equal(recent[0], l.place);
    o.peer = ip4(0x0a000002);
    memset(&l, 0, sizeof(l));
    test_vmess_auth_id(&o.c->client, o.c->all[777].uuid, NOW_S + 2, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    assert_false(l.paid);
    close_office(&o);
}

static void clocks_and_replays(void **state)
{
    static const struct {
        int off;
        enum status st;
    } cases[] = {{0, ST_OK},        {119, ST_OK},      {-119, ST_OK},
                 {120, ST_OK},      {-120, ST_OK},     {121, ST_E_AUTH},
                 {-121, ST_E_AUTH}, {3600, ST_E_AUTH}, {-NOW_S, ST_E_AUTH}};
    struct office o;
    uint8_t auth_id[VMESS_AUTH_ID_LEN];
    unsigned calls;

    open_office(&o, *state);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmess_lookup first = {0}, second = {0};
        test_vmess_auth_id(&o.c->client, o.c->all[3].uuid, NOW_S + cases[i].off, auth_id);
        assert_int_equal(ask(&o, &first, auth_id, &calls), cases[i].st);
        assert_int_equal(o.why.text != NULL, cases[i].st != ST_OK);
        if (cases[i].st != ST_OK)
            continue;
        /* The same connection may ask again, another may not. */
        assert_int_equal(ask(&o, &first, auth_id, &calls), ST_OK);
        assert_int_equal(ask(&o, &second, auth_id, &calls), ST_E_REFUSED);
    }
    /* A clock before 1970 is nobody's. */
    struct vmess_lookup l = {0};
    test_vmess_auth_id(&o.c->client, o.c->all[3].uuid, -1, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_E_AUTH);
    close_office(&o);
}

static void the_index_may_change_under_a_search(void **state)
{
    struct office o;
    struct vmess_lookup l = {0}, gone = {0};
    uint8_t auth_id[VMESS_AUTH_ID_LEN];
    unsigned calls;

    open_office(&o, *state);
    o.ix->scan = slow_scan();
    const struct vmess_arrival at = {&o.peer, o.now_us, NOW_S};
    test_vmess_auth_id(&o.c->client, o.c->all[5].uuid, NOW_S, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    /* He was found; the list shrinks so that everybody moves; he is found anew, as no replay. */
    list_range(o.c, 3, 20, 1);
    o.ix = build(o.c, o.ix, NULL);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    assert_ptr_equal(vmess_lookup_user(&l), &o.c->all[5]);
    /* He is gone before his header is whole. */
    list_range(o.c, 6, 20, 1);
    o.ix = build(o.c, o.ix, NULL);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_E_AUTH);
    assert_int_equal(vmess_lookup_run(&gone, NULL, o.shared, &at, auth_id, &o.why), ST_E_AUTH);
    close_office(&o);
}

static void a_flood_is_bounded_and_harms_no_known_source(void **state)
{
    struct office o;
    uint8_t auth_id[VMESS_AUTH_ID_LEN];
    unsigned calls, searched = 0, refused = 0;
    struct vmess_lookup l = {0};

    open_office(&o, *state);
    o.ix->scan = slow_scan(); /* 2 ms a search */
    test_vmess_auth_id(&o.c->client, o.c->all[9].uuid, NOW_S, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    vmess_lookup_proved(&l, o.shared);
    for (unsigned i = 0; i < 100; i++) {
        struct vmess_lookup stranger = {0};
        rng_bytes(&o.c->client.rng, auth_id, sizeof(auth_id));
        enum status st = ask(&o, &stranger, auth_id, &calls);
        searched += st == ST_E_AUTH;
        refused += st == ST_E_REFUSED;
    }
    assert_int_equal(searched + refused, 100);
    assert_in_range(searched, 20, 30); /* 50 ms of searching */
    memset(&l, 0, sizeof(l));
    test_vmess_auth_id(&o.c->client, o.c->all[9].uuid, NOW_S, auth_id);
    assert_int_equal(ask(&o, &l, auth_id, &calls), ST_OK);
    close_office(&o);
}

static void a_session_is_used_once(void **state)
{
    struct office o;
    struct vmess_header h = {.key = {1}, .iv = {2}};
    const uint8_t alice[16] = {1}, bob[16] = {2};

    open_office(&o, *state);
    assert_int_equal(vmess_session_add(o.shared, alice, &h, o.now_us), ST_OK);
    assert_int_equal(vmess_session_add(o.shared, alice, &h, o.now_us), ST_E_REFUSED);
    assert_int_equal(vmess_session_add(o.shared, alice, &h, o.now_us + 3 * MINUTE), ST_E_REFUSED);
    assert_int_equal(vmess_session_add(o.shared, bob, &h, o.now_us), ST_OK);
    h.iv[15] = 1;
    assert_int_equal(vmess_session_add(o.shared, alice, &h, o.now_us), ST_OK);
    h.key[15] = 1;
    assert_int_equal(vmess_session_add(o.shared, alice, &h, o.now_us), ST_OK);
    close_office(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_every_user_after_every_change, open_crowd,
                                        close_crowd),
        cmocka_unit_test_setup_teardown(order_does_not_matter, open_crowd, close_crowd),
        cmocka_unit_test_setup_teardown(a_change_leaves_other_chunks_alone, open_crowd,
                                        close_crowd),
        cmocka_unit_test_setup_teardown(of_two_with_one_uuid_one_is_skipped, open_crowd,
                                        close_crowd),
        cmocka_unit_test_setup_teardown(a_removed_user_is_nobody, open_crowd, close_crowd),
        cmocka_unit_test_setup_teardown(finds_in_slices_and_then_at_once, open_crowd, close_crowd),
        cmocka_unit_test_setup_teardown(clocks_and_replays, open_crowd, close_crowd),
        cmocka_unit_test_setup_teardown(the_index_may_change_under_a_search, open_crowd,
                                        close_crowd),
        cmocka_unit_test_setup_teardown(a_flood_is_bounded_and_harms_no_known_source, open_crowd,
                                        close_crowd),
        cmocka_unit_test_setup_teardown(a_session_is_used_once, open_crowd, close_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
