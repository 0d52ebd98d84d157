#include "control/node/device_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "base/log.h"
#include "control/node/device_sync.h"
#include "control/node/node.h"
#include "crypto/hash.h"

struct device_book {
    struct node_env *env;
    struct mailbox *mailbox;
    struct list panels;
    char process[DEVICE_PANEL_ID]; /* this one, in a store */
};

#define PANEL_OF(l) LIST_ENTRY(l, struct device_panel, link)
#define TABLE_MIN   64u
#define END_MS      100u

struct device_book *device_book_new(struct node_env *env)
{
    struct device_book *b = calloc(1, sizeof(*b));

    if (b == NULL)
        return NULL;
    b->env = env;
    list_init(&b->panels);
    snprintf(b->process, sizeof(b->process), "%016" PRIx64, rng_u64(&env->rng));
    b->mailbox = mailbox_new(env->loop, b);
    if (b->mailbox == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

void device_book_free(struct device_book *b)
{
    if (b == NULL)
        return;
    mailbox_free(b->mailbox); /* what is still in it may be the last to hold a panel */
    BUG_ON(!list_empty(&b->panels));
    free(b);
}

/* ---- panels ---- */

static void panel_unref(struct device_panel *p)
{
    if (--p->refs > 0)
        return;
    list_del(&p->link);
    loop_timer_del(p->book->env->loop, &p->end);
    free(p->table);
    free(p);
}

/* Letter case and trailing slashes do not make another panel, as in config_node_same. */
static size_t normal_len(const char *host)
{
    size_t n = strlen(host);

    while (n > 0 && host[n - 1] == '/')
        n--;
    return n;
}

static bool has_host(const struct device_panel *p, const char *host)
{
    size_t n = normal_len(host);
    return strncasecmp(p->host, host, n) == 0 && p->host[n] == '\0';
}

static bool make_id(struct device_panel *p)
{
    uint8_t digest[HASH_SHA256_LEN];

    if (hash_sum(NULL, HASH_SHA256, p->host, strlen(p->host), digest) != ST_OK)
        return false;
    for (size_t i = 0; i < DEVICE_PANEL_ID / 2; i++)
        snprintf(p->id + 2 * i, 3, "%02x", digest[i]);
    return true;
}

static void release(struct user_devices_owner *o, struct user_devices *ud);
static void changed(struct user_devices_owner *o, struct user_devices *ud);
static void on_end(struct timer *t);

static struct device_panel *panel_new(struct device_book *b, const char *host)
{
    size_t n = normal_len(host);
    struct device_panel *p = calloc(1, sizeof(*p) + n + 1);

    if (p == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        p->host[i] = ascii_lower(host[i]);
    p->table = calloc(TABLE_MIN, sizeof(struct device_user *));
    p->size = TABLE_MIN;
    if (p->table == NULL || !make_id(p)) {
        free(p->table);
        free(p);
        return NULL;
    }
    p->book = b;
    p->owner = (struct user_devices_owner){.changed = changed, .release = release};
    timer_init(&p->end, on_end);
    list_init(&p->nodes);
    list_init(&p->lowered);
    list_add_tail(&b->panels, &p->link);
    return p;
}

bool device_panel_join(struct device_book *b, struct node *n)
{
    struct device_panel *p = NULL;

    LIST_FOREACH(l, tmp, &b->panels)
        if (has_host(PANEL_OF(l), n->conf->api.host))
            p = PANEL_OF(l);
    if (p == NULL && (p = panel_new(b, n->conf->api.host)) == NULL)
        return false;
    p->refs++;
    list_add_tail(&p->nodes, &n->panel_link);
    n->panel = p;
    return true;
}

static const struct config_device_store *store_of(const struct node *n)
{
    const struct config_device_store *own = &n->conf->options.device_store;
    const struct config_device_store *s = own->given ? own : &n->config->device_store;

    return s->on ? s : NULL;
}

static void follow(struct device_panel *p)
{
    const struct config_device_store *first = NULL;

    LIST_FOREACH(l, tmp, &p->nodes) {
        const struct node *n = LIST_ENTRY(l, struct node, panel_link);
        const struct config_device_store *s = store_of(n);
        if (first == NULL)
            first = s;
        else if (s != NULL && !config_device_store_equal(s, first))
            node_log(n, LOG_WARNING,
                     "DeviceStore: another node of this panel has another one, which counts for "
                     "all of them");
    }
    if (p->sync != NULL && first != NULL && device_sync_uses(p->sync, first))
        return;
    struct device_sync *old = p->sync;
    p->sync = NULL;
    device_sync_free(old);
    if (first != NULL && (p->sync = device_sync_new(p, p->book->process, first)) == NULL)
        log_line(p->book->env->lg, LOG_ERROR, NULL, "DeviceStore: no memory");
    atomic_store_explicit(&p->watched, p->sync != NULL, memory_order_relaxed);
    device_panel_each(p, device_user_weigh);
}

void device_book_follow(struct device_book *b)
{
    LIST_FOREACH(l, tmp, &b->panels)
        follow(PANEL_OF(l));
}

void device_book_each(const struct device_book *b,
                      void (*fn)(void *arg, const struct device_panel *p), void *arg)
{
    LIST_FOREACH(l, tmp, &b->panels)
        fn(arg, PANEL_OF(l));
}

uint64_t device_panel_number(const struct device_panel *p)
{
    return strtoull(p->id, NULL, 16);
}

struct device_panel *device_book_find(const struct device_book *b, uint64_t number)
{
    LIST_FOREACH(l, tmp, &b->panels) {
        if (device_panel_number(PANEL_OF(l)) == number)
            return PANEL_OF(l);
    }
    return NULL;
}

void device_book_each_store(const struct device_book *b,
                            void (*fn)(void *arg, const struct device_panel *p), void *arg)
{
    LIST_FOREACH(l, tmp, &b->panels)
        if (PANEL_OF(l)->sync != NULL)
            fn(arg, PANEL_OF(l));
}

void device_panel_leave(struct node *n)
{
    struct device_panel *p = n->panel;

    if (p == NULL)
        return;
    list_del(&n->panel_link);
    n->panel = NULL;
    LIST_FOREACH(l, tmp, &p->lowered) {
        if (LIST_ENTRY(l, struct device_user, lowered)->lowered_by == n->no)
            list_del(l);
    }
    follow(p);
    panel_unref(p);
}

/* ---- users ---- */

static struct device_user **bucket(const struct device_panel *p, uint64_t uid)
{
    return &p->table[(uid * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (p->size - 1)];
}

/* Without memory chains grow longer, no more. */
static void grow(struct device_panel *p)
{
    struct device_user **old = p->table;
    size_t size = p->size;
    struct device_user **table = calloc(2 * size, sizeof(struct device_user *));

    if (table == NULL)
        return;
    p->table = table;
    p->size = 2 * size;
    for (size_t i = 0; i < size; i++) {
        for (struct device_user *u = old[i], *next; u != NULL; u = next) {
            struct device_user **at = bucket(p, u->devices.uid);
            next = u->next;
            u->next = *at;
            *at = u;
        }
    }
    free(old);
}

static void user_free(struct device_user *u)
{
    struct device_panel *p = device_user_panel(u);

    user_devices_fini(&u->devices);
    free(u);
    panel_unref(p);
}

/* No session can tell of it any more, but one may have: then the message is the last holder. */
static void release(struct user_devices_owner *o, struct user_devices *ud)
{
    struct device_panel *p = LIST_ENTRY(o, struct device_panel, owner);
    struct device_user *u = (struct device_user *)ud, **at = bucket(p, ud->uid);

    if (p->sync != NULL)
        device_sync_gone(p->sync, u);
    list_del(&u->lowered);
    list_del(&u->due);
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    p->count--;
    if (!atomic_flag_test_and_set_explicit(&u->queued, memory_order_acq_rel))
        user_free(u);
}

static void on_changed(struct message *m, void *receiver)
{
    struct device_user *u = LIST_ENTRY(m, struct device_user, changed);

    (void)receiver;
    if (u->devices.refs == 0) {
        user_free(u);
        return;
    }
    /* Before the set is looked at: what comes from now on sends another one. */
    atomic_flag_clear_explicit(&u->queued, memory_order_release);
    struct device_sync *sync = device_user_panel(u)->sync;
    if (sync != NULL)
        device_sync_changed(sync, u);
}

/* In a worker's thread; the session holds its user and so the set. */
static void changed(struct user_devices_owner *o, struct user_devices *ud)
{
    struct device_panel *p = LIST_ENTRY(o, struct device_panel, owner);
    struct device_user *u = (struct device_user *)ud;

    if (atomic_load_explicit(&p->watched, memory_order_relaxed) &&
        !atomic_flag_test_and_set_explicit(&u->queued, memory_order_acq_rel))
        mailbox_send(p->book->mailbox, &u->changed);
}

struct device_user *device_panel_find(const struct device_panel *p, uint64_t uid)
{
    struct device_user *u = *bucket(p, uid);

    while (u != NULL && u->devices.uid != uid)
        u = u->next;
    return u;
}

struct user_devices *device_panel_take(struct device_panel *p, uint64_t uid)
{
    struct device_user *u = device_panel_find(p, uid);

    if (u == NULL) {
        u = calloc(1, sizeof(*u));
        if (u == NULL)
            return NULL;
        if (p->count >= p->size)
            grow(p);
        u->devices.uid = uid;
        u->devices.owner = &p->owner;
        u->changed.fn = on_changed;
        list_init(&u->lowered);
        list_init(&u->due);
        u->next = *bucket(p, uid);
        *bucket(p, uid) = u;
        p->count++;
        p->refs++;
    }
    u->devices.refs++;
    return &u->devices;
}

void device_panel_each(struct device_panel *p, void (*fn)(struct device_user *))
{
    for (size_t i = 0; i < p->size; i++)
        for (struct device_user *u = p->table[i]; u != NULL; u = u->next)
            fn(u);
}

struct node_env *device_panel_env(const struct device_panel *p)
{
    return p->book->env;
}

void device_user_weigh(struct device_user *u)
{
    const struct device_sync *sync = device_user_panel(u)->sync;
    bool stored = sync != NULL && device_sync_works(sync) && !u->set_aside;
    uint32_t says = stored ? u->store_says : u->panel_says;

    if (atomic_load_explicit(&u->devices.elsewhere, memory_order_relaxed) != says)
        atomic_store_explicit(&u->devices.elsewhere, says, memory_order_relaxed);
}

/* ---- limits that have become smaller ---- */

void device_panel_lowered(struct device_panel *p, struct user_devices *ud, uint32_t limit,
                          uint32_t node_no)
{
    struct device_user *u = (struct device_user *)ud;
    bool waits = list_linked(&u->lowered);

    u->lowered_to = waits && u->lowered_to < limit ? u->lowered_to : limit;
    u->lowered_by = node_no;
    list_del(&u->lowered);
    list_add_tail(&p->lowered, &u->lowered);
}

uint32_t device_panel_now_s(const struct device_panel *p)
{
    return (uint32_t)(loop_now_ms(p->book->env->loop) / 1000);
}

static void on_end(struct timer *t)
{
    struct device_panel *p = LIST_ENTRY(t, struct device_panel, end);
    const struct plane *plane = p->book->env->plane;

    LIST_FOREACH(l, tmp, &p->nodes) {
        const struct node *n = LIST_ENTRY(l, struct node, panel_link);
        if (n->published)
            plane->end_devices(plane->self, n->no);
    }
}

/* The workers look at all their sessions, so not for each device. */
void device_panel_end(struct device_panel *p)
{
    if (!timer_armed(&p->end))
        loop_timer_in(p->book->env->loop, &p->end, END_MS);
}

void device_panel_trim(struct node *n)
{
    struct device_panel *p = n->panel;
    uint32_t gone = 0;

    LIST_FOREACH(l, tmp, &p->lowered) {
        struct device_user *u = LIST_ENTRY(l, struct device_user, lowered);
        if (u->lowered_by != n->no)
            continue;
        list_del(&u->lowered);
        gone += devices_trim(&u->devices.set, u->lowered_to, device_panel_now_s(p));
        if (p->sync != NULL)
            device_sync_changed(p->sync, u);
    }
    if (gone > 0)
        device_panel_end(p);
}
