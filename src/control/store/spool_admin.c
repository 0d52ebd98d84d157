#include "control/store/spool_admin.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/store/store.h"

/* Prepared with up to three numbers; NULL: failed. */
static struct sqlite3_stmt *ask(struct store *s, const char *sql, uint64_t a, uint64_t b,
                                uint64_t c)
{
    struct sqlite3_stmt *q = store_sql(s, sql);
    const uint64_t v[] = {a, b, c};

    for (int i = 0; q != NULL && i < sqlite3_bind_parameter_count(q) && i < 3; i++)
        sqlite3_bind_int64(q, i + 1, (int64_t)v[i]);
    return q;
}

static enum status run(struct store *s, const char *sql, uint64_t a, uint64_t b, uint64_t c)
{
    struct sqlite3_stmt *q = ask(s, sql, a, b, c);
    return q == NULL ? ST_E_IO : store_step(s, q);
}

static enum status read_sum(struct store *s, struct sqlite3_stmt *q, struct spool_sum *sum)
{
    enum status st = q == NULL ? ST_E_IO : store_step(s, q);

    if (st != ST_MORE)
        return st == ST_OK ? ST_E_NOTFOUND : st;
    *sum = (struct spool_sum){.rows = (uint64_t)sqlite3_column_int64(q, 0),
                              .up = (uint64_t)sqlite3_column_int64(q, 1),
                              .down = (uint64_t)sqlite3_column_int64(q, 2)};
    return ST_OK;
}

/* The same of a statement that is not needed any more; ST_E_NOTFOUND also where nothing was added
 * up. */
static enum status take_sum(struct store *s, struct sqlite3_stmt *q, struct spool_sum *sum)
{
    enum status st = read_sum(s, q, sum);

    if (st == ST_OK)
        store_reset(q);
    return st == ST_OK && sum->rows == 0 ? ST_E_NOTFOUND : st;
}

/* ---- looking --------------------------------------------------------------------------------- */

enum status spool_admin_nodes(struct store *s,
                              enum status (*fn)(void *arg, const struct spool_node_info *n),
                              void *arg)
{
    struct sqlite3_stmt *q = store_sql(s, "SELECT id, key FROM node ORDER BY id");
    enum status st;

    if (q == NULL)
        return ST_E_IO;
    while ((st = store_step(s, q)) == ST_MORE) {
        struct spool_node_info n = {.node = (uint32_t)sqlite3_column_int64(q, 0),
                                    .identity = (const char *)sqlite3_column_text(q, 1)};
        if (n.identity == NULL || (st = fn(arg, &n)) != ST_OK) {
            store_reset(q);
            return n.identity == NULL ? ST_E_NOMEM : st;
        }
    }
    return st;
}

enum status spool_admin_accounts(struct store *s, uint32_t node, struct spool_sum *sum,
                                 int64_t *oldest_s)
{
    struct sqlite3_stmt *q =
        ask(s,
            "SELECT count(*), ifnull(sum(up-fup), 0), ifnull(sum(down-fdown), 0),"
            " ifnull(min(since), 0) FROM live WHERE node=?1 AND (up<>fup OR down<>fdown)",
            node, 0, 0);
    enum status st = read_sum(s, q, sum);

    if (st != ST_OK)
        return st;
    *oldest_s = sqlite3_column_int64(q, 3);
    store_reset(q);
    return ST_OK;
}

/* The number that the panel knows the node by: between the last two bars. */
static uint64_t node_id_of(const char *identity)
{
    const char *end = strrchr(identity, '|'), *p = end;

    while (p != NULL && p > identity && p[-1] != '|')
        p--;
    return p != NULL ? strtoull(p, NULL, 10) : 0;
}

enum status spool_admin_batches(struct store *s, uint32_t node, const char *identity,
                                enum status (*fn)(void *arg, const struct spool_batch_info *b),
                                void *arg)
{
    struct sqlite3_stmt *q = ask(s,
                                 "SELECT count(*), sum(up), sum(down), b.seq, frozen, tried,"
                                 " parked, key FROM batch b JOIN batch_row r ON r.node=b.node AND"
                                 " r.seq=b.seq WHERE b.node=?1 GROUP BY b.seq ORDER BY b.seq",
                                 node, 0, 0);
    uint64_t id = node_id_of(identity);
    enum status st;

    if (q == NULL)
        return ST_E_IO;
    while ((st = store_step(s, q)) == ST_MORE) {
        struct spool_batch_info b = {.seq = (uint64_t)sqlite3_column_int64(q, 3),
                                     .frozen_s = sqlite3_column_int64(q, 4),
                                     .tried = sqlite3_column_int(q, 5) != 0,
                                     .parked = (enum spool_parked)sqlite3_column_int(q, 6),
                                     .sum = {.rows = (uint64_t)sqlite3_column_int64(q, 0),
                                             .up = (uint64_t)sqlite3_column_int64(q, 1),
                                             .down = (uint64_t)sqlite3_column_int64(q, 2)}};
        char key[SPOOL_KEY_LEN];
        b.key = (const char *)sqlite3_column_text(q, 7);
        if (b.key == NULL)
            b.key = spool_key(s, id, node, b.seq, key);
        if ((st = fn(arg, &b)) != ST_OK) {
            store_reset(q);
            return st;
        }
    }
    return st;
}

static enum status sum_batch(struct store *s, uint32_t node, uint64_t seq, struct spool_sum *sum)
{
    struct sqlite3_stmt *q = ask(s,
                                 "SELECT count(*), sum(up), sum(down) FROM batch_row"
                                 " WHERE node=?1 AND seq=?2 GROUP BY seq",
                                 node, seq, 0);

    return take_sum(s, q, sum);
}

static enum status sum_node(struct store *s, uint32_t node, struct spool_sum *sum)
{
    struct sqlite3_stmt *q =
        ask(s,
            "SELECT count(*), sum(u), sum(d) FROM"
            " (SELECT up-fup AS u, down-fdown AS d FROM live WHERE node=?1 AND dead=1 AND"
            "  (up<>fup OR down<>fdown) UNION ALL SELECT up, down FROM batch_row WHERE node=?1)",
            node, 0, 0);

    return take_sum(s, q, sum);
}

/* ---- deciding -------------------------------------------------------------------------------- */

static enum status sum_parked(struct store *s, uint32_t node, struct spool_sum *sum)
{
    struct sqlite3_stmt *q = ask(s,
                                 "SELECT count(*), sum(up), sum(down) FROM batch b JOIN batch_row r"
                                 " ON r.node=b.node AND r.seq=b.seq WHERE b.node=?1 AND parked=1",
                                 node, 0, 0);

    return take_sum(s, q, sum);
}

enum status spool_admin_replay(struct store *s, uint32_t node, uint64_t seq, struct spool_sum *sum)
{
    enum status st = seq != 0 ? sum_batch(s, node, seq, sum) : sum_parked(s, node, sum);

    if (st != ST_OK || (st = store_begin(s)) != ST_OK)
        return st;
    return store_finish(s, run(s,
                               "UPDATE batch SET parked=2 WHERE node=?1 AND (seq=?2 OR ?2=0) AND"
                               " parked=1",
                               node, seq, 0));
}

static enum status drop(struct store *s, uint32_t node, uint64_t seq)
{
    enum status st = run(s, "DELETE FROM batch_row WHERE node=?1 AND seq=?2", node, seq, 0);

    if (st == ST_OK)
        st = run(s, "DELETE FROM batch WHERE node=?1 AND seq=?2", node, seq, 0);
    return st;
}

enum status spool_admin_drop(struct store *s, uint32_t node, uint64_t seq, struct spool_sum *sum)
{
    enum status st = sum_batch(s, node, seq, sum);

    if (st != ST_OK || (st = store_begin(s)) != ST_OK)
        return st;
    return store_finish(s, drop(s, node, seq));
}

/* Accounts that have not ended are a counter's: what it showed last would come again. */
enum status spool_admin_drop_node(struct store *s, uint32_t node, struct spool_sum *sum)
{
    enum status st = sum_node(s, node, sum);

    if (st != ST_OK || (st = store_begin(s)) != ST_OK)
        return st;
    st = run(s, "DELETE FROM batch_row WHERE node=?1", node, 0, 0);
    if (st == ST_OK)
        st = run(s, "DELETE FROM batch WHERE node=?1", node, 0, 0);
    if (st == ST_OK)
        st = run(s, "DELETE FROM live WHERE node=?1 AND dead=1", node, 0, 0);
    return store_finish(s, st);
}

static enum status move_batch(struct store *s, uint32_t from, uint64_t node_id, uint32_t to,
                              uint64_t seq)
{
    char key[SPOOL_KEY_LEN];
    uint64_t as = spool_next_seq(s, to);

    if (as == 0)
        return ST_E_IO;
    struct sqlite3_stmt *q =
        store_sql(s, "UPDATE batch SET node=?1, seq=?2, key=ifnull(key, ?5) WHERE node=?3 AND"
                     " seq=?4");
    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, to);
    sqlite3_bind_int64(q, 2, (int64_t)as);
    sqlite3_bind_int64(q, 3, from);
    sqlite3_bind_int64(q, 4, (int64_t)seq);
    sqlite3_bind_text(q, 5, spool_key(s, node_id, from, seq, key), -1, SQLITE_TRANSIENT);
    enum status st = store_step(s, q);
    if (st != ST_OK)
        return st;
    q = store_sql(s, "UPDATE batch_row SET node=?1, seq=?2 WHERE node=?3 AND seq=?4");
    if (q == NULL)
        return ST_E_IO;
    sqlite3_bind_int64(q, 1, to);
    sqlite3_bind_int64(q, 2, (int64_t)as);
    sqlite3_bind_int64(q, 3, from);
    sqlite3_bind_int64(q, 4, (int64_t)seq);
    return store_step(s, q);
}

/* One after the other: a walk does not like its rows to change. */
static enum status first_batch(struct store *s, uint32_t node, uint64_t *seq)
{
    struct sqlite3_stmt *q = ask(s, "SELECT min(seq) FROM batch WHERE node=?1", node, 0, 0);
    enum status st = q == NULL ? ST_E_IO : store_step(s, q);

    if (st != ST_MORE)
        return st == ST_OK ? ST_E_NOTFOUND : st;
    *seq = (uint64_t)sqlite3_column_int64(q, 0); /* NULL reads as 0 */
    store_reset(q);
    return *seq != 0 ? ST_OK : ST_E_NOTFOUND;
}

enum status spool_admin_move(struct store *s, uint32_t from, const char *identity, uint32_t to,
                             struct spool_sum *sum)
{
    enum status st = sum_node(s, from, sum);
    uint64_t seq;

    if (st != ST_OK || (st = store_begin(s)) != ST_OK)
        return st;
    while ((st = first_batch(s, from, &seq)) == ST_OK) {
        if ((st = move_batch(s, from, node_id_of(identity), to, seq)) != ST_OK)
            break;
    }
    if (st == ST_E_NOTFOUND) /* none is left; numbers of accounts are used once in a database */
        st = run(s, "UPDATE live SET node=?2 WHERE node=?1 AND dead=1", from, to, 0);
    return store_finish(s, st);
}

enum status spool_admin_give_up(struct store *s, uint32_t node, uint64_t *seq,
                                struct spool_sum *sum)
{
    struct sqlite3_stmt *q =
        ask(s, "SELECT count(*), min(seq) FROM batch WHERE node=?1 AND parked=1", node, 0, 0);
    enum status st = q == NULL ? ST_E_IO : store_step(s, q);

    if (st != ST_MORE)
        return st == ST_OK ? ST_E_NOTFOUND : st;
    uint64_t count = (uint64_t)sqlite3_column_int64(q, 0);
    *seq = (uint64_t)sqlite3_column_int64(q, 1);
    store_reset(q);
    return count > SPOOL_PARKED_MAX ? spool_admin_drop(s, node, *seq, sum) : ST_E_NOTFOUND;
}
