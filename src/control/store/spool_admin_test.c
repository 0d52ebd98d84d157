#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <cmocka.h>

#include "control/store/spool_admin.h"
#include "control/store/store.h"

#define OLD "https://old.example/api|7|vless"
#define NEW "https://new.example/api|8|vless"

static char dir[64];

struct side {
    struct store *s;
    uint32_t old, new;
    uint64_t aid;
};

static void open_store(struct side *d)
{
    d->s = store_open(dir, NULL);
    assert_non_null(d->s);
    assert_int_equal(store_node(d->s, OLD, &d->old), ST_OK);
    assert_int_equal(store_node(d->s, NEW, &d->new), ST_OK);
}

static int set_up(void **state)
{
    static struct side d;

    strcpy(dir, "/tmp/v2sp-spool-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    memset(&d, 0, sizeof(d));
    open_store(&d);
    *state = &d;
    return 0;
}

static int tear_down(void **state)
{
    struct side *d = *state;
    char cmd[128];

    store_close(d->s);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

/* Traffic of a user; @last: his account has ended. */
static void put(struct side *d, uint32_t node, uint64_t uid, uint64_t up, uint64_t down, bool last)
{
    const struct spool_account a = {
        .aid = ++d->aid, .uid = uid, .node = node, .up = up, .down = down, .last = last};
    assert_int_equal(spool_put(d->s, &a, 500), ST_OK);
}

static uint64_t freeze(struct side *d, uint32_t node)
{
    struct spool_batch b;
    assert_int_equal(spool_freeze(d->s, node, 0, SPOOL_ROWS_MAX, 1000, NULL, &b), ST_OK);
    return b.seq;
}

struct seen {
    struct spool_batch_info b[80];
    char key[80][SPOOL_KEY_LEN];
    unsigned n;
};

static enum status see(void *arg, const struct spool_batch_info *b)
{
    struct seen *s = arg;

    assert_true(s->n < 80);
    strcpy(s->key[s->n], b->key);
    s->b[s->n++] = *b;
    return ST_OK;
}

static struct seen batches(struct side *d, uint32_t node, const char *identity)
{
    struct seen s = {.n = 0};
    assert_int_equal(spool_admin_batches(d->s, node, identity, see, &s), ST_OK);
    return s;
}

static void a_batch_is_shown_as_it_is(void **state)
{
    struct side *d = *state;
    struct spool_sum sum;
    int64_t since;

    put(d, d->old, 11, 5, 7, false);
    put(d, d->old, 12, 1, 1, false);
    assert_int_equal(spool_admin_accounts(d->s, d->old, &sum, &since), ST_OK);
    assert_int_equal(sum.rows, 2);
    assert_int_equal(sum.up, 6);
    assert_int_equal(sum.down, 8);
    assert_int_equal(since, 500);
    uint64_t seq = freeze(d, d->old);
    assert_int_equal(spool_sending(d->s, d->old, seq), ST_OK);
    assert_int_equal(spool_admin_accounts(d->s, d->old, &sum, &since), ST_OK);
    assert_int_equal(sum.rows, 0);
    assert_int_equal(since, 0);
    struct seen s = batches(d, d->old, OLD);
    char key[SPOOL_KEY_LEN];
    assert_int_equal(s.n, 1);
    assert_int_equal(s.b[0].seq, seq);
    assert_int_equal(s.b[0].sum.rows, 2);
    assert_int_equal(s.b[0].sum.down, 8);
    assert_int_equal(s.b[0].frozen_s, 1000);
    assert_true(s.b[0].tried);
    assert_int_equal(s.b[0].parked, SPOOL_NOT_PARKED);
    assert_string_equal(s.key[0], spool_key(d->s, 7, d->old, seq, key));
}

static void a_parked_batch_waits_for_somebody(void **state)
{
    struct side *d = *state;
    struct spool_batch b;
    struct spool_sum sum;

    assert_int_equal(spool_admin_replay(d->s, d->old, 0, &sum), ST_E_NOTFOUND);
    put(d, d->old, 11, 5, 0, false);
    uint64_t seq = freeze(d, d->old);
    assert_int_equal(spool_sending(d->s, d->old, seq), ST_OK);
    assert_int_equal(spool_park(d->s, d->old, seq), ST_OK);
    assert_int_equal(spool_freeze(d->s, d->old, 0, 100, 1000, NULL, &b), ST_E_NOTFOUND);
    put(d, d->old, 11, 1, 0, false);
    assert_int_equal(freeze(d, d->old), seq + 1);
    assert_int_equal(spool_admin_replay(d->s, d->old, 99, &sum), ST_E_NOTFOUND);
    assert_int_equal(spool_admin_replay(d->s, d->old, 0, &sum), ST_OK);
    assert_true(sum.rows == 1 && sum.up == 5);
    assert_int_equal(spool_admin_replay(d->s, d->old, seq, &sum), ST_OK); /* due already */
    assert_int_equal(spool_freeze(d->s, d->old, 0, 100, 1000, NULL, &b), ST_OK);
    assert_int_equal(b.seq, seq);
    assert_true(b.tried && b.asked);
    /* The panel was not there: that somebody asked is not forgotten, nor that it may be booked. */
    assert_int_equal(spool_sending(d->s, d->old, seq), ST_OK);
    assert_int_equal(spool_back(d->s, d->old, seq, true), ST_OK);
    assert_int_equal(spool_freeze(d->s, d->old, 0, 100, 1000, NULL, &b), ST_OK);
    assert_true(b.seq == seq && b.tried && b.asked);
    /* Killed while it is sent: not sent a third time by itself. */
    assert_int_equal(spool_sending(d->s, d->old, seq), ST_OK);
    assert_int_equal(spool_freeze(d->s, d->old, 0, 100, 1000, NULL, &b), ST_OK);
    assert_true(b.seq == seq && b.tried && !b.asked);
}

static void dropping_says_what_is_lost(void **state)
{
    struct side *d = *state;
    struct spool_sum sum;

    put(d, d->old, 11, 5, 7, true);
    uint64_t seq = freeze(d, d->old);
    put(d, d->old, 12, 100, 1, true);
    put(d, d->old, 13, 1000, 0, false); /* somebody still counts for it */
    assert_int_equal(spool_admin_drop(d->s, d->old, seq + 1, &sum), ST_E_NOTFOUND);
    assert_int_equal(spool_admin_drop(d->s, d->old, seq, &sum), ST_OK);
    assert_true(sum.rows == 1 && sum.up == 5 && sum.down == 7);
    assert_int_equal(batches(d, d->old, OLD).n, 0);
    assert_int_equal(spool_admin_drop_node(d->s, d->old, &sum), ST_OK);
    assert_true(sum.rows == 1 && sum.up == 100 && sum.down == 1);
    assert_int_equal(spool_admin_drop_node(d->s, d->old, &sum), ST_E_NOTFOUND);
    uint64_t up, down;
    assert_int_equal(spool_pending(d->s, d->old, &up, &down), ST_OK);
    assert_int_equal(up, 1000);
}

/* A panel that moved: its node is another one for us, the traffic is the same users'. */
static void what_waits_moves_to_another_node(void **state)
{
    struct side *d = *state;
    struct spool_sum sum;
    struct spool_batch b;
    uint64_t up, down;

    put(d, d->new, 9, 1, 0, true);
    uint64_t own = freeze(d, d->new);
    put(d, d->old, 11, 5, 7, true);
    uint64_t seq = freeze(d, d->old);
    assert_int_equal(spool_sending(d->s, d->old, seq), ST_OK);
    struct seen before = batches(d, d->old, OLD);
    put(d, d->old, 12, 100, 1, true);
    put(d, d->old, 13, 1000, 0, false);
    assert_int_equal(spool_admin_move(d->s, d->old, OLD, d->new, &sum), ST_OK);
    assert_true(sum.rows == 2 && sum.up == 105 && sum.down == 8);
    assert_int_equal(spool_admin_move(d->s, d->old, OLD, d->new, &sum), ST_E_NOTFOUND);
    assert_int_equal(spool_pending(d->s, d->old, &up, &down), ST_OK);
    assert_int_equal(up, 1000);
    assert_int_equal(spool_pending(d->s, d->new, &up, &down), ST_OK);
    assert_true(up == 106 && down == 8);
    struct seen s = batches(d, d->new, NEW);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.b[0].seq, own);
    assert_true(s.b[1].seq > own && s.b[1].tried);
    assert_string_equal(s.key[1], before.key[0]); /* the panel may know it */
    assert_int_equal(spool_done(d->s, d->new, own), ST_OK);
    assert_int_equal(spool_freeze(d->s, d->new, 0, 100, 1000, NULL, &b), ST_OK);
    assert_string_equal(b.key, before.key[0]);
    assert_int_equal(spool_done(d->s, d->new, b.seq), ST_OK);
    assert_int_equal(spool_freeze(d->s, d->new, 0, 100, 1000, NULL, &b), ST_OK);
    assert_string_equal(b.key, "");
    assert_int_equal(b.rows, 1);
}

static void parked_batches_are_bounded(void **state)
{
    struct side *d = *state;
    struct spool_sum sum;
    uint64_t first = 0, seq;

    for (unsigned i = 0; i <= SPOOL_PARKED_MAX; i++) {
        assert_int_equal(spool_admin_give_up(d->s, d->old, &seq, &sum), ST_E_NOTFOUND);
        put(d, d->old, 11, i + 1, 0, true);
        seq = freeze(d, d->old);
        first = first == 0 ? seq : first;
        assert_int_equal(spool_park(d->s, d->old, seq), ST_OK);
    }
    assert_int_equal(spool_admin_give_up(d->s, d->old, &seq, &sum), ST_OK);
    assert_int_equal(seq, first);
    assert_int_equal(sum.up, 1);
    assert_int_equal(batches(d, d->old, OLD).n, SPOOL_PARKED_MAX);
}

static enum status count_node(void *arg, const struct spool_node_info *n)
{
    struct side *d = arg;
    assert_string_equal(n->identity, n->node == d->old ? OLD : NEW);
    d->aid++;
    return ST_OK;
}

static void nodes_of_the_database(void **state)
{
    struct side *d = *state;
    assert_int_equal(spool_admin_nodes(d->s, count_node, d), ST_OK);
    assert_int_equal(d->aid, 2);
}

static void a_database_of_version_2_goes_on(void **state)
{
    struct side *d = *state;
    char path[128];
    struct sqlite3 *db;

    put(d, d->old, 11, 5, 7, false);
    uint64_t seq = freeze(d, d->old);
    store_close(d->s);
    snprintf(path, sizeof(path), "%s/" STORE_FILE, dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "ALTER TABLE batch DROP COLUMN frozen;"
                                  "ALTER TABLE batch DROP COLUMN parked;"
                                  "ALTER TABLE batch DROP COLUMN key; PRAGMA user_version=2",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    open_store(d);
    assert_true(store_is_durable(d->s));
    struct seen s = batches(d, d->old, OLD);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.b[0].seq, seq);
    assert_int_equal(s.b[0].frozen_s, 0);
    assert_int_equal(spool_park(d->s, d->old, seq), ST_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_is_shown_as_it_is),       TEST(a_parked_batch_waits_for_somebody),
        TEST(dropping_says_what_is_lost),      TEST(what_waits_moves_to_another_node),
        TEST(parked_batches_are_bounded),      TEST(nodes_of_the_database),
        TEST(a_database_of_version_2_goes_on),
    };
    return cmocka_run_group_tests_name("spool_admin", tests, NULL, NULL);
}
