/* What one process hands to the next, and takes from the one before: docs/internals/upgrade.md. */
#include <stdlib.h>
#include <string.h>

#include "control/admin/admin.h"
#include "control/controller_state.h"
#include "control/device_guests.h"
#include "control/node/device_book.h"
#include "control/node/dynamic_service.h"
#include "control/node/online_guests.h"
#include "control/node/reporter.h"
#include "control/store/counters.h"
#include "control/store/store.h"

#define RECOVER_MS 100
#define LEAVE_MS   60000 /* for a push that is under way when another process takes over */

uint64_t controller_state_id(const struct controller *c)
{
    return store_is_durable(c->env.store) ? store_id(c->env.store) : 0;
}

struct controller_user controller_name(const struct node *n, const struct user_rt *u)
{
    struct controller_user name = {.uid = u->uid, .row = n->store_node};

    memcpy(name.uuid, u->uuid, UUID_LEN);
    return name;
}

void controller_each_named(struct controller *c, const struct controller_user *name,
                           void (*fn)(struct controller *c, struct user_rt *u, const void *arg),
                           const void *arg)
{
    LIST_FOREACH(l, tmp, &c->nodes) {
        const struct node *n = CONTROLLER_NODE(l);
        if (n->store_node != name->row)
            continue;
        for (size_t i = users_first(&n->users, name->uid);
             i < n->users.count && n->users.by_id[i]->uid == name->uid; i++)
            if (memcmp(n->users.by_id[i]->uuid, name->uuid, UUID_LEN) == 0)
                fn(c, n->users.by_id[i], arg);
    }
}

size_t controller_listening(const struct controller *c, uint32_t *rows)
{
    size_t count = 0;

    LIST_FOREACH(l, tmp, &c->nodes)
        if (CONTROLLER_NODE(l)->listening && CONTROLLER_NODE(l)->state < NODE_DRAINING)
            rows[count++] = CONTROLLER_NODE(l)->store_node;
    return count;
}

bool controller_waits_for(const struct controller *c, const uint32_t *rows, size_t count)
{
    LIST_FOREACH(l, tmp, &c->nodes)
        for (size_t i = 0; i < count; i++)
            if (CONTROLLER_NODE(l)->store_node == rows[i] && !CONTROLLER_NODE(l)->listening)
                return true;
    return false;
}

void controller_begin(struct controller *c, const struct config *cfg)
{
    unsigned begun = 0;

    if (c->env.pulls || c->stopping)
        return;
    c->env.pulls = true;
    dynamic_service_resume(c->dynamic, true);
    LIST_FOREACH(l, tmp, &c->nodes)
        if (CONTROLLER_NODE(l)->state < NODE_DRAINING)
            node_begin(CONTROLLER_NODE(l), CONTROLLER_STAGGER_MS * begun++);
    controller_apply_ports(c, cfg);
}

void controller_report(struct controller *c)
{
    c->entitled = true;
    controller_check_stopped(c);
    if (c->env.reports || c->stopping)
        return;
    c->env.reports = true;
    LIST_FOREACH(l, tmp, &c->nodes)
        reporter_poke(CONTROLLER_NODE(l)->reporter);
}

/* Nor are they online any more. */
static void say_out(struct controller *c, const struct controller_device *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct device_panel *p = device_book_find(c->env.devices, list[i].panel);
        if (p == NULL)
            continue;
        LIST_FOREACH(l, tmp, &p->nodes)
            online_guests_drop(reporter_guests(LIST_ENTRY(l, struct node, panel_link)->reporter),
                               list[i].uid, &list[i].seen.ip, list[i].seen.bits);
    }
    if (c->setup.put_out != NULL)
        c->setup.put_out(c->setup.arg, list, count);
}

void controller_guests(struct controller *c, const struct controller_device *list, size_t count)
{
    if (count > 0) {
        device_guests_add(c->guests, list, count);
        return;
    }
    list = device_guests_end(c->guests, &count);
    if (count > 0)
        say_out(c, list, count);
}

void controller_put_out(struct controller *c, const struct controller_device *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct device_panel *p = device_book_find(c->env.devices, list[i].panel);
        struct device_user *u = p != NULL ? device_panel_find(p, list[i].uid) : NULL;
        if (u != NULL && devices_put_out(&u->devices.set, &list[i].seen, device_panel_now_s(p)))
            device_panel_end(p);
    }
    say_out(c, list, count); /* it may be one of a yet earlier process */
}

void controller_guests_gone(struct controller *c)
{
    /* What was told of a list that breaks off goes as well. */
    size_t refused;
    (void)device_guests_end(c->guests, &refused);
    (void)device_guests_end(c->guests, &refused);
    LIST_FOREACH(l, tmp, &c->nodes)
        online_guests_clear(reporter_guests(CONTROLLER_NODE(l)->reporter));
    controller_no_streams(c);
    c->earlier = false;
    LIST_FOREACH(l, tmp, &c->nodes)
        if (CONTROLLER_NODE(l)->lingers)
            node_on_gone(CONTROLLER_NODE(l));
}

size_t controller_devices(const struct controller *c, struct controller_device **out)
{
    return device_guests_list(c->env.devices, out);
}

void controller_recover(struct controller *c)
{
    counters_recover(c->env.counters);
    /* A process that is killed lets go of one descriptor after the other. */
    if (counters_has_others(c->env.counters))
        loop_timer_in(c->env.loop, &c->sample_timer, RECOVER_MS);
}

void controller_close_ports(struct controller *c)
{
    static const struct config none = {.stats.enabled = false};

    controller_apply_ports(c, &none);
    admin_close(c->admin);
}

void controller_hold(struct controller *c, bool hold)
{
    c->env.holds = hold;
    LIST_FOREACH(l, tmp, &c->nodes)
        if (hold)
            node_hold(CONTROLLER_NODE(l));
}

void controller_leave(struct controller *c, void (*done)(void *arg), void *arg)
{
    uint32_t longest = 0;

    if (c->stopping)
        return;
    c->stopping = c->leaving = true;
    c->done = done;
    c->done_arg = arg;
    dynamic_service_keep(c->dynamic);
    c->env.reports = false;
    c->env.leaving = true;
    LIST_FOREACH(l, tmp, &c->nodes)
        reporter_leave(CONTROLLER_NODE(l)->reporter);
    LIST_FOREACH(l, tmp, &c->nodes) {
        struct node *n = CONTROLLER_NODE(l);
        uint32_t ms = n->served != NULL ? n->served->drain_ms : 0;
        longest = ms > longest ? ms : longest;
        node_drain(n, ms);
    }
    loop_timer_in(c->env.loop, &c->stop_timer, (uint64_t)longest + LEAVE_MS);
    controller_check_stopped(c);
}

bool controller_is_pushing(const struct controller *c)
{
    if (!c->entitled)
        return true;
    LIST_FOREACH(l, tmp, &c->nodes)
        if (reporter_is_pushing(CONTROLLER_NODE(l)->reporter))
            return true;
    return false;
}

void controller_give_reports(struct controller *c)
{
    store_give_nodes(c->env.store);
}

void controller_left_online(void *arg, const struct node *n, const uint64_t *uids, size_t count)
{
    const struct controller *c = arg;
    struct controller_user u[CONTROLLER_USERS_MAX];

    for (size_t i = 0; c->setup.left_online != NULL && i < count;) {
        size_t k = 0;
        for (; k < CONTROLLER_USERS_MAX && i < count; k++, i++)
            u[k] = (struct controller_user){.uid = uids[i], .row = n->store_node};
        c->setup.left_online(c->setup.arg, u, k);
    }
}

void controller_present(void *arg, const struct node *n, const struct online_list *list)
{
    const struct controller *c = arg;
    struct controller_present *all = calloc(list->count + 1, sizeof(*all));

    for (size_t i = 0; all != NULL && i < list->count; i++)
        all[i] = (struct controller_present){
            .uid = list->own_list[i].uid, .row = n->store_node, .ip = list->own_list[i].ip};
    if (all != NULL && c->setup.present != NULL) {
        all[list->count].row = n->store_node;
        c->setup.present(c->setup.arg, all, list->count + 1);
    }
    free(all);
}

/* One that ends as well, where none goes on: such are the last of the list. */
static struct node *find_row(const struct controller *c, uint32_t row)
{
    LIST_FOREACH(l, tmp, &c->nodes)
        if (CONTROLLER_NODE(l)->store_node == row)
            return CONTROLLER_NODE(l);
    return NULL;
}

/* The list of @n is whole. A node that @n has taken the place of says no more what it was told. */
static void end_present(const struct controller *c, struct node *n)
{
    LIST_FOREACH(l, tmp, &c->nodes)
        if (CONTROLLER_NODE(l) != n && CONTROLLER_NODE(l)->store_node == n->store_node)
            online_guests_clear(reporter_guests(CONTROLLER_NODE(l)->reporter));
    online_guests_end(reporter_guests(n->reporter));
}

void controller_take_present(struct controller *c, const struct controller_present *list,
                             size_t count)
{
    struct node *n = NULL;

    for (size_t i = 0; i < count; i++) {
        if (n == NULL || n->store_node != list[i].row)
            n = find_row(c, list[i].row);
        if (n == NULL)
            continue;
        if (list[i].ip.family == ADDR_NONE)
            end_present(c, n);
        else
            online_guests_add(reporter_guests(n->reporter), list[i].uid, &list[i].ip);
    }
}

static int compare_uids(const void *x, const void *y)
{
    const uint64_t *a = x, *b = y;

    return (*a > *b) - (*a < *b);
}

void controller_take_online(struct controller *c, const struct controller_user *list, size_t count)
{
    if (c->leaving) {
        if (c->setup.left_online != NULL)
            c->setup.left_online(c->setup.arg, list, count);
        return;
    }
    LIST_FOREACH(l, tmp, &c->nodes) {
        const struct node *n = CONTROLLER_NODE(l);
        for (size_t i = 0; i < count && n->state < NODE_DRAINING;) {
            uint64_t uids[CONTROLLER_USERS_MAX];
            size_t k = 0;
            for (; k < CONTROLLER_USERS_MAX && i < count; i++)
                if (list[i].row == n->store_node)
                    uids[k++] = list[i].uid;
            qsort(uids, k, sizeof(uids[0]), compare_uids);
            reporter_take_online(n->reporter, uids, k);
        }
    }
}

struct removal {
    bool *touched; /* by number of the node: it has lost some */
};

static void remove_user(struct controller *c, struct user_rt *u, const void *arg)
{
    const struct removal *r = arg;

    (void)c;
    atomic_store_explicit(&u->removed, true, memory_order_relaxed);
    r->touched[u->node] = true;
}

void controller_remove_users(struct controller *c, const struct controller_user *list, size_t count)
{
    bool touched[VIEW_NODES_MAX] = {false};
    const struct removal r = {touched};

    if (c->setup.removed != NULL)
        c->setup.removed(c->setup.arg, list, count);
    for (size_t i = 0; i < count; i++)
        controller_each_named(c, &list[i], remove_user, &r);
    LIST_FOREACH(l, tmp, &c->nodes)
        if (touched[CONTROLLER_NODE(l)->no])
            c->env.plane->close_removed(c->env.plane->self, CONTROLLER_NODE(l)->no);
}
