#include "control/node/node_alive.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/node/node.h"
#include "control/node/node_report.h"
#include "control/store/store.h"

#define INTERVAL_MAX_MS 60000u /* panels forget online addresses after 90 to 300 s */

static uint64_t interval(const struct node_alive *a)
{
    uint64_t push = node_report_interval(a->n);
    return push < INTERVAL_MAX_MS ? push : INTERVAL_MAX_MS;
}

/* The users online and, once, an empty list for those that are no more: panels would keep them for
 * minutes. @known gets all of the former, and stays sorted. */
static enum status write_body(const struct node_alive *a, const struct plane_alive *list, size_t n,
                              struct node_report *t, uint64_t *online, size_t *online_count)
{
    size_t i = 0, k = 0;

    while (i < n || k < a->known_count) {
        enum status st = node_report_room(t);
        if (st != ST_OK)
            return st;
        if (i == n || (k < a->known_count && a->known[k] < list[i].uid)) {
            v2sp_body_user(&t->b, a->known[k++]);
            continue;
        }
        uint64_t uid = list[i].uid;
        v2sp_body_user(&t->b, uid);
        online[(*online_count)++] = uid;
        for (; i < n && list[i].uid == uid; i++) {
            if ((st = node_report_room(t)) != ST_OK)
                return st;
            v2sp_body_ip(&t->b, &list[i].ip);
        }
        while (k < a->known_count && a->known[k] == uid)
            k++;
    }
    return node_report_room(t);
}

static void tell_last(struct node_alive *a);

/* A report has been answered, or not. */
static void ends(struct node_alive *a)
{
    if (a->again)
        loop_timer_in(a->n->env->loop, &a->job.timer, 0);
    a->again = false;
    if (!a->finishing)
        return;
    loop_timer_del(a->n->env->loop, &a->job.timer);
    tell_last(a);
    a->answered(a->arg);
}

static void on_sent(void *arg, const struct panel_reply *reply)
{
    struct node_alive *a = arg;
    char text[NODE_PROBLEM_MAX] = "";
    /* 404 may as well mean that the node is unknown: only a clear answer makes us stop asking. */
    bool optional = reply->http == 405 || reply->http == 501;
    enum v2sp_outcome o = v2sp_outcome_of(reply->http, reply->sent, optional);
    size_t n = 0;

    a->job.call = NULL;
    a->refused = o == V2SP_NO_ACTION;
    if (o != V2SP_DONE) {
        if (reply->http != 0)
            v2sp_outcome_message(text, sizeof(text), reply->body, reply->body_len);
        node_job_failed(a->n, &a->job, "alive", o, reply, text, interval(a));
        /* What is sent next is no repetition but the state of then, so it is sent at its time. */
        if (o != V2SP_NO_ACTION && reply->retry_after_s == 0)
            loop_timer_in(a->n->env->loop, &a->job.timer, interval(a));
        ends(a);
        return;
    }
    const struct online *list = a->shown.own_list;
    for (size_t i = 0; !a->known_since && i < a->shown.count; i++)
        if (i == 0 || list[i].uid != list[i - 1].uid)
            a->known[n++] = list[i].uid; /* known has room for them: it holds them already */
    if (!a->known_since)
        a->known_count = n;
    a->known_since = false;
    if (a->told_ms == 0)
        a->told_ms = loop_now_ms(a->n->env->loop);
    node_job_done(a->n, &a->job, "alive", interval(a));
    ends(a);
}

/* @list, which is sorted and chosen, is what is shown from now on. False: no memory. */
static bool show(struct node_alive *a, const struct plane_alive *list, size_t n)
{
    struct online *shown = malloc((n + 1) * sizeof(*shown));

    if (shown == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        shown[i] = (struct online){.uid = list[i].uid, .ip = list[i].ip};
    free(a->shown.own_list);
    a->shown = (struct online_list){shown, n};
    return true;
}

/* Sends the report of @list, likewise. */
static enum status send(struct node_alive *a, const struct plane_alive *list, size_t n)
{
    struct node_report t = {.room = 0};
    uint64_t *online = malloc((n + 1) * sizeof(*online)), *known = NULL;
    size_t online_count = 0, known_count = 0;
    enum status st = online == NULL ? ST_E_NOMEM : node_report_open(&t);

    if (st == ST_OK)
        st = write_body(a, list, n, &t, online, &online_count);
    if (st == ST_OK) {
        /* Until this one is acknowledged, also what the panel believed before. */
        known = online_join(a->known, a->known_count, online, online_count, &known_count);
        st = known == NULL ? ST_E_NOMEM : ST_OK;
    }
    free(online);
    if (st == ST_OK && !show(a, list, n))
        st = ST_E_NOMEM;
    if (st != ST_OK) {
        free(known);
        free(t.b.text);
        return st;
    }
    free(a->known);
    a->known = known;
    a->known_count = known_count;
    v2sp_body_close(&t.b);
    a->job.call = node_report_post(a->n, V2SP_ALIVE, &t, NULL, 0, on_sent, a);
    return a->job.call != NULL ? ST_OK : ST_E_NOMEM;
}

void node_alive_take(struct node_alive *a, const uint64_t *uids, size_t count)
{
    size_t all;
    uint64_t *both = online_join(a->known, a->known_count, uids, count, &all);

    if (both == NULL) {
        node_log(a->n, LOG_DEBUG, "alive: no memory for those who were online before");
        return;
    }
    free(a->known);
    a->known = both;
    a->known_count = all;
    a->known_since = a->job.call != NULL;
}

/* Finishing, no session is left: those whom the panel may believe online are told once, by whoever
 * knows who is still there. */
static void tell_last(struct node_alive *a)
{
    const struct node_env *env = a->n->env;

    if (a->told_last || a->job.call != NULL)
        return;
    a->told_last = true;
    struct node_alive *heir = a->heir(a->arg);
    if (env->leaving && heir == NULL)
        env->present(env->arg, a->n, &(struct online_list){.count = 0});
    if (a->known_count == 0 || a->refused)
        return;
    if (heir != NULL)
        node_alive_take(heir, a->known, a->known_count);
    else if (!env->reports)
        env->left_online(env->arg, a->n, a->known, a->known_count);
    /* Another process on the same state may report the node. */
    else if (store_claim_node(env->store, a->n->store_node) && send(a, NULL, 0) != ST_OK)
        node_log(a->n, LOG_DEBUG, "alive: no memory for the last report");
}

/* Does anybody want to know? */
static bool is_told(const struct node_env *env)
{
    return env->reports || env->leaving;
}

void node_alive_leave(struct node_alive *a)
{
    const struct node_env *env = a->n->env;
    const struct online_list *l = a->shown.count > 0 ? &a->shown : &a->guests.list;

    if (l->count > 0)
        env->present(env->arg, a->n, l);
    if (a->known_count > 0 && !a->refused)
        env->left_online(env->arg, a->n, a->known, a->known_count);
    a->known_count = 0;
    a->known_since = a->job.call != NULL;
}

void node_alive_seen(struct node_alive *a, const struct plane_alive *list, size_t n)
{
    const struct node_env *env = a->n->env;

    if (!a->asked || a->finishing || a->n->served == NULL || a->job.call != NULL || !is_told(env))
        return;
    a->asked = false;
    size_t all;
    struct plane_alive *copy = online_guests_join(&a->guests, list, n, &all);
    if (copy == NULL)
        return; /* the timer is armed: asked again then */
    size_t kept = online_list_choose(&a->shown, copy, all, a->n->served->online_min);
    if (!env->reports) {
        if (show(a, copy, kept))
            env->present(env->arg, a->n, &a->shown);
    } else if (kept > 0 || a->known_count > 0) {
        if (send(a, copy, kept) != ST_OK)
            node_log(a->n, LOG_DEBUG, "alive: no memory for the report");
    } else {
        a->shown.count = 0;
    }
    free(copy);
}

static void on_timer(struct timer *t)
{
    struct node_alive *a = LIST_ENTRY(t, struct node_alive, job.timer);

    /* Armed again at once: an answer may never come. */
    loop_timer_in(a->n->env->loop, &a->job.timer, interval(a));
    if (a->job.call != NULL || a->finishing || !a->n->published || !is_told(a->n->env))
        return;
    a->asked = true;
    a->n->env->plane->collect_alive(a->n->env->plane->self, a->n->no);
}

void node_alive_init(struct node_alive *a, struct node *n, struct node_alive *(*heir)(void *arg),
                     void (*answered)(void *arg), void *arg)
{
    *a = (struct node_alive){.n = n, .heir = heir, .answered = answered, .arg = arg};
    timer_init(&a->job.timer, on_timer);
}

void node_alive_stop(struct node_alive *a)
{
    a->finishing = true;
    panel_cancel(a->job.call);
    a->job.call = NULL;
    loop_timer_del(a->n->env->loop, &a->job.timer);
}

void node_alive_fini(struct node_alive *a)
{
    node_alive_stop(a);
    online_guests_clear(&a->guests);
    free(a->shown.own_list);
    free(a->known);
}

void node_alive_start(struct node_alive *a, uint64_t after_ms)
{
    loop_timer_in(a->n->env->loop, &a->job.timer, after_ms);
}

void node_alive_poke(struct node_alive *a)
{
    a->again = a->job.call != NULL;
    if (!a->again)
        loop_timer_in(a->n->env->loop, &a->job.timer, 0);
}

void node_alive_finish(struct node_alive *a)
{
    a->finishing = true;
    loop_timer_del(a->n->env->loop, &a->job.timer);
    if (!a->n->env->reports)
        node_alive_stop(a);
    /* What is on its way is waited for, what is left goes behind it: no panel is to see an earlier
     * list after the last one. */
    tell_last(a);
}
