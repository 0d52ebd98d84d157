#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "policy/key_index.h"

#define USERS 5000

static size_t skipped;
static const struct user_rt *last_skipped;

static void on_skip(void *arg, const struct user_rt *u, const char *why)
{
    assert_non_null(why);
    *(size_t *)arg += 1;
    last_skipped = u;
}

static struct user_index *build(struct user_rt **list, size_t n, uint64_t seed)
{
    struct user_index *ix;
    struct user_index_build b = {
        .users = list, .count = n, .seed = seed, .skipped = on_skip, .arg = &skipped};
    skipped = 0;
    assert_int_equal(uuid_index_ops.build(&b, &ix), ST_OK);
    return ix;
}

static struct user_rt *make_users(size_t n, struct user_rt ***list)
{
    struct user_rt *users = calloc(n, sizeof(*users));
    *list = calloc(n, sizeof(**list));
    assert_non_null(users);
    assert_non_null(*list);
    for (size_t i = 0; i < n; i++) {
        users[i].uid = i + 1;
        put_be32(users[i].uuid + 12, (uint32_t)i); /* as alike as can be */
        (*list)[i] = &users[i];
    }
    return users;
}

static void finds_every_user_and_nobody_else(void **state)
{
    struct user_rt **list, *users = make_users(USERS, &list);

    (void)state;
    struct user_index *ix = build(list, USERS, 42);
    assert_int_equal(skipped, 0);
    assert_int_equal(ix->count, USERS);
    for (size_t i = 0; i < USERS; i++)
        assert_ptr_equal(uuid_index_find(ix, users[i].uuid), &users[i]);
    for (uint32_t i = USERS; i < 2 * USERS; i++) {
        uint8_t id[UUID_LEN] = {0};
        put_be32(id + 12, i);
        assert_null(uuid_index_find(ix, id));
        put_be32(id + 12, i - USERS);
        id[5] = 1;
        assert_null(uuid_index_find(ix, id));
        id[5] = 0;
        id[8] = 1;
        assert_null(uuid_index_find(ix, id));
    }
    user_index_free(ix);
    free(list);
    free(users);
}

static void ignores_the_route_number(void **state)
{
    struct user_rt **list, *users = make_users(3, &list);
    uint8_t id[UUID_LEN];

    (void)state;
    users[1].uuid[6] = 0x4a;
    struct user_index *ix = build(list, 3, 1);
    for (size_t i = 0; i < 3; i++) {
        memcpy(id, users[i].uuid, sizeof(id));
        id[6] = 0xbe;
        id[7] = 0xef;
        assert_ptr_equal(uuid_index_find(ix, id), &users[i]);
    }
    user_index_free(ix);
    free(list);
    free(users);
}

static void the_last_of_two_alike_wins(void **state)
{
    struct user_rt **list, *users = make_users(4, &list);

    (void)state;
    memcpy(users[3].uuid, users[0].uuid, UUID_LEN);
    users[3].uuid[7] = 9;
    struct user_index *ix = build(list, 4, 1);
    assert_int_equal(skipped, 1);
    assert_ptr_equal(last_skipped, &users[0]);
    assert_int_equal(ix->count, 3);
    assert_ptr_equal(uuid_index_find(ix, users[0].uuid), &users[3]);
    user_index_free(ix);
    free(list);
    free(users);
}

static void a_removed_user_is_not_found(void **state)
{
    struct user_rt **list, *users = make_users(2, &list);

    (void)state;
    struct user_index *ix = build(list, 2, 1);
    atomic_store(&users[1].removed, true);
    assert_ptr_equal(uuid_index_find(ix, users[0].uuid), &users[0]);
    assert_null(uuid_index_find(ix, users[1].uuid));
    user_index_free(ix);
    free(list);
    free(users);
}

static struct user_index *rebuild(struct user_rt **list, size_t n, const struct user_index *before)
{
    struct user_index *ix;
    struct user_index_build b = {.users = list,
                                 .count = n,
                                 .seed = 3,
                                 .before = before,
                                 .skipped = on_skip,
                                 .arg = &skipped};
    skipped = 0;
    assert_int_equal(uuid_index_ops.build(&b, &ix), ST_OK);
    return ix;
}

static void a_change_leads_to_what_a_fresh_build_would(void **state)
{
    enum { ROUNDS = 30 };
    struct user_rt **all, *users = make_users(USERS, &all);
    struct user_rt **list = calloc(USERS, sizeof(*list));
    bool *in = calloc(USERS, sizeof(*in));
    struct user_index *ix = NULL;
    uint32_t x = 1;

    (void)state;
    assert_non_null(list);
    assert_non_null(in);
    for (int round = 0; round < ROUNDS; round++) {
        size_t n = 0;
        for (size_t i = 0; i < USERS; i++) {
            x = x * 1664525u + 1013904223u;
            /* Few, then nearly all, then few again; an object that comes back is a new user. */
            bool stays = (x >> 24) < (uint32_t)(round % 10) * 28;
            if (in[i] && !stays)
                atomic_store(&users[i].removed, true);
        }
        struct user_index *old = ix;
        for (size_t i = 0; i < USERS; i++) {
            x = x * 1664525u + 1013904223u;
            if (!in[i] && (x >> 24) < 100)
                in[i] = true;
            else if (atomic_load(&users[i].removed))
                in[i] = false;
            if (in[i])
                list[n++] = &users[i];
        }
        ix = rebuild(list, n, old);
        user_index_free(old);
        assert_int_equal(skipped, 0);
        assert_int_equal(ix->count, n);
        for (size_t i = 0; i < USERS; i++) {
            assert_ptr_equal(uuid_index_find(ix, users[i].uuid), in[i] ? &users[i] : NULL);
            atomic_store(&users[i].removed, false); /* the next round's are new objects */
        }
    }
    user_index_free(ix);
    free(in);
    free(list);
    free(all);
    free(users);
}

static void who_was_shadowed_comes_back(void **state)
{
    struct user_rt **list, *users = make_users(4, &list);

    (void)state;
    memcpy(users[3].uuid, users[0].uuid, UUID_LEN);
    struct user_index *before = rebuild(list, 4, NULL);
    assert_int_equal(skipped, 1);
    atomic_store(&users[3].removed, true);
    struct user_index *ix = rebuild(list, 3, before);
    user_index_free(before);
    assert_int_equal(skipped, 0);
    assert_ptr_equal(uuid_index_find(ix, users[0].uuid), &users[0]);
    user_index_free(ix);
    free(list);
    free(users);
}

static void works_without_users(void **state)
{
    const uint8_t id[UUID_LEN] = {0};

    (void)state;
    struct user_index *ix = build(NULL, 0, 1);
    assert_int_equal(ix->count, 0);
    assert_null(uuid_index_find(ix, id));
    user_index_free(ix);
    user_index_free(NULL);
    assert_null(uuid_index_find(NULL, id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_user_and_nobody_else),
        cmocka_unit_test(ignores_the_route_number),
        cmocka_unit_test(the_last_of_two_alike_wins),
        cmocka_unit_test(a_removed_user_is_not_found),
        cmocka_unit_test(a_change_leads_to_what_a_fresh_build_would),
        cmocka_unit_test(who_was_shadowed_comes_back),
        cmocka_unit_test(works_without_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
