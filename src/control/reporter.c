#include "control/reporter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/counters.h"
#include "control/device_book.h"
#include "control/node.h"
#include "control/online_list.h"
#include "control/spool.h"
#include "control/spool_admin.h"
#include "control/store.h"

#define ALIVE_MAX_S   60u  /* panels forget online addresses after 90 to 300 s */
#define FIRST_PUSH_MS 5000 /* what the last run left should not wait */
#define REPLY_MAX     (64u * 1024)
#define ANOTHER_MS    200
#define CLAIM_MS      1000
#define CLAIMS_QUIET  3 /* one that ends is no news */

struct reporter {
    struct node *n;
    struct node_job push, alive;
    struct list sending; /* in node_env.sending: the spool must not be asked for its oldest batch */
    struct node_trouble other_trouble;
    unsigned not_ours; /* times in a row that another process had the node */
    struct task end;
    bool started, finishing;
    bool push_over, told_last; /* finishing: nothing more goes to the panel of either kind */
    bool again, alive_again;   /* asked for while a call was under way */

    uint64_t seq;       /* of the batch being sent */
    uint64_t acked_seq; /* applied by the panel, but the spool could not note it; 0 = none */
    uint32_t rows;      /* of the batch being sent */
    bool resent;        /* it had been sent before */
    uint32_t rows_max;
    uint64_t batch_up, batch_down, pushed_up, pushed_down;
    int64_t pushed_s; /* of the last push the panel acknowledged */

    struct online_list shown; /* what the last alive report held */
    uint64_t *known;          /* users the panel may believe online, sorted */
    size_t known_count;
    bool known_more;  /* some were added while a report was under way */
    bool asked;       /* the plane has been asked who is online */
    bool refused;     /* the panel has said that it takes no such report */
    uint64_t told_ms; /* when the panel first acknowledged a report; 0 = not yet */
};

struct body {
    struct v2sp_body b;
    size_t room;
    uint64_t up, down;
};

/* ---- bodies ---- */

static enum status body_open(struct body *t)
{
    char *p = malloc(1024);

    if (p == NULL)
        return ST_E_NOMEM;
    *t = (struct body){.room = 1024};
    v2sp_body_open(&t->b, p);
    return ST_OK;
}

static enum status body_room(struct body *t)
{
    if (t->room - t->b.len >= V2SP_BODY_STEP)
        return ST_OK;
    char *p = realloc(t->b.text, t->room * 2);
    if (p == NULL)
        return ST_E_NOMEM;
    t->b.text = p;
    t->room *= 2;
    return ST_OK;
}

static enum status body_row(void *arg, uint64_t uid, uint64_t up, uint64_t down)
{
    struct body *t = arg;
    enum status st = body_room(t);

    if (st != ST_OK)
        return st;
    v2sp_body_traffic(&t->b, uid, up, down);
    t->up += up;
    t->down += down;
    return ST_OK;
}

static struct panel_call *post(struct reporter *r, enum v2sp_action action, struct body *own,
                               const char *key, void (*done)(void *, const struct panel_reply *))
{
    struct node *n = r->n;
    char url[V2SP_URL_MAX];
    struct panel_request q = {.api = &n->conf->api,
                              .url = url,
                              .post = true,
                              .own_body = own->b.text,
                              .body_len = own->b.len,
                              .idempotency_key = key,
                              .seq = r->seq,
                              .reply_max = REPLY_MAX,
                              .done = done,
                              .arg = r};

    if (node_url(n, action, url))
        return panel_start(n->env->client, &q);
    free(own->b.text);
    return NULL;
}

/* ---- push ---- */

static uint64_t push_interval(const struct reporter *r)
{
    const struct served_node *s = r->n->served;
    return (s != NULL ? s->push_s : 60u) * UINT64_C(1000);
}

static void on_end(struct task *t)
{
    struct reporter *r = LIST_ENTRY(t, struct reporter, end);
    struct node *n = r->n;

    n->state = NODE_ENDED;
    n->env->ended(n->env->arg, n);
}

static void end(struct reporter *r)
{
    loop_timer_del(r->n->env->loop, &r->push.timer);
    loop_timer_del(r->n->env->loop, &r->alive.timer);
    loop_task_add(r->n->env->loop, &r->end);
}

/* Finishing: nothing more is pushed. */
static void push_ends(struct reporter *r)
{
    r->push_over = true;
    loop_timer_del(r->n->env->loop, &r->push.timer);
    if (r->alive.call == NULL)
        end(r);
}

/* Nothing can be sent now; at the next interval everything is tried again. */
static void push_later(struct reporter *r)
{
    if (r->finishing)
        push_ends(r);
    else
        loop_timer_in(r->n->env->loop, &r->push.timer, push_interval(r));
}

static void push_idle(struct reporter *r)
{
    if (r->finishing)
        push_ends(r);
    else
        node_job_done(r->n, &r->push, "push", push_interval(r));
}

static void on_pushed(void *arg, const struct panel_reply *reply);

/* ReportPolicy at-most-once: what the panel may have booked is not sent again unless somebody asks
 * for it (v2sp spool replay). */
static enum status park(struct reporter *r, uint64_t seq)
{
    struct node *n = r->n;
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
static enum status next_batch(struct reporter *r, int64_t now, struct spool_batch *b)
{
    struct node *n = r->n;
    uint64_t min = n->served != NULL ? n->served->report_min : 0;
    enum status st;

    while ((st = spool_freeze(n->env->store, n->store_node, min, r->rows_max, r->finishing, now,
                              b)) == ST_OK) {
        if (!n->conf->options.at_most_once || !b->tried || b->asked)
            return ST_OK;
        if ((st = park(r, b->seq)) != ST_OK)
            return st;
    }
    return st;
}

/* A node that is taken out of the file and put back while its sessions end is there twice, on one
 * spool. The batch on its way is the oldest, which this one would send as well. */
static bool another_sends(const struct reporter *r)
{
    LIST_FOREACH(l, tmp, &r->n->env->sending)
    {
        const struct reporter *other = LIST_ENTRY(l, struct reporter, sending);
        if (other != r && other->n->store_node == r->n->store_node)
            return true;
    }
    return false;
}

/* Another v2sp on this StateDir (one started by hand, or by a container that is not gone yet) would
 * send the same batches. */
static bool is_ours(struct reporter *r)
{
    struct node *n = r->n;

    if (store_claim_node(n->env->store, n->store_node)) {
        r->not_ours = 0;
        node_trouble_clear(n, &r->other_trouble, "push: no other process reports this node now");
        return true;
    }
    if (++r->not_ours > CLAIMS_QUIET)
        node_trouble_set(n, &r->other_trouble, 1,
                         "push: another process with this StateDir reports this node: waiting for "
                         "its end");
    return false;
}

static void push_now(struct reporter *r)
{
    struct node *n = r->n;
    struct store *s = n->env->store;
    int64_t now = loop_unix_s(n->env->loop);
    struct spool_batch b;
    struct body t = {.room = 0};
    char key[SPOOL_KEY_LEN];

    if (r->push.call != NULL)
        return;
    if (r->acked_seq != 0) {
        if (spool_done(s, n->store_node, r->acked_seq) != ST_OK) {
            push_later(r);
            return;
        }
        r->acked_seq = 0;
        list_del(&r->sending);
    }
    if (another_sends(r)) {
        loop_timer_in(n->env->loop, &r->push.timer, ANOTHER_MS);
        return;
    }
    if (!n->env->reports) {
        /* Another process pushes from the same spool. */
        if (r->finishing && counters_sample(n->env->counters, now, NULL) != ST_OK)
            node_log(n, LOG_DEBUG, "the last sums wait in the counters");
        push_later(r);
        return;
    }
    if (!is_ours(r)) {
        if (r->finishing)
            push_later(r);
        else
            loop_timer_in(n->env->loop, &r->push.timer, CLAIM_MS);
        return;
    }
    /* A sample that fails has been said; what is in the spool is pushed all the same. */
    enum status st = counters_sample(n->env->counters, now, NULL);
    st = next_batch(r, now, &b);
    if (st == ST_E_NOTFOUND) {
        push_idle(r);
        return;
    }
    if (st == ST_OK)
        st = body_open(&t);
    if (st == ST_OK)
        st = spool_rows(s, n->store_node, b.seq, body_row, &t);
    if (st == ST_OK)
        st = body_room(&t);
    /* On disk before the first byte: after a power cut the batch is sent again with its number, not
     * anew. */
    if (st == ST_OK)
        st = spool_sending(s, n->store_node, b.seq);
    if (st != ST_OK) {
        free(t.b.text);
        push_later(r);
        return;
    }
    v2sp_body_close(&t.b);
    r->seq = b.seq;
    r->rows = b.rows;
    r->resent = b.tried;
    r->batch_up = t.up;
    r->batch_down = t.down;
    spool_key(s, n->conf->api.node_id, n->store_node, b.seq, key);
    r->push.call = post(r, V2SP_PUSH, &t, b.key[0] != '\0' ? b.key : key, on_pushed);
    if (r->push.call != NULL)
        list_add_tail(&n->env->sending, &r->sending);
    else
        push_later(r);
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

static void push_applied(struct reporter *r)
{
    struct node *n = r->n;

    r->pushed_up += r->batch_up;
    r->pushed_down += r->batch_down;
    r->pushed_s = loop_unix_s(n->env->loop);
    if (spool_done(n->env->store, n->store_node, r->seq) != ST_OK) {
        r->acked_seq = r->seq; /* must not be sent again, though the spool still has it */
        list_add_tail(&n->env->sending, &r->sending);
        push_later(r);
        return;
    }
    /* More than fits into one request, or waited for while the panel was down. */
    if (r->finishing || r->rows >= r->rows_max || r->resent || r->again || r->push.fails > 0) {
        r->again = false;
        node_job_done(n, &r->push, "push", push_interval(r));
        push_now(r);
        return;
    }
    push_idle(r);
}

static void on_pushed(void *arg, const struct panel_reply *reply)
{
    struct reporter *r = arg;
    struct node *n = r->n;
    char text[NODE_PROBLEM_MAX];
    enum v2sp_outcome o = v2sp_outcome_of(reply->http, reply->sent, false);

    r->push.call = NULL;
    list_del(&r->sending);
    if (o == V2SP_DONE && says_fail(reply))
        o = V2SP_BAD_REPLY;
    enum v2sp_applied a = v2sp_outcome_applied(o, reply->http);
    if (a == V2SP_APPLIED) {
        push_applied(r);
        return;
    }
    if (reply->http != 0)
        v2sp_outcome_message(text, sizeof(text), reply->body, reply->body_len);
    else
        snprintf(text, sizeof(text), "%.150s", reply->text);
    /* Failing to unmark it only means that it stays marked: it is sent again as it is in either
     * case. */
    if (a == V2SP_MAYBE_APPLIED && n->conf->options.at_most_once && park(r, r->seq) != ST_OK)
        node_log(n, LOG_DEBUG, "push: parked with the next one");
    if (a == V2SP_NOT_APPLIED &&
        spool_back(n->env->store, n->store_node, r->seq, r->resent) == ST_OK &&
        reply->http == 413 && spool_split(n->env->store, n->store_node, r->seq) == ST_OK) {
        r->rows_max = r->rows / 2;
        push_now(r);
        return;
    }
    node_job_failed(n, &r->push, "push", o, reply, text, push_interval(r));
    if (r->finishing)
        push_ends(r);
    else if (r->again)
        loop_timer_in(n->env->loop, &r->push.timer, 0);
    r->again = false;
}

static void on_push_timer(struct timer *t)
{
    push_now(LIST_ENTRY(t, struct reporter, push.timer));
}

/* ---- alive ---- */

static uint64_t alive_interval(const struct reporter *r)
{
    uint64_t push = push_interval(r);
    return push < ALIVE_MAX_S * 1000 ? push : ALIVE_MAX_S * 1000;
}

size_t reporter_find(const struct reporter *r, uint64_t uid)
{
    return online_list_find(&r->shown, uid);
}

const struct addr *reporter_shown(const struct reporter *r, uint64_t uid, size_t at)
{
    const struct online *list = r->shown.own_list;

    return at < r->shown.count && list[at].uid == uid ? &list[at].ip : NULL;
}

bool reporter_has_shown(const struct reporter *r, uint64_t uid, const struct addr *ip)
{
    return online_list_has(&r->shown, uid, ip);
}

bool reporter_told_before(const struct reporter *r, uint64_t at_ms)
{
    return r->told_ms != 0 && r->told_ms <= at_ms;
}

bool reporter_is_pushing(const struct reporter *r)
{
    return r->push.call != NULL || r->acked_seq != 0;
}

/* The users online and, once, an empty list for those that are no more: panels would keep them for
 * minutes. @known gets all of the former, and stays sorted. */
static enum status alive_body(const struct reporter *r, const struct plane_alive *list, size_t n,
                              struct body *t, uint64_t *online, size_t *online_count)
{
    size_t i = 0, k = 0;

    while (i < n || k < r->known_count) {
        enum status st = body_room(t);
        if (st != ST_OK)
            return st;
        if (i == n || (k < r->known_count && r->known[k] < list[i].uid)) {
            v2sp_body_user(&t->b, r->known[k++]);
            continue;
        }
        uint64_t uid = list[i].uid;
        v2sp_body_user(&t->b, uid);
        online[(*online_count)++] = uid;
        for (; i < n && list[i].uid == uid; i++) {
            if ((st = body_room(t)) != ST_OK)
                return st;
            v2sp_body_ip(&t->b, &list[i].ip);
        }
        while (k < r->known_count && r->known[k] == uid)
            k++;
    }
    return body_room(t);
}

static void tell_last(struct reporter *r);

/* A report has been answered, or not. */
static void alive_ends(struct reporter *r)
{
    if (r->alive_again)
        loop_timer_in(r->n->env->loop, &r->alive.timer, 0);
    r->alive_again = false;
    if (!r->finishing)
        return;
    loop_timer_del(r->n->env->loop, &r->alive.timer);
    tell_last(r);
    if (r->push_over && r->alive.call == NULL)
        end(r);
}

static void on_alive_sent(void *arg, const struct panel_reply *reply)
{
    struct reporter *r = arg;
    char text[NODE_PROBLEM_MAX] = "";
    /* 404 may as well mean that the node is unknown: only a clear answer makes us stop asking. */
    bool optional = reply->http == 405 || reply->http == 501;
    enum v2sp_outcome o = v2sp_outcome_of(reply->http, reply->sent, optional);
    size_t n = 0;

    r->alive.call = NULL;
    r->refused = o == V2SP_NO_ACTION;
    if (o != V2SP_DONE) {
        if (reply->http != 0)
            v2sp_outcome_message(text, sizeof(text), reply->body, reply->body_len);
        node_job_failed(r->n, &r->alive, "alive", o, reply, text, alive_interval(r));
        /* What is sent next is no repetition but the state of then, so it is sent at its time. */
        if (o != V2SP_NO_ACTION && reply->retry_after_s == 0)
            loop_timer_in(r->n->env->loop, &r->alive.timer, alive_interval(r));
        alive_ends(r);
        return;
    }
    const struct online *list = r->shown.own_list;
    for (size_t i = 0; !r->known_more && i < r->shown.count; i++)
        if (i == 0 || list[i].uid != list[i - 1].uid)
            r->known[n++] = list[i].uid; /* known has room for them: it holds them already */
    if (!r->known_more)
        r->known_count = n;
    r->known_more = false;
    if (r->told_ms == 0)
        r->told_ms = loop_now_ms(r->n->env->loop);
    node_job_done(r->n, &r->alive, "alive", alive_interval(r));
    alive_ends(r);
}

/* Sends the report of @list, which is sorted and chosen. */
static enum status report_alive(struct reporter *r, const struct plane_alive *list, size_t n)
{
    struct body t = {.room = 0};
    struct online *shown = malloc((n + 1) * sizeof(*shown));
    uint64_t *online = malloc((n + 1) * sizeof(*online)), *known = NULL;
    size_t online_count = 0, known_count = 0;
    enum status st = shown == NULL || online == NULL ? ST_E_NOMEM : body_open(&t);

    if (st == ST_OK)
        st = alive_body(r, list, n, &t, online, &online_count);
    if (st == ST_OK) {
        /* Until this one is acknowledged, also what the panel believed before. */
        known = online_join(r->known, r->known_count, online, online_count, &known_count);
        st = known == NULL ? ST_E_NOMEM : ST_OK;
    }
    free(online);
    if (st != ST_OK) {
        free(shown);
        free(t.b.text);
        return st;
    }
    for (size_t i = 0; i < n; i++)
        shown[i] = (struct online){.uid = list[i].uid, .ip = list[i].ip};
    free(r->shown.own_list);
    r->shown = (struct online_list){shown, n};
    free(r->known);
    r->known = known;
    r->known_count = known_count;
    v2sp_body_close(&t.b);
    r->alive.call = post(r, V2SP_ALIVE, &t, NULL, on_alive_sent);
    return r->alive.call != NULL ? ST_OK : ST_E_NOMEM;
}

/* Who goes on with the node in this process: it is there twice while the sessions of one that was
 * taken out of the file and put back end. NULL: nobody. */
static struct reporter *other_of_node(const struct reporter *r)
{
    const struct node *n = r->n;

    LIST_FOREACH(l, tmp, &n->panel->nodes)
    {
        struct reporter *other = LIST_ENTRY(l, struct node, panel_link)->reporter;
        if (other != r && other->n->store_node == n->store_node && !other->finishing)
            return other;
    }
    return NULL;
}

static enum status give_known(const struct reporter *r, struct reporter *to)
{
    size_t count;
    uint64_t *both = online_join(to->known, to->known_count, r->known, r->known_count, &count);

    if (both == NULL)
        return ST_E_NOMEM;
    free(to->known);
    to->known = both;
    to->known_count = count;
    to->known_more = to->alive.call != NULL;
    return ST_OK;
}

/* Finishing, no session is left: those whom the panel may believe online are told once. */
static void tell_last(struct reporter *r)
{
    struct reporter *other = other_of_node(r);

    if (r->told_last || r->alive.call != NULL)
        return;
    r->told_last = true;
    /* Another process may go on with the node, after an upgrade or on the same state. */
    if (r->known_count == 0 || r->refused || !r->n->env->reports ||
        !store_claim_node(r->n->env->store, r->n->store_node))
        return;
    if ((other != NULL ? give_known(r, other) : report_alive(r, NULL, 0)) != ST_OK)
        node_log(r->n, LOG_DEBUG, "alive: no memory for the last report");
}

void reporter_on_alive(struct reporter *r, const struct plane_alive *list, size_t n)
{
    if (!r->asked || r->finishing || r->n->served == NULL || r->alive.call != NULL ||
        !r->n->env->reports)
        return;
    r->asked = false;
    struct plane_alive *copy = malloc((n + 1) * sizeof(*copy));
    if (copy == NULL)
        return; /* the timer is armed: asked again then */
    if (n > 0)
        memcpy(copy, list, n * sizeof(*copy));
    size_t kept = online_list_choose(&r->shown, copy, n, r->n->served->online_min);
    if (kept > 0 || r->known_count > 0) {
        if (report_alive(r, copy, kept) != ST_OK)
            node_log(r->n, LOG_DEBUG, "alive: no memory for the report");
    } else {
        r->shown.count = 0;
    }
    free(copy);
}

static void on_alive_timer(struct timer *t)
{
    struct reporter *r = LIST_ENTRY(t, struct reporter, alive.timer);

    /* Armed again at once: an answer may never come. */
    loop_timer_in(r->n->env->loop, &r->alive.timer, alive_interval(r));
    if (r->alive.call != NULL || r->finishing || !r->n->published || !r->n->env->reports)
        return;
    r->asked = true;
    r->n->env->plane->collect_alive(r->n->env->plane->self, r->n->no);
}

/* ---- life ---- */

struct reporter *reporter_new(struct node *n)
{
    struct reporter *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->n = n;
    r->rows_max = SPOOL_ROWS_MAX;
    timer_init(&r->push.timer, on_push_timer);
    timer_init(&r->alive.timer, on_alive_timer);
    task_init(&r->end, on_end);
    list_init(&r->sending);
    return r;
}

void reporter_free(struct reporter *r)
{
    if (r == NULL)
        return;
    panel_cancel(r->push.call);
    panel_cancel(r->alive.call);
    loop_timer_del(r->n->env->loop, &r->push.timer);
    loop_timer_del(r->n->env->loop, &r->alive.timer);
    loop_task_del(r->n->env->loop, &r->end);
    list_del(&r->sending);
    free(r->shown.own_list);
    free(r->known);
    free(r);
}

void reporter_start(struct reporter *r)
{
    if (r->started)
        return;
    r->started = true;
    loop_timer_in(r->n->env->loop, &r->push.timer, FIRST_PUSH_MS);
    loop_timer_in(r->n->env->loop, &r->alive.timer, FIRST_PUSH_MS);
}

void reporter_poke(struct reporter *r)
{
    if (!r->started || r->finishing)
        return;
    r->again = r->push.call != NULL;
    push_now(r);
    r->alive_again = r->alive.call != NULL;
    if (!r->alive_again)
        loop_timer_in(r->n->env->loop, &r->alive.timer, 0);
}

void reporter_finish(struct reporter *r)
{
    if (r->finishing)
        return;
    r->finishing = true;
    loop_timer_del(r->n->env->loop, &r->push.timer);
    loop_timer_del(r->n->env->loop, &r->alive.timer);
    if (!r->n->env->reports) {
        panel_cancel(r->alive.call);
        r->alive.call = NULL;
    }
    /* What is on its way is waited for, what is left goes behind it: no panel is to see an earlier
     * list after the last one. */
    tell_last(r);
    push_now(r);
}

void reporter_abandon(struct reporter *r)
{
    r->finishing = true;
    panel_cancel(r->push.call);
    panel_cancel(r->alive.call);
    r->push.call = r->alive.call = NULL;
    list_del(&r->sending);
    end(r);
}

void reporter_pushed(const struct reporter *r, uint64_t *up, uint64_t *down)
{
    *up = r->pushed_up;
    *down = r->pushed_down;
}

void reporter_times(const struct reporter *r, int64_t *pushed_s, uint64_t *next_ms)
{
    uint64_t now = loop_now_ms(r->n->env->loop);

    *pushed_s = r->pushed_s;
    *next_ms =
        timer_armed(&r->push.timer) && r->push.timer.at_ms > now ? r->push.timer.at_ms - now : 0;
}

uint64_t reporter_sending(const struct reporter *r)
{
    return r->push.call != NULL ? r->seq : 0;
}

const char *reporter_problem(const struct reporter *r)
{
    if (r->other_trouble.key != 0)
        return r->other_trouble.text;
    return r->push.trouble.key != 0 ? r->push.trouble.text : r->alive.trouble.text;
}

const struct node_job *reporter_push(const struct reporter *r)
{
    return &r->push;
}

const struct node_job *reporter_alive(const struct reporter *r)
{
    return &r->alive;
}

bool reporter_has_trouble(const struct reporter *r, const struct node_job *but, uint64_t key)
{
    return (but != &r->push && r->push.trouble.key == key) ||
           (but != &r->alive && r->alive.trouble.key == key);
}
