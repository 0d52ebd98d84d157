#include "control/device_book.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/node.h"

struct device_book {
    struct node_env *env;
    struct list panels;
};

#define PANEL_OF(l) LIST_ENTRY(l, struct device_panel, link)
#define TABLE_MIN   64u

struct device_book *device_book_new(struct node_env *env)
{
    struct device_book *b = calloc(1, sizeof(*b));

    if (b == NULL)
        return NULL;
    b->env = env;
    list_init(&b->panels);
    return b;
}

void device_book_free(struct device_book *b)
{
    if (b == NULL)
        return;
    BUG_ON(!list_empty(&b->panels));
    free(b);
}

/* ---- panels ---- */

static void panel_unref(struct device_panel *p)
{
    if (--p->refs > 0)
        return;
    list_del(&p->link);
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

static void release(struct user_devices_owner *o, struct user_devices *ud);

static struct device_panel *panel_new(struct device_book *b, const char *host)
{
    size_t n = normal_len(host);
    struct device_panel *p = calloc(1, sizeof(*p) + n + 1);

    if (p == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        p->host[i] = (char)tolower((unsigned char)host[i]);
    p->table = calloc(TABLE_MIN, sizeof(struct device_user *));
    p->size = TABLE_MIN;
    if (p->table == NULL) {
        free(p);
        return NULL;
    }
    p->book = b;
    p->owner = (struct user_devices_owner){.release = release};
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

void device_panel_leave(struct node *n)
{
    struct device_panel *p = n->panel;

    if (p == NULL)
        return;
    list_del(&n->panel_link);
    n->panel = NULL;
    LIST_FOREACH(l, tmp, &p->lowered)
    {
        if (LIST_ENTRY(l, struct device_user, lowered)->lowered_by == n->no)
            list_del(l);
    }
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
    struct device_panel *p = u->panel;

    user_devices_fini(&u->devices);
    free(u);
    panel_unref(p);
}

static void release(struct user_devices_owner *o, struct user_devices *ud)
{
    struct device_panel *p = LIST_ENTRY(o, struct device_panel, owner);
    struct device_user *u = (struct device_user *)ud, **at = bucket(p, ud->uid);

    list_del(&u->lowered);
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    p->count--;
    user_free(u);
}

struct user_devices *device_panel_take(struct device_panel *p, uint64_t uid)
{
    struct device_user *u = *bucket(p, uid);

    while (u != NULL && u->devices.uid != uid)
        u = u->next;
    if (u == NULL) {
        u = calloc(1, sizeof(*u));
        if (u == NULL)
            return NULL;
        if (p->count >= p->size)
            grow(p);
        u->devices.uid = uid;
        u->devices.owner = &p->owner;
        u->panel = p;
        list_init(&u->lowered);
        u->next = *bucket(p, uid);
        *bucket(p, uid) = u;
        p->count++;
        p->refs++;
    }
    u->devices.refs++;
    return &u->devices;
}

void device_user_weigh(struct device_user *u)
{
    uint32_t says = u->panel_says;

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

void device_panel_end(struct device_panel *p)
{
    const struct plane *plane = p->book->env->plane;

    LIST_FOREACH(l, tmp, &p->nodes)
    {
        const struct node *n = LIST_ENTRY(l, struct node, panel_link);
        if (n->published)
            plane->end_devices(plane->self, n->no);
    }
}

void device_panel_trim(struct node *n)
{
    struct device_panel *p = n->panel;
    uint32_t gone = 0;

    LIST_FOREACH(l, tmp, &p->lowered)
    {
        struct device_user *u = LIST_ENTRY(l, struct device_user, lowered);
        if (u->lowered_by != n->no)
            continue;
        list_del(&u->lowered);
        gone += devices_trim(&u->devices.set, u->lowered_to, device_panel_now_s(p));
    }
    if (gone > 0)
        device_panel_end(p);
}
