#include "control/device_guests.h"

#include <stdlib.h>

#include "control/node/device_book.h"
#include "policy/user_devices.h"

/* Held by a reference and, in its set, as if by a session. */
struct guest {
    struct user_devices *user;
    struct device *device;
};

struct guests {
    struct guest *list;
    size_t count, room;
};

struct device_guests {
    struct device_book *book;
    struct guests held;                /* of the last list that was whole */
    struct guests coming;              /* of the one that is being told */
    struct controller_device *refused; /* of that one, by their limit */
    size_t refused_count, refused_room;
    bool told; /* refused is of the list before */
};

struct device_guests *device_guests_new(struct device_book *b)
{
    struct device_guests *g = calloc(1, sizeof(*g));

    if (g != NULL)
        g->book = b;
    return g;
}

static void let_go(struct guests *all)
{
    for (size_t i = 0; i < all->count; i++) {
        devices_leave(&all->list[i].user->set, all->list[i].device);
        user_devices_unref(all->list[i].user);
    }
    free(all->list);
    *all = (struct guests){.list = NULL};
}

void device_guests_free(struct device_guests *g)
{
    if (g == NULL)
        return;
    let_go(&g->held);
    let_go(&g->coming);
    free(g->refused);
    free(g);
}

static bool has_room(struct guests *all)
{
    if (all->count < all->room)
        return true;
    size_t room = all->room * 2 + 64;
    struct guest *p = realloc(all->list, room * sizeof(*p));
    if (p == NULL)
        return false;
    all->list = p;
    all->room = room;
    return true;
}

static bool makes_sense(const struct device_seen *d)
{
    return d->limit > 0 && ((d->ip.family == ADDR_IP4 && d->bits <= 32) ||
                            (d->ip.family == ADDR_IP6 && d->bits <= 128));
}

static void refuse(struct device_guests *g, const struct controller_device *d)
{
    if (g->refused_count == g->refused_room) {
        size_t room = g->refused_room * 2 + 16;
        struct controller_device *p = realloc(g->refused, room * sizeof(*p));
        if (p == NULL)
            return; /* the next list has it again */
        g->refused = p;
        g->refused_room = room;
    }
    g->refused[g->refused_count++] = *d;
}

static void add(struct device_guests *g, const struct controller_device *d)
{
    struct device_panel *p = device_book_find(g->book, d->panel);
    struct device_user *u = p != NULL ? device_panel_find(p, d->uid) : NULL;
    struct device_rule rule = {.limit = d->seen.limit,
                               .bits4 = d->seen.bits,
                               .bits6 = d->seen.bits,
                               .grace_s = d->seen.grace_s};
    struct device *dev;

    if (u == NULL || !makes_sense(&d->seen) || !has_room(&g->coming))
        return;
    uint32_t now_s = device_panel_now_s(p);
    uint32_t active_s = now_s > d->seen.quiet_s ? now_s - d->seen.quiet_s : 0;
    enum status st = user_devices_enter(&u->devices, &d->seen.ip, &rule, active_s, &dev);
    if (st == ST_E_LIMIT)
        refuse(g, d); /* his place is taken */
    if (st != ST_OK)
        return;
    u->devices.refs++;
    g->coming.list[g->coming.count++] = (struct guest){.user = &u->devices, .device = dev};
}

void device_guests_add(struct device_guests *g, const struct controller_device *list, size_t count)
{
    if (g->told) {
        g->told = false;
        g->refused_count = 0;
    }
    for (size_t i = 0; i < count; i++)
        add(g, &list[i]);
}

const struct controller_device *device_guests_end(struct device_guests *g, size_t *refused)
{
    *refused = g->told ? 0 : g->refused_count;
    g->told = true;
    let_go(&g->held); /* those that stay are held by the new list */
    g->held = g->coming;
    g->coming = (struct guests){.list = NULL};
    return g->refused;
}

/* ---- telling ---- */

struct telling {
    struct controller_device *list;
    size_t count, room;
    struct device_seen *seen; /* of one user */
    size_t seen_room;
};

static bool has_room_for(struct telling *t, size_t more)
{
    if (t->room - t->count >= more)
        return true;
    size_t room = t->room * 2 + more;
    struct controller_device *p = realloc(t->list, room * sizeof(*p));
    if (p == NULL)
        return false;
    t->list = p;
    t->room = room;
    return true;
}

/* The devices of @u into seen. Returns how many. */
static size_t look_at(struct telling *t, struct device_user *u, uint32_t now_s)
{
    size_t n = 0;

    for (;;) {
        if (t->seen_room > 0)
            n = devices_list(&u->devices.set, now_s, t->seen, t->seen_room);
        if (n < t->seen_room)
            return n;
        size_t room = t->seen_room * 2 + 64; /* there may be more */
        struct device_seen *p = realloc(t->seen, room * sizeof(*p));
        if (p == NULL)
            return n;
        t->seen = p;
        t->seen_room = room;
    }
}

static void tell_panel(void *arg, const struct device_panel *p)
{
    struct telling *t = arg;
    uint32_t now_s = device_panel_now_s(p);

    for (size_t i = 0; i < p->size; i++) {
        for (struct device_user *u = p->table[i]; u != NULL; u = u->next) {
            size_t n = look_at(t, u, now_s);
            if (n == 0 || !has_room_for(t, n))
                continue;
            for (size_t k = 0; k < n; k++)
                t->list[t->count++] = (struct controller_device){
                    .panel = device_panel_number(p), .uid = u->devices.uid, .seen = t->seen[k]};
        }
    }
}

size_t device_guests_list(const struct device_book *b, struct controller_device **out)
{
    struct telling t = {.list = NULL};

    device_book_each(b, tell_panel, &t);
    free(t.seen);
    *out = t.list;
    return t.count;
}
