#include "proto/shadowsocks/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "policy/key_index.h"
#include "proto/shadowsocks/conf.h"

#define COUNT 5000u

static struct user_rt users[COUNT];
static struct ss_conf conf;
static unsigned skipped;

static int make_users(void **state)
{
    (void)state;
    memset(users, 0, sizeof(users));
    for (unsigned i = 0; i < COUNT; i++) {
        users[i].uid = 10 + i / 2; /* two credentials each */
        put_be32(users[i].uuid, i % 2);
        put_be32(users[i].uuid + 12, i);
    }
    skipped = 0;
    ss_conf_init(&conf, ss_method_find("aes-256-gcm"), NULL, false);
    return 0;
}

static void note_skipped(void *arg, const struct user_rt *u, const char *why)
{
    (void)arg;
    assert_non_null(u);
    assert_non_null(why);
    skipped++;
}

static struct user_index *build(struct user_rt **list, size_t n, const struct user_index *before)
{
    const struct user_index_build b = {.conf = &conf,
                                       .users = list,
                                       .count = n,
                                       .seed = 9,
                                       .before = before,
                                       .skipped = note_skipped};
    struct user_index *ix = NULL;
    assert_int_equal(ss_index_ops.build(&b, &ix), ST_OK);
    return ix;
}

/* The index holds exactly @list, in order, each with his key. */
static void assert_index(const struct user_index *index, struct user_rt **list, size_t n)
{
    const struct ss_index *ix = (const struct ss_index *)index;
    size_t k = 0;

    assert_int_equal(index->count, n);
    for (uint32_t c = 0; c < ix->chunk_count; c++) {
        const struct ss_chunk *chunk = ix->chunks[c];
        assert_true(chunk->count > 0 && chunk->count <= SS_CHUNK_USERS);
        for (uint32_t i = 0; i < chunk->count; i++, k++) {
            char text[USER_SECRET_MAX + 1];
            uint8_t key[SS_KEY_MAX];
            assert_ptr_equal(chunk->users[i], list[k]);
            ss_master_key(conf.method, user_secret(list[k], text), key);
            for (unsigned w = 0; w < ix->words; w++)
                assert_int_equal(ss_chunk_keys(ix, chunk, i / LANES)[w][i % LANES],
                                 get_be32(key + 4 * w));
        }
    }
    assert_int_equal(k, n);
}

static size_t shared_chunks(const struct user_index *a, const struct user_index *b)
{
    const struct ss_index *x = (const struct ss_index *)a, *y = (const struct ss_index *)b;
    size_t n = 0;

    for (uint32_t i = 0; i < x->chunk_count; i++)
        for (uint32_t k = 0; k < y->chunk_count; k++)
            n += x->chunks[i] == y->chunks[k];
    return n;
}

static void a_change_costs_the_chunks_it_touches(void **state)
{
    static struct user_rt *all[COUNT], *list[COUNT];
    struct user_index *ix = NULL;
    uint64_t seed = 4;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        all[i] = &users[i];
    for (unsigned round = 0; round < 40; round++) {
        size_t n = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            /* now and then somebody comes or goes; in some rounds very many */
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bool changes = (seed >> 33) % (round % 5 == 4 ? 3 : 1000) == 0;
            bool in = all[i] != NULL ? !changes : changes;
            if (round == 0)
                in = i % 7 != 0;
            all[i] = in ? &users[i] : NULL;
            if (in)
                list[n++] = &users[i];
        }
        struct user_index *next = build(list, n, ix);
        assert_index(next, list, n);
        if (ix != NULL) {
            uint32_t chunks = ((struct ss_index *)next)->chunk_count;
            assert_int_equal(((struct ss_index *)next)->serial,
                             ((struct ss_index *)ix)->serial + 1);
            if (round % 5 != 4)
                assert_true(shared_chunks(ix, next) > chunks / 2);
            assert_true(chunks <= 4 * (n / SS_CHUNK_USERS) + 40);
            user_index_free(ix);
        }
        ix = next;
    }
    struct user_index *none = build(list, 0, ix);
    assert_int_equal(none->count, 0);
    user_index_free(ix);
    ix = build(list, 3, none);
    assert_index(ix, list, 3);
    user_index_free(none);
    user_index_free(ix);
}

static void users_in_any_order(void **state)
{
    struct user_rt *list[3] = {&users[9], &users[2], &users[5]};
    struct user_rt *sorted[3] = {&users[2], &users[5], &users[9]};

    (void)state;
    struct user_index *ix = build(list, 3, NULL);
    assert_index(ix, sorted, 3);
    user_index_free(ix);
}

static void finds_by_uid(void **state)
{
    static struct user_rt *list[COUNT];
    uint32_t chunk, at;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        list[i] = &users[i];
    struct user_index *index = build(list, COUNT, NULL);
    const struct ss_index *ix = (const struct ss_index *)index;
    for (unsigned i = 0; i < COUNT; i += 2) {
        uint8_t key[SS_KEY_MAX];
        char text[USER_SECRET_MAX + 1];
        assert_true(ss_index_locate(ix, users[i].uid, &chunk, &at));
        assert_ptr_equal(ix->chunks[chunk]->users[at], &users[i]);
        assert_true(ss_index_next(ix, users[i].uid, &chunk, &at));
        assert_ptr_equal(ix->chunks[chunk]->users[at], &users[i + 1]);
        assert_false(ss_index_next(ix, users[i].uid, &chunk, &at));
        ss_master_key(conf.method, user_secret(&users[i + 1], text), key);
        assert_ptr_equal(ss_index_find(index, conf.method, users[i].uid, key), &users[i + 1]);
        key[5] ^= 1;
        assert_null(ss_index_find(index, conf.method, users[i].uid, key));
    }
    assert_false(ss_index_locate(ix, 9, &chunk, &at));
    assert_false(ss_index_locate(ix, 10 + COUNT, &chunk, &at));
    user_index_free(index);
}

static void one_user_where_the_cipher_knows_no_more(void **state)
{
    struct user_rt *list[3] = {&users[9], &users[2], &users[5]};

    (void)state;
    ss_conf_init(&conf, ss_method_find("none"), NULL, false);
    struct user_index *ix = build(list, 3, NULL);
    assert_ptr_equal(ss_index_single(ix), &users[9]);
    assert_int_equal(skipped, 2);
    atomic_store(&users[9].removed, true);
    assert_null(ss_index_single(ix));
    user_index_free(ix);
}

static void names_users_of_2022(void **state)
{
    static const uint8_t server_key[SS_KEY_MAX] = "a key of the server, 32 bytes..";
    struct user_rt *list[3] = {&users[0], &users[2], &users[3]};
    uint8_t key[SS_KEY_MAX], name[SS2022_NAME_LEN];
    char text[USER_SECRET_MAX + 1];

    (void)state;
    users[2].secret = "too short for it";
    ss_conf_init(&conf, ss_method_find("2022-blake3-aes-256-gcm"), server_key, true);
    struct user_index *ix = build(list, 3, NULL);
    assert_int_equal(skipped, 1);
    assert_int_equal(ix->count, 2);
    assert_true(ss2022_user_key(conf.method, user_secret(&users[3], text), key));
    ss2022_user_name(conf.method, key, name);
    assert_ptr_equal(key_index_find(ix, name), &users[3]);
    user_index_free(ix);
    users[2].secret = NULL;
    /* sixteen characters of a uuid may be the same */
    users[3].uuid[15] ^= 1;
    memcpy(users[2].uuid, users[3].uuid, UUID_LEN);
    users[2].uuid[15] ^= 1;
    ss_conf_init(&conf, ss_method_find("2022-blake3-aes-128-gcm"), server_key, true);
    skipped = 0;
    ix = build(list + 1, 2, NULL);
    assert_int_equal(skipped, 1);
    assert_int_equal(ix->count, 1);
    user_index_free(ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_change_costs_the_chunks_it_touches, make_users),
        cmocka_unit_test_setup(users_in_any_order, make_users),
        cmocka_unit_test_setup(finds_by_uid, make_users),
        cmocka_unit_test_setup(one_user_where_the_cipher_knows_no_more, make_users),
        cmocka_unit_test_setup(names_users_of_2022, make_users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
