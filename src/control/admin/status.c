#include "control/admin/status.h"

#include <stdlib.h>
#include <string.h>

#include "control/admin/admin.h"
#include "control/admin/status_json.h"
#include "control/admin/status_look.h"
#include "control/node/node.h"
#include "io/loop.h"

#define WINDOW_MIN_MS 400u   /* rates over less jump about */
#define LATER_MS      5000u  /* more than any wait of ours */
#define FORGET_MS     15000u /* a look that nobody came back to */

/* A request that waits for the second look. */
struct waiting {
    struct list link;
    struct http_call *call;
    struct status_wish wish;
};

struct status_desk {
    struct node_env *env;
    const struct list *nodes;
    struct status_look look;
    struct status_cache cache;
    struct list waiting;
    struct timer second, forget;
};

static void answer(struct status_desk *d, struct http_call *call, const struct status_wish *wish,
                   const struct status_view *v)
{
    struct json_out o = {.t = http_call_text(call)};

    status_json(&o, d->env, &d->cache, v, wish);
    textbuf_puts(o.t, "\n");
    admin_done(call);
}

/* Sees everything; the look becomes that of now when it is old enough to have served its window:
 * others may ask meanwhile. */
static enum status see(struct status_desk *d, struct status_view *v)
{
    uint64_t age_ms = (loop_now_us(d->env->loop) - d->look.at_us) / 1000;
    bool again = d->look.at_us != 0 && age_ms >= STATUS_WINDOW_MS - 100;

    return status_look_at(&d->look, again, d->env, d->nodes, v);
}

static void answer_now(struct status_desk *d, struct http_call *call,
                       const struct status_wish *wish)
{
    struct status_view v;

    if (see(d, &v) != ST_OK) {
        admin_fail(call, 503, "no memory");
        return;
    }
    answer(d, call, wish, &v);
    status_view_free(&v);
}

static void on_second(struct timer *t)
{
    struct status_desk *d = LIST_ENTRY(t, struct status_desk, second);
    struct status_view v = {.count = 0};
    enum status st = see(d, &v);

    while (!list_empty(&d->waiting)) {
        struct waiting *w = LIST_ENTRY(d->waiting.next, struct waiting, link);
        list_del(&w->link);
        if (st == ST_OK)
            answer(d, w->call, &w->wish, &v);
        else
            admin_fail(w->call, 503, "no memory");
        free(w);
    }
    status_view_free(&v);
}

static void on_forget(struct timer *t)
{
    status_look_free(&LIST_ENTRY(t, struct status_desk, forget)->look);
}

static void on_gone(void *arg, struct http_call *call)
{
    struct status_desk *d = arg;

    LIST_FOREACH(l, tmp, &d->waiting) {
        struct waiting *w = LIST_ENTRY(l, struct waiting, link);
        if (w->call != call)
            continue;
        list_del(&w->link);
        free(w);
    }
}

static void wait_for_window(struct status_desk *d, struct http_call *call,
                            const struct status_wish *wish, uint64_t ms)
{
    struct waiting *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        admin_fail(call, 503, "no memory");
        return;
    }
    w->call = call;
    w->wish = *wish;
    list_add_tail(&d->waiting, &w->link);
    http_call_later(call, LATER_MS, on_gone, d);
    if (!timer_armed(&d->second))
        loop_timer_in(d->env->loop, &d->second, ms);
}

static enum status read_query(struct http_call *call, struct status_wish *wish, bool *rates)
{
    struct http1_str query = http_call_head(call)->query;
    char text[16];
    char *end;

    *wish = (struct status_wish){.users = STATUS_USERS};
    *rates = true;
    if (http1_query_get(query, "rates", text, sizeof(text)) == ST_OK)
        *rates = strcmp(text, "no") != 0;
    enum status st = http1_query_get(query, "node", wish->node, sizeof(wish->node));
    if (st != ST_OK && st != ST_E_NOTFOUND)
        return st;
    st = http1_query_get(query, "users", text, sizeof(text));
    if (st != ST_OK)
        return st == ST_E_NOTFOUND ? ST_OK : st;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0')
        return ST_E_PROTO;
    wish->users = n < STATUS_USERS_MAX ? (uint32_t)n : STATUS_USERS_MAX;
    return ST_OK;
}

static void on_status(void *arg, struct http_call *call)
{
    struct status_desk *d = arg;
    uint64_t age_ms = (loop_now_us(d->env->loop) - d->look.at_us) / 1000;
    struct status_view v;
    struct status_wish wish;
    bool rates;

    if (read_query(call, &wish, &rates) != ST_OK) {
        admin_fail(call, 400, "the query is wrong");
        return;
    }
    loop_timer_in(d->env->loop, &d->forget, FORGET_MS);
    if (!rates || (d->look.at_us != 0 && age_ms >= WINDOW_MIN_MS)) {
        answer_now(d, call, &wish);
        return;
    }
    if (d->look.at_us == 0) {
        if (status_look_at(&d->look, true, d->env, d->nodes, &v) != ST_OK) {
            admin_fail(call, 503, "no memory");
            return;
        }
        status_view_free(&v);
        age_ms = 0;
    }
    wait_for_window(d, call, &wish, age_ms == 0 ? STATUS_WINDOW_MS : WINDOW_MIN_MS - age_ms);
}

struct status_desk *status_desk_new(struct node_env *env, const struct list *nodes,
                                    struct admin *admin)
{
    struct status_desk *d = calloc(1, sizeof(*d));

    if (d == NULL)
        return NULL;
    d->env = env;
    d->nodes = nodes;
    list_init(&d->waiting);
    timer_init(&d->second, on_second);
    timer_init(&d->forget, on_forget);
    admin_add(admin, "GET", "/status", on_status, d);
    return d;
}

void status_desk_free(struct status_desk *d)
{
    if (d == NULL)
        return;
    loop_timer_del(d->env->loop, &d->second);
    loop_timer_del(d->env->loop, &d->forget);
    BUG_ON(!list_empty(&d->waiting)); /* the socket has told that they are gone */
    status_look_free(&d->look);
    free(d);
}
