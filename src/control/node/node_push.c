#include "control/node/node_push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/node/node.h"
#include "control/node/node_report.h"
#include "control/store/counters.h"
#include "control/store/spool.h"
#include "control/store/spool_admin.h"
#include "control/store/store.h"

#define ANOTHER_MS   200
#define CLAIM_MS     1000
#define CLAIMS_QUIET 3 /* one that ends is no news */

/* The rows of a batch as they are written. */
struct rows {
    struct node_report body;
    uint64_t up, down;
};

static enum status add_row(void *arg, uint64_t uid, uint64_t up, uint64_t down)
{
    struct rows *t = arg;
    enum status st = node_report_room(&t->body);

    if (st != ST_OK)
        return st;
    v2sp_body_traffic(&t->body.b, uid, up, down);
    t->up += up;
    t->down += down;
    return ST_OK;
}

/* Finishing: nothing more is pushed. */
static void ends(struct node_push *p)
{
    p->over = true;
    loop_timer_del(p->n->env->loop, &p->job.timer);
    p->ended(p->arg);
}

/* Nothing can be sent now; at the next interval everything is tried again. */
static void later(struct node_push *p)
{
    if (p->finishing)
        ends(p);
    else
        loop_timer_in(p->n->env->loop, &p->job.timer, node_report_interval(p->n));
}

static void idle(struct node_push *p)
{
    if (p->finishing)
        ends(p);
    else
        node_job_done(p->n, &p->job, "push", node_report_interval(p->n));
}

static void on_pushed(void *arg, const struct panel_reply *reply);

/* ReportPolicy at-most-once: what the panel may have booked is not sent again unless somebody asks
 * for it (v2sp spool replay). */
static enum status park(struct node_push *p, uint64_t seq)
{
    struct node *n = p->n;
    struct spool_sum sum;
    uint64_t old;
    enum status st = spool_park(n->env->store, n->store_node, seq);

    if (st != ST_OK)
        return st;
    node_log(n, LOG_WARNING,
             "push: the panel may have booked batch %" PRIu64
             ", so it is parked (ReportPolicy at-most-once); see: v2sp spool list",
             seq);
    while (spool_admin_give_up(n->env->store, n->store_node, &old, &sum) == ST_OK)
        node_log(n, LOG_WARNING,
                 "push: over %u batches are parked: batch %" PRIu64 " is given up, %" PRIu64
                 " users, %" PRIu64 " bytes up, %" PRIu64 " down",
                 SPOOL_PARKED_MAX, old, sum.rows, sum.up, sum.down);
    return ST_OK;
}

/* The batch to send; one that may have been booked, by an earlier process too, is parked if it must
 * be. As spool_freeze. */
static enum status next_batch(struct node_push *p, int64_t now, struct spool_batch *b)
{
    struct node *n = p->n;
    uint64_t min = n->served != NULL && !p->finishing ? n->served->report_min : 0;
    enum status st;

    while ((st = spool_freeze(n->env->store, n->store_node, min, p->rows_max, now, &p->cursor,
                              b)) == ST_OK) {
        if (!n->conf->options.at_most_once || !b->tried || b->asked)
            return ST_OK;
        if ((st = park(p, b->seq)) != ST_OK)
            return st;
    }
    return st;
}

/* A node that is taken out of the file and put back while its sessions end is there twice, on one
 * spool. The batch on its way is the oldest, which this one would send as well. */
static bool another_sends(const struct node_push *p)
{
    LIST_FOREACH(l, tmp, &p->n->env->sending) {
        const struct node_push *other = LIST_ENTRY(l, struct node_push, sending);
        if (other != p && other->n->store_node == p->n->store_node)
            return true;
    }
    return false;
}

/* Another v2sp on this StateDir (one started by hand, or by a container that is not gone yet) would
 * send the same batches. */
static bool is_ours(struct node_push *p)
{
    struct node *n = p->n;

    if (store_claim_node(n->env->store, n->store_node)) {
        p->not_ours = 0;
        node_trouble_clear(n, &p->other_trouble, "push: no other process reports this node now");
        return true;
    }
    if (++p->not_ours > CLAIMS_QUIET)
        node_trouble_set(n, &p->other_trouble, 1,
                         "push: another process with this StateDir reports this node: waiting for "
                         "its end");
    return false;
}

/* May a batch be taken now? If not, the timer is armed, or it is over. */
static bool is_time(struct node_push *p)
{
    const struct node *n = p->n;

    if (p->acked_seq != 0) {
        if (spool_done(n->env->store, n->store_node, p->acked_seq) != ST_OK) {
            later(p);
            return false;
        }
        p->acked_seq = 0;
        list_del(&p->sending);
    }
    if (another_sends(p)) {
        loop_timer_in(n->env->loop, &p->job.timer, ANOTHER_MS);
        return false;
    }
    if (!n->env->reports) {
        /* Another process pushes from the same spool. */
        if (p->finishing &&
            counters_sample(n->env->counters, loop_unix_s(n->env->loop), NULL) != ST_OK)
            node_log(n, LOG_DEBUG, "the last sums wait in the counters");
        later(p);
        return false;
    }
    if (is_ours(p))
        return true;
    if (p->finishing)
        later(p);
    else
        loop_timer_in(n->env->loop, &p->job.timer, CLAIM_MS);
    return false;
}

/* The report of @b. It is marked as sent, on disk, before the first byte: after a power cut it is
 * sent again with its number, not anew. */
static enum status write_batch(const struct node *n, const struct spool_batch *b, struct rows *t)
{
    struct store *s = n->env->store;
    enum status st = node_report_open(&t->body);

    if (st == ST_OK)
        st = spool_rows(s, n->store_node, b->seq, add_row, t);
    if (st == ST_OK)
        st = node_report_room(&t->body);
    if (st == ST_OK)
        st = spool_sending(s, n->store_node, b->seq);
    if (st == ST_OK)
        v2sp_body_close(&t->body.b);
    return st;
}

static void push_now(struct node_push *p)
{
    struct node *n = p->n;
    int64_t now = loop_unix_s(n->env->loop);
    struct spool_batch b;
    struct rows t = {.up = 0};
    char key[SPOOL_KEY_LEN];

    if (p->job.call != NULL || !is_time(p))
        return;
    /* A sample that fails has been said; what is in the spool is pushed all the same. */
    enum status st = counters_sample(n->env->counters, now, NULL);
    st = next_batch(p, now, &b);
    if (st == ST_E_NOTFOUND) {
        idle(p);
        return;
    }
    if (st == ST_OK)
        st = write_batch(n, &b, &t);
    if (st != ST_OK) {
        free(t.body.b.text);
        later(p);
        return;
    }
    p->seq = b.seq;
    p->rows = b.rows;
    p->resent = b.tried;
    p->more = b.more;
    p->batch_up = t.up;
    p->batch_down = t.down;
    spool_key(n->env->store, n->conf->api.node_id, n->store_node, b.seq, key);
    p->job.call = node_report_post(n, V2SP_PUSH, &t.body, b.key[0] != '\0' ? b.key : key, b.seq,
                                   on_pushed, p);
    if (p->job.call != NULL)
        list_add_tail(&n->env->sending, &p->sending);
    else
        later(p);
}

static bool says_fail(const struct panel_reply *reply)
{
    struct json_t *v = NULL;
    struct json_error e;

    if (reply->body_len == 0)
        return false;
    if (v2sp_outcome_is_html(reply->body, reply->body_len))
        return true; /* a login or error page in front of the panel */
    if (json_parse(reply->body, reply->body_len, &v, &e) != ST_OK)
        return false;
    bool fail = strcmp(json_get_str(v, "status", ""), "fail") == 0;
    json_unref(v);
    return fail;
}

static void applied(struct node_push *p)
{
    struct node *n = p->n;

    p->pushed_up += p->batch_up;
    p->pushed_down += p->batch_down;
    p->pushed_s = loop_unix_s(n->env->loop);
    if (spool_done(n->env->store, n->store_node, p->seq) != ST_OK) {
        p->acked_seq = p->seq; /* must not be sent again, though the spool still has it */
        list_add_tail(&n->env->sending, &p->sending);
        later(p);
        return;
    }
    /* More than fits into one request, or waited for while the panel was down. */
    if (p->finishing || p->more || p->resent || p->again || p->job.fails > 0) {
        p->again = false;
        node_job_done(n, &p->job, "push", node_report_interval(p->n));
        push_now(p);
        return;
    }
    idle(p);
}

static void on_pushed(void *arg, const struct panel_reply *reply)
{
    struct node_push *p = arg;
    struct node *n = p->n;
    char text[NODE_PROBLEM_MAX];
    enum v2sp_outcome o = v2sp_outcome_of(reply->http, reply->sent, false);

    p->job.call = NULL;
    list_del(&p->sending);
    if (o == V2SP_DONE && says_fail(reply))
        o = V2SP_BAD_REPLY;
    enum v2sp_applied a = v2sp_outcome_applied(o, reply->http);
    if (a == V2SP_APPLIED) {
        applied(p);
        return;
    }
    if (reply->http != 0)
        v2sp_outcome_message(text, sizeof(text), reply->body, reply->body_len);
    else
        snprintf(text, sizeof(text), "%.150s", reply->text);
    /* Failing to unmark it only means that it stays marked: it is sent again as it is in either
     * case. */
    if (a == V2SP_MAYBE_APPLIED && n->conf->options.at_most_once && park(p, p->seq) != ST_OK)
        node_log(n, LOG_DEBUG, "push: parked with the next one");
    if (a == V2SP_NOT_APPLIED &&
        spool_back(n->env->store, n->store_node, p->seq, p->resent) == ST_OK &&
        reply->http == 413 && spool_split(n->env->store, n->store_node, p->seq) == ST_OK) {
        p->rows_max = p->rows / 2;
        push_now(p);
        return;
    }
    node_job_failed(n, &p->job, "push", o, reply, text, node_report_interval(p->n));
    if (p->finishing)
        ends(p);
    else if (p->again)
        loop_timer_in(n->env->loop, &p->job.timer, 0);
    p->again = false;
}

static void on_timer(struct timer *t)
{
    push_now(LIST_ENTRY(t, struct node_push, job.timer));
}

void node_push_init(struct node_push *p, struct node *n, void (*ended)(void *arg), void *arg)
{
    *p = (struct node_push){.n = n, .rows_max = SPOOL_ROWS_MAX, .ended = ended, .arg = arg};
    timer_init(&p->job.timer, on_timer);
    list_init(&p->sending);
}

void node_push_stop(struct node_push *p)
{
    p->finishing = true;
    panel_cancel(p->job.call);
    p->job.call = NULL;
    loop_timer_del(p->n->env->loop, &p->job.timer);
    list_del(&p->sending);
}

void node_push_start(struct node_push *p, uint64_t after_ms)
{
    loop_timer_in(p->n->env->loop, &p->job.timer, after_ms);
}

void node_push_poke(struct node_push *p)
{
    p->again = p->job.call != NULL;
    push_now(p);
}

void node_push_finish(struct node_push *p)
{
    p->finishing = true;
    loop_timer_del(p->n->env->loop, &p->job.timer);
    push_now(p);
}

bool node_push_is_pushing(const struct node_push *p)
{
    return p->job.call != NULL || p->acked_seq != 0;
}
