#include "control/store/spool.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>

#include "control/store/store.h"

/* uids and sums are below 2^63: the panel's ids by parsing, sums because 2^63 bytes are a century
 * at full line rate. */
static void bind(struct sqlite3_stmt *q, int at, uint64_t v)
{
    sqlite3_bind_int64(q, at, (int64_t)v);
}

static enum status run1(struct store *s, const char *sql, uint64_t a)
{
    struct sqlite3_stmt *q = store_sql(s, sql);

    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, a);
    return store_step(s, q);
}

static enum status run2(struct store *s, const char *sql, uint64_t a, uint64_t b)
{
    struct sqlite3_stmt *q = store_sql(s, sql);

    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, a);
    bind(q, 2, b);
    return store_step(s, q);
}

static enum status run3(struct store *s, const char *sql, uint64_t a, uint64_t b, uint64_t c)
{
    struct sqlite3_stmt *q = store_sql(s, sql);

    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, a);
    bind(q, 2, b);
    bind(q, 3, c);
    return store_step(s, q);
}

enum status spool_put(struct store *s, const struct spool_account *a, int64_t unix_s)
{
    /* Sums never fall: after a power cut the file of the counters may be older than the
     * database. */
    struct sqlite3_stmt *q = store_sql(
        s, "INSERT INTO live(aid, node, uid, up, down, fup, fdown, since, dead)"
           " VALUES(?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7) ON CONFLICT(node, aid) DO UPDATE SET"
           " since = CASE WHEN up=fup AND down=fdown THEN excluded.since ELSE since END,"
           " up = max(up, excluded.up), down = max(down, excluded.down),"
           " dead = max(dead, excluded.dead)");
    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, a->aid);
    bind(q, 2, a->node);
    bind(q, 3, a->uid);
    bind(q, 4, a->up);
    bind(q, 5, a->down);
    sqlite3_bind_int64(q, 6, unix_s);
    sqlite3_bind_int(q, 7, a->last);
    return store_step(s, q);
}

enum status spool_recover(struct store *s, uint32_t epoch, bool *before)
{
    enum status st = run1(s, "INSERT OR IGNORE INTO recovered(epoch) VALUES(?1)", epoch);

    *before = st == ST_OK && store_changes(s) == 0;
    if (st != ST_OK || *before)
        return st;
    return run2(s, "UPDATE live SET dead=1 WHERE aid>=?1 AND aid<?2", (uint64_t)epoch << 32,
                ((uint64_t)epoch + 1) << 32);
}

enum status spool_bury(struct store *s, uint32_t epoch)
{
    uint64_t end = (uint64_t)epoch << 32;
    enum status st = store_begin(s);

    if (st != ST_OK)
        return st;
    st = run1(s, "DELETE FROM live WHERE aid<?1 AND up=fup AND down=fdown", end);
    if (st == ST_OK)
        st = run1(s, "UPDATE live SET dead=1 WHERE aid<?1 AND dead=0", end);
    if (st == ST_OK)
        st = run1(s, "DELETE FROM recovered WHERE epoch<?1", epoch);
    return store_finish(s, st);
}

static enum status find(struct store *s, uint32_t node, struct spool_batch *out)
{
    struct sqlite3_stmt *q =
        store_sql(s, "SELECT seq, tried, (SELECT count(*) FROM batch_row r WHERE r.node=b.node AND"
                     " r.seq=b.seq), parked, key FROM batch b WHERE node=?1 AND parked<>1"
                     " ORDER BY seq LIMIT 1");
    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, node);
    enum status st = store_step(s, q);
    if (st != ST_MORE)
        return st == ST_OK ? ST_E_NOTFOUND : st;
    out->seq = (uint64_t)sqlite3_column_int64(q, 0);
    out->tried = sqlite3_column_int(q, 1) != 0;
    out->rows = (uint32_t)sqlite3_column_int64(q, 2);
    out->more = true;
    out->asked = sqlite3_column_int(q, 3) == SPOOL_ASKED;
    const char *key = (const char *)sqlite3_column_text(q, 4);
    snprintf(out->key, sizeof(out->key), "%s", key != NULL ? key : "");
    store_reset(q);
    return ST_OK;
}

uint64_t spool_next_seq(struct store *s, uint32_t node)
{
    if (run1(s, "UPDATE node SET seq=seq+1 WHERE id=?1", node) != ST_OK)
        return 0;
    struct sqlite3_stmt *q = store_sql(s, "SELECT seq FROM node WHERE id=?1");
    if (q == NULL)
        return 0;
    bind(q, 1, node);
    if (store_step(s, q) != ST_MORE)
        return 0;
    uint64_t seq = (uint64_t)sqlite3_column_int64(q, 0);
    store_reset(q);
    return seq;
}

/* Which accounts of a node go into a batch: those behind one, up to another, that have enough to
 * tell, or will not have more, or have waited; a time later than now: the clock was set back. In
 * the order of their numbers, so that a freeze reads what it takes and not what others have
 * taken: with 500,000 accounts all together cost the time of one pass. */
struct wanted {
    uint32_t node;
    uint64_t after, last;
    uint64_t min_bytes;
    int64_t before, now;
};
#define WANTED                                                                                     \
    " WHERE node=?1 AND aid>?2 AND aid<=?3 AND (up<>fup OR down<>fdown)"                           \
    " AND (up-fup+down-fdown>=?4 OR dead=1 OR since<=?5 OR since>?6)"

static struct sqlite3_stmt *wanted_sql(struct store *s, const char *sql, const struct wanted *w)
{
    struct sqlite3_stmt *q = store_sql(s, sql);

    if (q == NULL)
        return NULL;
    bind(q, 1, w->node);
    bind(q, 2, w->after);
    bind(q, 3, w->last);
    bind(q, 4, w->min_bytes);
    sqlite3_bind_int64(q, 5, w->before);
    sqlite3_bind_int64(q, 6, w->now);
    return q;
}

/* The last of the first @max, in w->last; *@count of them. ST_E_NOTFOUND: none. */
static enum status measure(struct store *s, struct wanted *w, uint32_t max, uint32_t *count)
{
    w->last = INT64_MAX;
    struct sqlite3_stmt *q = wanted_sql(s,
                                        "SELECT count(*), max(aid) FROM (SELECT aid FROM live"
                                        " " WANTED " ORDER BY aid LIMIT ?7)",
                                        w);
    if (q == NULL)
        return ST_E_IO;
    bind(q, 7, max);
    if (store_step(s, q) != ST_MORE)
        return ST_E_IO;
    *count = (uint32_t)sqlite3_column_int64(q, 0);
    w->last = (uint64_t)sqlite3_column_int64(q, 1);
    store_reset(q);
    return *count > 0 ? ST_OK : ST_E_NOTFOUND;
}

/* Accounts of @w that ended and are in batches. Another process may live on this database (an
 * upgrade), and put its accounts again until its start is marked recovered: one that were gone by
 * then would be booked a second time. */
static enum status bury_settled(struct store *s, const struct wanted *w)
{
    uint64_t ours = (uint64_t)store_epoch(s) << 32;
    struct sqlite3_stmt *q =
        store_sql(s, "DELETE FROM live WHERE node=?1 AND dead=1 AND aid>?4 AND aid<=?5 AND"
                     " up=fup AND down=fdown AND"
                     " (aid>=?2 OR aid<?3 OR (aid>>32) IN (SELECT epoch FROM recovered))");
    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, w->node);
    bind(q, 2, ours);
    bind(q, 3, store_is_alone(s) ? ours : 0);
    bind(q, 4, w->after);
    bind(q, 5, w->last);
    return store_step(s, q);
}

/* Within a transaction. ST_E_NOTFOUND leaves nothing behind but the caller's rollback. */
static enum status freeze(struct store *s, struct wanted *w, uint32_t max, struct spool_batch *out)
{
    uint32_t count = 0;
    enum status st = measure(s, w, max, &count);

    if (st == ST_E_NOTFOUND && w->after > 0) {
        w->after = 0;
        st = measure(s, w, max, &count);
    }
    if (st != ST_OK)
        return st;
    uint64_t seq = spool_next_seq(s, w->node);
    if (seq == 0)
        return ST_E_IO;
    struct sqlite3_stmt *q = wanted_sql(
        s,
        "INSERT INTO batch_row(node, seq, uid, up, down)"
        " SELECT node, ?7, uid, sum(up-fup), sum(down-fdown) FROM live" WANTED " GROUP BY uid",
        w);
    if (q == NULL)
        return ST_E_IO;
    bind(q, 7, seq);
    if ((st = store_step(s, q)) != ST_OK)
        return st;
    *out =
        (struct spool_batch){.seq = seq, .rows = (uint32_t)store_changes(s), .more = count >= max};
    if ((q = wanted_sql(s, "UPDATE live SET fup=up, fdown=down" WANTED, w)) == NULL)
        return ST_E_IO;
    if ((st = store_step(s, q)) != ST_OK)
        return st;
    struct wanted settled = *w;
    if (!out->more) { /* of earlier ones, too, whose process has ended meanwhile */
        settled.after = 0;
        settled.last = INT64_MAX;
    }
    st = bury_settled(s, &settled);
    if (st == ST_OK)
        st = run3(s, "INSERT INTO batch(node, seq, tried, frozen) VALUES(?1, ?2, 0, ?3)", w->node,
                  seq, (uint64_t)w->now);
    return st;
}

static enum status has_open(struct store *s, uint32_t node, uint64_t after)
{
    struct sqlite3_stmt *q = store_sql(
        s, "SELECT 1 FROM live WHERE node=?1 AND aid>?2 AND (up<>fup OR down<>fdown) LIMIT 1");
    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, node);
    bind(q, 2, after);
    enum status st = store_step(s, q);
    store_reset(q);
    return st == ST_MORE ? ST_OK : st == ST_OK ? ST_E_NOTFOUND : st;
}

enum status spool_freeze(struct store *s, uint32_t node, uint64_t min_bytes, uint32_t rows_max,
                         int64_t unix_s, uint64_t *cursor, struct spool_batch *out)
{
    struct wanted w = {.node = node,
                       .after = cursor != NULL ? *cursor : 0,
                       .min_bytes = min_bytes,
                       .before = unix_s - SPOOL_WAIT_S,
                       .now = unix_s};
    enum status st = find(s, node, out);

    if (st != ST_E_NOTFOUND)
        return st;
    st = has_open(s, node, w.after);
    if (st == ST_E_NOTFOUND && w.after > 0)
        st = has_open(s, node, w.after = 0);
    if (st != ST_OK || (st = store_begin(s)) != ST_OK)
        return st;
    st = store_finish(s, freeze(s, &w, rows_max, out));
    if (st == ST_OK && cursor != NULL)
        *cursor = out->more ? w.last : 0;
    return st;
}

enum status spool_rows(struct store *s, uint32_t node, uint64_t seq,
                       enum status (*row)(void *, uint64_t, uint64_t, uint64_t), void *arg)
{
    struct sqlite3_stmt *q =
        store_sql(s, "SELECT uid, up, down FROM batch_row WHERE node=?1 AND seq=?2 ORDER BY uid");
    enum status st;

    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, node);
    bind(q, 2, seq);
    while ((st = store_step(s, q)) == ST_MORE) {
        st = row(arg, (uint64_t)sqlite3_column_int64(q, 0), (uint64_t)sqlite3_column_int64(q, 1),
                 (uint64_t)sqlite3_column_int64(q, 2));
        if (st != ST_OK) {
            store_reset(q);
            return st;
        }
    }
    return st;
}

enum status spool_sending(struct store *s, uint32_t node, uint64_t seq)
{
    enum status st = store_begin_durable(s);

    if (st != ST_OK)
        return st;
    st = run2(s, "UPDATE batch SET tried=1, parked=0 WHERE node=?1 AND seq=?2", node, seq);
    return store_finish(s, st);
}

enum status spool_done(struct store *s, uint32_t node, uint64_t seq)
{
    enum status st = store_begin(s);

    if (st != ST_OK)
        return st;
    st = run2(s, "DELETE FROM batch_row WHERE node=?1 AND seq=?2", node, seq);
    if (st == ST_OK)
        st = run2(s, "DELETE FROM batch WHERE node=?1 AND seq=?2", node, seq);
    return store_finish(s, st);
}

static enum status mark(struct store *s, const char *sql, uint32_t node, uint64_t seq)
{
    enum status st = store_begin(s);

    if (st != ST_OK)
        return st;
    st = run2(s, sql, node, seq);
    return store_finish(s, st);
}

enum status spool_back(struct store *s, uint32_t node, uint64_t seq, bool before)
{
    if (before)
        return mark(s, "UPDATE batch SET parked=2 WHERE node=?1 AND seq=?2", node, seq);
    return mark(s, "UPDATE batch SET tried=0 WHERE node=?1 AND seq=?2", node, seq);
}

enum status spool_park(struct store *s, uint32_t node, uint64_t seq)
{
    return mark(s, "UPDATE batch SET parked=1 WHERE node=?1 AND seq=?2", node, seq);
}

/* Within a transaction. Both halves get new numbers: the key of the old one named both. */
static enum status split(struct store *s, uint32_t node, uint64_t seq)
{
    for (int half = 0; half < 2; half++) {
        uint64_t to = spool_next_seq(s, node);
        if (to == 0)
            return ST_E_IO;
        struct sqlite3_stmt *q = store_sql(
            s, "UPDATE batch_row SET seq=?3 WHERE node=?1 AND seq=?2 AND uid IN"
               " (SELECT uid FROM batch_row WHERE node=?1 AND seq=?2 ORDER BY uid LIMIT max(?4,"
               " (SELECT (count(*)+1)/2 FROM batch_row WHERE node=?1 AND seq=?2)))");
        if (q == NULL)
            return ST_E_IO;
        bind(q, 1, node);
        bind(q, 2, seq);
        bind(q, 3, to);
        sqlite3_bind_int64(q, 4, half == 0 ? 0 : INT64_MAX); /* the second takes the rest */
        enum status st = store_step(s, q);
        if (st == ST_OK)
            st = run3(s,
                      "INSERT INTO batch(node, seq, tried, frozen) SELECT ?1, ?3, 0, frozen"
                      " FROM batch WHERE node=?1 AND seq=?2",
                      node, seq, to);
        if (st != ST_OK)
            return st;
    }
    return run2(s, "DELETE FROM batch WHERE node=?1 AND seq=?2", node, seq);
}

enum status spool_split(struct store *s, uint32_t node, uint64_t seq)
{
    struct spool_batch b;
    enum status st = find(s, node, &b);

    if (st != ST_OK)
        return st;
    if (b.seq != seq || b.rows < 2)
        return ST_E_NOTFOUND;
    if ((st = store_begin(s)) != ST_OK)
        return st;
    return store_finish(s, split(s, node, seq));
}

enum status spool_pending(struct store *s, uint32_t node, uint64_t *up, uint64_t *down)
{
    struct sqlite3_stmt *q = store_sql(
        s,
        "SELECT ifnull(sum(u), 0), ifnull(sum(d), 0) FROM"
        " (SELECT up-fup AS u, down-fdown AS d FROM live WHERE node=?1 AND (up<>fup OR down<>fdown)"
        "  UNION ALL SELECT up, down FROM batch_row WHERE node=?1)");
    if (q == NULL)
        return ST_E_IO;
    bind(q, 1, node);
    if (store_step(s, q) != ST_MORE)
        return ST_E_IO;
    *up = (uint64_t)sqlite3_column_int64(q, 0);
    *down = (uint64_t)sqlite3_column_int64(q, 1);
    store_reset(q);
    return ST_OK;
}

char *spool_key(const struct store *s, uint64_t node_id, uint32_t node, uint64_t seq, char *dst)
{
    snprintf(dst, SPOOL_KEY_LEN, "%" PRIu64 "-%016" PRIx64 ".%" PRIu32 "-%" PRIu64, node_id,
             store_id(s), node, seq);
    return dst;
}
