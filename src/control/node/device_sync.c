#include "control/node/device_sync.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/config/config_device_store.h"
#include "control/node/device_book.h"
#include "control/node/node.h"
#include "control/redis/device_script.h"
#include "control/redis/redis_link.h"

#define REFRESH_MS  20000u
#define ASIDE_TIMES 3u /* so much more seldom is asked about who is set aside */

struct device_sync {
    struct device_panel *panel;
    const char *process;
    struct redis_link *link;
    const struct config_device_store *store; /* the link's copy */
    struct list due;                         /* users, the next one first */
    struct list aside;                       /* the same of those who are set aside */
    size_t aside_count;                      /* of these, also while they are asked about */
    bool aside_said;
    struct timer timer;
    uint32_t refresh_ms;
};

/* A question under way. */
struct device_ask {
    struct device_sync *sync;
    struct device_user *user; /* NULL: he is gone */
    size_t count;
    struct device_seen devices[DEVICE_SCRIPT_DEVICES];
};

static uint64_t now_ms(const struct device_sync *s)
{
    return loop_now_ms(device_panel_env(s->panel)->loop);
}

/* ---- when who is asked about ---- */

static uint64_t first_ms(const struct list *due)
{
    return list_empty(due) ? UINT64_MAX : LIST_ENTRY(due->next, struct device_user, due)->due_ms;
}

static void arm(struct device_sync *s)
{
    struct loop *l = device_panel_env(s->panel)->loop;
    uint64_t due = first_ms(&s->due), aside = first_ms(&s->aside);
    uint64_t at = due < aside ? due : aside;

    if (at == UINT64_MAX)
        loop_timer_del(l, &s->timer);
    else
        loop_timer_at(l, &s->timer, at);
}

/* All in a list wait equally long, so the last to be asked is the last in it. */
static void ask_in(struct device_sync *s, struct device_user *u, struct list *list, uint64_t ms)
{
    list_del(&u->due);
    u->due_ms = now_ms(s) + ms;
    list_add_tail(list, &u->due);
    arm(s);
}

/* Before all who wait; they are asked in any order. */
static void ask_soon(struct device_sync *s, struct device_user *u)
{
    list_del(&u->due);
    u->due_ms = now_ms(s);
    list_add_tail(s->due.next, &u->due);
    arm(s);
}

/* ---- questions and answers ---- */

static void obey(struct device_sync *s, const struct device_ask *q, const struct device_verdict *v)
{
    struct device_user *u = q->user;
    bool gone = false;

    u->store_says = v->elsewhere;
    device_user_weigh(u);
    for (size_t i = 0; i < v->refused; i++)
        gone |= devices_put_out(&u->devices.set, &q->devices[v->index[i]],
                                device_panel_now_s(s->panel));
    if (gone)
        device_panel_end(s->panel);
}

/* His key holds something else, which stays: he is counted without the store. */
static void set_aside(struct device_sync *s, struct device_user *u)
{
    if (!u->set_aside) {
        u->set_aside = true;
        u->store_says = 0;
        s->aside_count++;
        device_user_weigh(u);
    }
    ask_in(s, u, &s->aside, (uint64_t)s->refresh_ms * ASIDE_TIMES);
    if (!s->aside_said)
        log_line(device_panel_env(s->panel)->lg, LOG_WARNING, NULL,
                 "DeviceStore %.100s: the key %.100s%s:%" PRIu64
                 " holds something else, perhaps of another program: devices of such users are "
                 "counted without it",
                 s->store->address, s->store->prefix, s->panel->id, u->devices.uid);
    s->aside_said = true;
}

static void take_back(struct device_sync *s, struct device_user *u)
{
    if (!u->set_aside)
        return;
    u->set_aside = false;
    if (--s->aside_count > 0)
        return;
    log_line(device_panel_env(s->panel)->lg, LOG_INFO, NULL,
             "DeviceStore %.100s: all keys hold devices again", s->store->address);
    s->aside_said = false;
}

static enum status on_answer(void *arg, const struct redisReply *r)
{
    struct device_ask *q = arg;
    struct device_sync *s = q->sync;
    struct device_user *u = q->user;
    struct device_verdict v = {0};
    enum status st = r != NULL ? device_script_read(r, q->count, &v) : ST_OK;

    if (u != NULL)
        u->asking = NULL;
    if (r != NULL && st == ST_OK && u != NULL) {
        take_back(s, u);
        obey(s, q, &v);
        if (u->poked)
            ask_soon(s, u);
        else if (q->count > 0)
            ask_in(s, u, &s->due, s->refresh_ms);
        u->poked = false;
    } else if (st == ST_E_BUSY && u != NULL) {
        set_aside(s, u);
    }
    free(q);
    return st == ST_E_BUSY ? ST_OK : st;
}

/* ST_E_LIMIT: not now. */
static enum status ask(struct device_sync *s, struct device_user *u)
{
    struct device_ask *q = malloc(sizeof(*q));
    struct device_command c;
    uint32_t limit = 0;

    if (q == NULL)
        return ST_E_NOMEM;
    q->sync = s;
    q->user = u;
    q->count = devices_list(&u->devices.set, device_panel_now_s(s->panel), q->devices,
                            DEVICE_SCRIPT_DEVICES);
    for (size_t i = 0; i < q->count; i++)
        limit = q->devices[i].limit > limit ? q->devices[i].limit : limit;
    const struct device_question ask = {
        .sha = redis_link_sha(s->link),
        .prefix = s->store->prefix,
        .panel = s->panel->id,
        .process = s->process,
        .uid = u->devices.uid,
        .limit = limit,
        .expiry_s = s->store->expiry_s,
        .devices = q->devices,
        .count = q->count,
    };
    device_script_ask(&ask, &c);
    enum status st = redis_link_send(s->link, c.argc, c.argv, c.len, on_answer, q);
    if (st != ST_OK) {
        free(q);
        return st;
    }
    u->asking = q;
    list_del(&u->due);
    return ST_OK;
}

static enum status ask_due(struct device_sync *s, struct list *list)
{
    enum status st = ST_OK;

    while (st == ST_OK && first_ms(list) <= now_ms(s))
        st = ask(s, LIST_ENTRY(list->next, struct device_user, due));
    return st;
}

static void on_timer(struct timer *t)
{
    struct device_sync *s = LIST_ENTRY(t, struct device_sync, timer);

    if (ask_due(s, &s->due) == ST_OK && ask_due(s, &s->aside) == ST_OK)
        arm(s);
    else /* too many are under way, or no memory: in a moment */
        loop_timer_in(device_panel_env(s->panel)->loop, t, 50);
}

void device_sync_changed(struct device_sync *s, struct device_user *u)
{
    if (!redis_link_is_up(s->link))
        return; /* all are asked about when it is back */
    if (u->set_aside)
        return; /* that is asked again anyway, with what there is then */
    if (u->asking != NULL)
        u->poked = true;
    else if (ask(s, u) != ST_OK)
        ask_soon(s, u);
}

void device_sync_gone(struct device_sync *s, struct device_user *u)
{
    if (u->asking != NULL)
        u->asking->user = NULL;
    u->asking = NULL;
    list_del(&u->due);
    arm(s);
    s->aside_count -= u->set_aside;
    s->aside_said = s->aside_said && s->aside_count > 0;
}

/* ---- the link ---- */

static void on_up(void *arg)
{
    struct device_sync *s = arg;

    for (size_t i = 0; i < s->panel->size; i++) {
        for (struct device_user *u = s->panel->table[i]; u != NULL; u = u->next) {
            u->store_says = 0;
            device_user_weigh(u);
            if (u->set_aside || devices_count(&u->devices.set, device_panel_now_s(s->panel)) > 0)
                ask_soon(s, u);
        }
    }
}

static void forget(struct device_user *u)
{
    u->store_says = 0;
    u->poked = false;
    if (u->asking != NULL)
        u->asking->user = NULL;
    u->asking = NULL;
    list_del(&u->due);
    device_user_weigh(u);
}

static void forget_all(struct device_user *u)
{
    u->set_aside = false;
    forget(u);
}

static void on_down(void *arg)
{
    struct device_sync *s = arg;

    device_panel_each(s->panel, forget);
    arm(s);
}

struct device_sync *device_sync_new(struct device_panel *p, const char *process,
                                    const struct config_device_store *store)
{
    struct device_sync *s = calloc(1, sizeof(*s));
    struct node_env *env = device_panel_env(p);

    if (s == NULL)
        return NULL;
    s->panel = p;
    s->process = process;
    list_init(&s->due);
    list_init(&s->aside);
    timer_init(&s->timer, on_timer);
    s->refresh_ms = store->expiry_s * 1000 / 3;
    if (s->refresh_ms > REFRESH_MS)
        s->refresh_ms = REFRESH_MS;
    const struct redis_link_conf conf = {.loop = env->loop,
                                         .log = env->lg,
                                         .resolver = &env->resolver,
                                         .store = store,
                                         .script = device_script_text,
                                         .up = on_up,
                                         .down = on_down,
                                         .arg = s};
    s->link = redis_link_new(&conf);
    if (s->link == NULL) {
        free(s);
        return NULL;
    }
    s->store = redis_link_store(s->link);
    return s;
}

void device_sync_free(struct device_sync *s)
{
    if (s == NULL)
        return;
    redis_link_free(s->link);
    device_panel_each(s->panel, forget_all);
    loop_timer_del(device_panel_env(s->panel)->loop, &s->timer);
    free(s);
}

bool device_sync_uses(const struct device_sync *s, const struct config_device_store *store)
{
    return config_device_store_equal(s->store, store);
}

bool device_sync_works(const struct device_sync *s)
{
    return redis_link_is_up(s->link);
}

const struct redis_link *device_sync_link(const struct device_sync *s)
{
    return s->link;
}

size_t device_sync_set_aside(const struct device_sync *s)
{
    return s->aside_count;
}
