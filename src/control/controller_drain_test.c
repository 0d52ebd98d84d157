/* Two controllers, of which one drains: who is online, and limits, are those of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/fake_next.h"

#include "control/controller_state.h"
#include "control/node/online_guests.h"
#include "control/node/reporter.h"
#include "policy/user_devices.h"
#include "policy/user_live.h"

static void tell_present(struct next *n)
{
    reporter_poke(CONTROLLER_NODE(n->c->nodes.next)->reporter); /* as at the next interval */
}

static void expect_report(struct world *w, struct next *n, const char *want)
{
    unsigned told = w->calls[ALIVE];

    controller_poke(n->c);
    UNTIL(w, w->calls[ALIVE] > told);
    assert_string_equal(w->body[ALIVE], want);
    go_round(w); /* the answer */
}

static void see(struct plane_alive *a, uint64_t uid, const char *ip)
{
    *a = (struct plane_alive){.uid = uid, .presence = PLANE_BUSY};
    assert_int_equal(addr_parse_ip(&a->ip, ip, strlen(ip)), ST_OK);
}

/* Sessions end hours after an upgrade: until then the new one reports whom the old one has, with
 * its own, and takes back who has left, once. */
static void who_is_online_in_the_old_one_is_reported(void **state)
{
    struct world *w = *state;
    struct next n, last;
    struct controller_present wrong = {.uid = 7, .row = 12345, .ip = {.family = ADDR_IP4}};

    run(w);
    leave(w);
    UNTIL(w, w->stopped);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    see(&n.plane.alive[0], 1, "1.2.3.4");
    n.plane.alive_count = 1;
    n.plane.hold_gone = true;
    controller_begin(n.c, w->cfg);
    controller_report(n.c);
    controller_guests_gone(n.c);
    expect_report(w, &n, "{\"1\":[\"1.2.3.4\"]}");
    start_next(w, &last);
    UNTIL(w, last.listens > 0);
    beside = &last;
    controller_leave(n.c, on_next_stopped, &n);
    assert_int_equal(last.left, 1); /* what has been told goes at once */
    assert_int_equal(last.present, 2);
    controller_take_present(last.c, &wrong, 1);
    wrong.ip.family = ADDR_NONE;
    controller_take_present(last.c, &wrong, 1);
    see(&last.plane.alive[0], 2, "5.6.7.8");
    see(&last.plane.alive[1], 1, "1.2.3.4"); /* he is in both */
    last.plane.alive_count = 2;
    controller_begin(last.c, w->cfg);
    controller_report(last.c);
    expect_report(w, &last, "{\"1\":[\"1.2.3.4\"],\"2\":[\"5.6.7.8\"]}");
    /* He has left the new one; another one comes to light in the old one. */
    last.plane.alive_count = 1;
    see(&n.plane.alive[1], 2, "2001:db8::7");
    n.plane.alive_count = 2;
    tell_present(&n);
    UNTIL(w, last.present == 5);
    expect_report(w, &last, "{\"1\":[\"1.2.3.4\"],\"2\":[\"5.6.7.8\",\"2001:db8::7\"]}");
    n.plane.alive_count = 0;
    tell_present(&n);
    UNTIL(w, last.present == 6);
    expect_report(w, &last, "{\"1\":[],\"2\":[\"5.6.7.8\"]}");
    expect_report(w, &last, "{\"2\":[\"5.6.7.8\"]}");
    n.plane.alive_count = 1;
    tell_present(&n);
    UNTIL(w, last.present == 8);
    expect_report(w, &last, "{\"1\":[\"1.2.3.4\"],\"2\":[\"5.6.7.8\"]}");
    n.plane.hold_gone = false;
    loop_task_add(w->loop, &n.plane.later);
    UNTIL(w, n.stopped);
    assert_int_equal(last.present, 9); /* it ends as it should: its list is empty then */
    expect_report(w, &last, "{\"1\":[],\"2\":[\"5.6.7.8\"]}");
    const struct controller_present late = {
        .uid = 3, .row = CONTROLLER_NODE(last.c->nodes.next)->store_node, .ip = wrong.ip};
    struct controller_present whole[2] = {late, late};
    see(&n.plane.alive[0], 3, "9.9.9.9");
    whole[0].ip = n.plane.alive[0].ip;
    controller_take_present(last.c, whole, 2);
    expect_report(w, &last, "{\"2\":[\"5.6.7.8\"],\"3\":[\"9.9.9.9\"]}");
    controller_guests_gone(last.c); /* it is killed */
    expect_report(w, &last, "{\"2\":[\"5.6.7.8\"],\"3\":[]}");
    end_next(&n);
    controller_stop(last.c, 0, 5000, on_next_stopped, &last);
    UNTIL(w, last.stopped);
    end_next(&last);
    beside = NULL;
}

/* A list of the old one that is still on its way must not come after the first of the new one; and
 * whom it holds has been told already. */
static void a_report_under_way_is_waited_for(void **state)
{
    struct world *w = *state;
    struct next n, last;

    run(w);
    leave(w);
    UNTIL(w, w->stopped);
    start_next(w, &n);
    start_next(w, &last);
    UNTIL(w, n.listens > 0 && last.listens > 0);
    beside = &last;
    see(&n.plane.alive[0], 1, "1.2.3.4");
    n.plane.alive_count = 1;
    n.plane.hold_gone = true;
    unsigned told = w->calls[ALIVE];
    controller_begin(n.c, w->cfg);
    controller_report(n.c);
    UNTIL(w, w->calls[ALIVE] > told);
    controller_leave(n.c, on_next_stopped, &n);
    assert_int_equal(last.left, 1);
    assert_true(controller_is_pushing(n.c));
    UNTIL(w, !controller_is_pushing(n.c));
    controller_guests_gone(n.c);
    n.plane.hold_gone = false;
    loop_task_add(w->loop, &n.plane.later);
    UNTIL(w, n.stopped);
    assert_int_equal(last.left, 1);
    end_next(&n);
    controller_stop(last.c, 0, 5000, on_next_stopped, &last);
    UNTIL(w, last.stopped);
    end_next(&last);
    beside = NULL;
}

static void apply_to(struct world *w, struct next *n, const char *nodes)
{
    const struct config *cfg = config_of(w, nodes);

    assert_int_equal(controller_apply(n->c, cfg), ST_OK);
    config_unref(cfg);
}

/* A node is taken out of the new one's file while the old one still has users there, and put back:
 * nobody is online there whom the last list does not have. */
static void a_node_that_ends_hears_who_has_left(void **state)
{
    struct world *w = *state;
    struct next n;
    uint32_t row[VIEW_NODES_MAX];

    run(w);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    assert_int_equal(controller_listening(n.c, row), 1);
    struct controller_present list[3] = {
        {.uid = 1, .row = row[0]}, {.uid = 2, .row = row[0]}, {.row = row[0]}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(addr_parse_ip(&list[i].ip, "1.2.3.4", 7), ST_OK);
    struct online_guests *ending = reporter_guests(CONTROLLER_NODE(n.c->nodes.next)->reporter);
    controller_take_present(n.c, list, 3);
    assert_int_equal(ending->list.count, 2);
    n.plane.hold_gone = true;
    apply_to(w, &n, node_text(w, 8, ""));
    controller_take_present(n.c, list + 1, 2);
    assert_int_equal(ending->list.count, 1);
    apply_to(w, &n, node_text(w, 7, ""));
    struct online_guests *heir = reporter_guests(CONTROLLER_NODE(n.c->nodes.next)->reporter);
    assert_ptr_not_equal(heir, ending);
    controller_take_present(n.c, list, 3);
    assert_int_equal(heir->list.count, 2);
    assert_int_equal(ending->list.count, 0);
    n.plane.hold_gone = false;
    loop_task_add(w->loop, &n.plane.later);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
}

static struct user_devices *devices_of(const struct fake_plane *p)
{
    uint8_t id[UUID_LEN];

    assert_int_equal(uuid_parse(id, UUID_C, strlen(UUID_C)), ST_OK);
    const struct user_rt *u = uuid_index_find(p->nodes[0].view->users, id);
    assert_non_null(u);
    return atomic_load(&u->devices);
}

static enum status enter(struct user_devices *ud, const char *from, uint32_t limit, uint32_t now_s,
                         struct device **dev)
{
    struct device_rule rule = {.limit = limit, .bits4 = 32, .bits6 = 64, .grace_s = DEVICE_GRACE_S};
    struct addr a;

    assert_int_equal(addr_parse_ip(&a, from, strlen(from)), ST_OK);
    return user_devices_enter(ud, &a, &rule, now_s, dev);
}

/* What a limit allows, it allows to both processes together. */
static void devices_of_the_old_one_keep_their_places(void **state)
{
    struct world *w = *state;
    struct next n;
    struct device *dev[3], *mine;
    struct controller_device *list, wrong;
    uint32_t now_s = (uint32_t)(loop_now_ms(w->loop) / 1000);

    set_users(w, USER_A "," USER_C);
    run(w);
    struct user_devices *old = devices_of(&w->plane);
    assert_int_equal(controller_devices(w->c, &list), 0);
    free(list);
    assert_int_equal(enter(old, "1.1.1.1", 2, now_s, &dev[0]), ST_OK);
    assert_int_equal(enter(old, "2001:db8::1", 2, now_s - 5, &dev[1]), ST_OK);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    struct user_devices *new = devices_of(&n.plane);
    size_t count = controller_devices(w->c, &list);
    assert_int_equal(count, 2);
    wrong = list[0];
    wrong.seen.bits = 33;
    controller_guests(n.c, &wrong, 1);
    wrong = list[0];
    wrong.panel++;
    controller_guests(n.c, &wrong, 1);
    wrong = list[0];
    wrong.uid = 1; /* he has no limit */
    controller_guests(n.c, &wrong, 1);
    assert_int_equal(devices_count(&new->set, now_s), 0);
    controller_guests(n.c, list, count);
    controller_guests(n.c, NULL, 0);
    free(list);
    assert_int_equal(devices_count(&new->set, now_s), 2);
    assert_int_equal(enter(new, "2.2.2.2", 2, now_s, &mine), ST_E_LIMIT);
    assert_int_equal(enter(new, "2001:db8::2", 2, now_s, &mine), ST_OK); /* the same network */
    devices_leave(&new->set, mine);
    /* The next list: one of them is gone for good, the other has moved something. */
    devices_leave(&old->set, dev[0]);
    struct device_seen gone = {.bits = 32};
    assert_int_equal(addr_parse_ip(&gone.ip, "1.1.1.1", 7), ST_OK);
    assert_true(devices_put_out(&old->set, &gone, now_s));
    atomic_store(&dev[1]->active_s, now_s);
    count = controller_devices(w->c, &list);
    assert_int_equal(count, 1);
    controller_guests(n.c, list, count);
    controller_guests(n.c, NULL, 0);
    free(list);
    assert_int_equal(enter(new, "2.2.2.2", 2, now_s, &mine), ST_OK); /* in the place that is free */
    assert_int_equal(enter(new, "3.3.3.3", 2, now_s + 5, &dev[2]), ST_E_LIMIT);
    controller_guests_gone(n.c);
    assert_int_equal(enter(new, "3.3.3.3", 2, now_s + 5, &dev[2]), ST_OK);
    devices_leave(&new->set, mine);
    devices_leave(&new->set, dev[2]);
    devices_leave(&old->set, dev[1]);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
}

static void all_devices_of_a_user_are_told(void **state)
{
    struct world *w = *state;
    struct device *dev[70];
    struct controller_device *list;
    uint32_t now_s = (uint32_t)(loop_now_ms(w->loop) / 1000);
    char ip[32];

    set_users(w, USER_C);
    run(w);
    struct user_devices *ud = devices_of(&w->plane);
    for (unsigned i = 0; i < 70; i++) {
        snprintf(ip, sizeof(ip), "9.9.9.%u", i);
        assert_int_equal(enter(ud, ip, 100, now_s, &dev[i]), ST_OK);
    }
    assert_int_equal(controller_devices(w->c, &list), 70);
    free(list);
    for (unsigned i = 0; i < 70; i++)
        devices_leave(&ud->set, dev[i]);
}

static void pass_devices(const struct controller *from, struct controller *to)
{
    struct controller_device *list;
    size_t count = controller_devices(from, &list);

    controller_guests(to, list, count);
    if (count > 0)
        controller_guests(to, NULL, 0);
    free(list);
}

/* One that gave its place to a new one ends in the old process too, and is not reported. */
static void a_device_that_lost_its_place_is_told(void **state)
{
    struct world *w = *state;
    struct next n;
    struct device *dev[2], *mine;
    uint32_t now_s = (uint32_t)(loop_now_ms(w->loop) / 1000);

    set_users(w, USER_A "," USER_C);
    run(w);
    struct user_devices *old = devices_of(&w->plane);
    assert_int_equal(enter(old, "1.1.1.1", 2, now_s, &dev[0]), ST_OK);
    assert_int_equal(enter(old, "1.1.1.2", 2, now_s - 3, &dev[1]), ST_OK);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    struct user_devices *new = devices_of(&n.plane);
    pass_devices(w->c, n.c);
    uint32_t row[VIEW_NODES_MAX];
    assert_int_equal(controller_listening(n.c, row), 1);
    struct controller_present online[3] = {{.uid = 3, .row = row[0], .ip = dev[0]->ip},
                                           {.uid = 3, .row = row[0], .ip = dev[1]->ip},
                                           {.row = row[0]}};
    controller_take_present(n.c, online, 3);
    struct online_guests *guests = reporter_guests(CONTROLLER_NODE(n.c->nodes.next)->reporter);
    assert_int_equal(guests->list.count, 2);
    assert_int_equal(enter(new, "9.9.9.9", 2, now_s + 30, &mine), ST_OK);
    assert_int_equal(n.outs, 0);
    pass_devices(w->c, n.c);
    assert_int_equal(n.outs, 1);
    assert_true(addr_ip_equal(&n.out.seen.ip, &dev[1]->ip));
    assert_int_equal(guests->list.count, 1);
    assert_true(addr_ip_equal(&guests->list.own_list[0].ip, &dev[0]->ip));
    n.out.uid++; /* of nobody */
    controller_put_out(w->c, &n.out, 1);
    n.out.uid--;
    n.out.panel++;
    controller_put_out(w->c, &n.out, 1);
    n.out.panel--;
    assert_int_equal(devices_count(&old->set, now_s), 2);
    controller_put_out(w->c, &n.out, 1);
    assert_int_equal(devices_count(&old->set, now_s), 1);
    UNTIL(w, w->plane.nodes[0].ended_devices > 0);
    pass_devices(w->c, n.c);
    assert_int_equal(n.outs, 1);
    for (int i = 0; i < 2; i++)
        devices_leave(&old->set, dev[i]);
    devices_leave(&new->set, mine);
    controller_guests_gone(n.c);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
}

static struct user_rt *user_of(const struct fake_plane *p, const char *uuid)
{
    uint8_t id[UUID_LEN];

    assert_int_equal(uuid_parse(id, uuid, strlen(uuid)), ST_OK);
    struct user_rt *u = uuid_index_find(p->nodes[0].view->users, id);
    assert_non_null(u);
    return u;
}

static void open_stream(const struct fake_plane *p, struct user_rt *u, struct conn_entry *e)
{
    const struct plane_sink *s = controller_sink(p->controller);
    struct user_live *live = user_live_get(u);
    struct list out;

    assert_non_null(live);
    list_init(&out);
    assert_int_equal(conns_enter(&live->conns, e, CONN_TCP, atomic_load(&u->conn_limit), 0, &out),
                     ST_OK);
    assert_true(list_empty(&out));
    if (atomic_load(&live->conns.owes))
        s->streams_taken(s->self, u);
}

/* As the sockets between them would. */
static size_t pass_streams(const struct controller *from, struct controller *to)
{
    struct controller_streams *list;
    size_t count = controller_streams(from, &list);

    controller_take_streams(to, list, count);
    free(list);
    return count;
}

static uint32_t streams_of(struct user_rt *u)
{
    return user_live_get(u)->conns.of[CONN_TCP].count;
}

/* Three processes have one limit. What the newest lets in takes the places of the oldest first. */
static void processes_have_one_limit_of_streams(void **state)
{
    struct world *w = *state;
    struct next n, last;
    struct conn_entry e[8];
    struct user_rt *u[3];
    struct controller_streams wrong;

    set_users(w, "{\"id\":1,\"uuid\":\"" UUID_A "\",\"conn_limit\":4}," USER_B);
    run(w);
    u[0] = user_of(&w->plane, UUID_A);
    assert_int_equal(pass_streams(w->c, w->c), 0);
    open_stream(&w->plane, u[0], &e[0]);
    open_stream(&w->plane, u[0], &e[1]);
    start_next(w, &n);
    n.before = w->c;
    UNTIL(w, n.listens > 0);
    assert_int_equal(pass_streams(w->c, n.c), 1);
    assert_int_equal(pass_streams(w->c, n.c), 0); /* nothing has changed */
    u[1] = user_of(&n.plane, UUID_A);
    open_stream(&n.plane, u[1], &e[2]);
    open_stream(&n.plane, u[1], &e[3]);
    controller_grant_streams(n.c);
    assert_int_equal(n.grants, 0);
    start_next(w, &last);
    last.before = n.c;
    UNTIL(w, last.listens > 0);
    assert_int_equal(pass_streams(n.c, last.c), 1);
    u[2] = user_of(&last.plane, UUID_A);
    open_stream(&last.plane, u[2], &e[4]);
    assert_int_equal(last.grants, 1);
    assert_int_equal(last.granted.count[CONN_TCP], 3);
    assert_int_equal(n.granted.count[CONN_TCP], 1);
    assert_int_equal(streams_of(u[0]), 1);
    assert_int_equal(streams_of(u[1]), 2);
    wrong = last.granted; /* what fits nobody is passed over */
    wrong.count[CONN_TCP] = 0;
    wrong.user.row++;
    controller_allow_streams(n.c, &wrong, 1);
    wrong.user.row--;
    wrong.user.uuid[0]++;
    controller_allow_streams(n.c, &wrong, 1);
    wrong.user.uid = 77;
    controller_take_streams(n.c, &wrong, 1);
    wrong.user.uid = 2; /* nothing was ever counted of him */
    controller_allow_streams(n.c, &wrong, 1);
    assert_int_equal(streams_of(u[1]), 2);
    /* One ends in the newest: who took no more may again. */
    assert_true(conns_leave(&user_live_get(u[2])->conns, &e[4]));
    controller_grant_streams(last.c);
    assert_int_equal(last.granted.count[CONN_TCP], 4);
    assert_int_equal(n.granted.count[CONN_TCP], 2);
    controller_guests_gone(last.c); /* they have ended: the limit is its own */
    for (int i = 4; i < 8; i++)
        open_stream(&last.plane, u[2], &e[i]);
    assert_int_equal(last.grants, 2);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
    controller_stop(last.c, 0, 5000, on_next_stopped, &last);
    UNTIL(w, last.stopped);
    end_next(&last);
}

/* Three in a row. The one in the middle has no session any more, the first one has: by way of the
 * second the third goes on hearing of them, and saying what may stay. */
static void the_middle_one_stays_for_the_first(void **state)
{
    struct world *w = *state;
    struct next n, last;
    struct user_rt *u[2];
    struct conn_entry e[3];
    struct controller_present list[2] = {{.uid = 1}, {.uid = 0}};
    uint32_t row[VIEW_NODES_MAX];

    set_users(w, "{\"id\":1,\"uuid\":\"" UUID_A "\",\"conn_limit\":2}");
    run(w);
    start_next(w, &n);
    start_next(w, &last);
    UNTIL(w, n.listens > 0 && last.listens > 0);
    last.before = n.c;
    n.before = w->c;
    beside = &last;
    assert_int_equal(controller_listening(n.c, row), 1);
    list[0].row = list[1].row = row[0];
    assert_int_equal(addr_parse_ip(&list[0].ip, "1.2.3.4", 7), ST_OK);
    u[0] = user_of(&w->plane, UUID_A);
    u[1] = user_of(&last.plane, UUID_A);
    controller_begin(n.c, w->cfg);
    controller_report(n.c);
    controller_leave(n.c, on_next_stopped, &n);
    go_round(w);
    assert_false(n.stopped);
    for (int i = 0; i < 2; i++)
        open_stream(&w->plane, u[0], &e[i]);
    assert_int_equal(pass_streams(w->c, n.c), 1);
    assert_int_equal(pass_streams(n.c, last.c), 1);
    open_stream(&last.plane, u[1], &e[2]);
    assert_int_equal(streams_of(u[0]), 1);
    controller_take_present(n.c, list, 2);
    tell_present(&n);
    struct online_guests *guests = reporter_guests(CONTROLLER_NODE(last.c->nodes.next)->reporter);
    UNTIL(w, guests->list.count == 1);
    controller_guests_gone(n.c);
    assert_int_equal(guests->list.count, 0);
    UNTIL(w, n.stopped);
    end_next(&n);
    controller_stop(last.c, 0, 5000, on_next_stopped, &last);
    UNTIL(w, last.stopped);
    end_next(&last);
    beside = NULL;
}

/* One pair of cells a node's total and one cell a user with a limit who has sessions. */
static void take_cells(struct controller *from, struct controller *to, size_t want)
{
    struct controller_cell *list;
    size_t count = controller_cells(from, &list);

    assert_int_equal(count, want);
    controller_take_cells(to, list, count);
    free(list);
}

static bool same_memory(_Atomic uint64_t *a, _Atomic uint64_t *b)
{
    uint64_t before = atomic_fetch_add(a, 16);
    bool same = a != b && atomic_load(b) == before + 16;

    atomic_fetch_sub(a, 16);
    return same;
}

static bool same_bucket(struct user_rt *a, struct user_rt *b, bool up)
{
    return same_memory(&user_bucket(a, up)->spent, &user_bucket(b, up)->spent);
}

/* What one process spends of a speed limit is spent in the next, and in the one after that. */
static void processes_have_one_limit_of_speed(void **state)
{
    struct world *w = *state;
    struct next n, last;
    struct user_rt *a[3], *b[3];
    struct share_total *t[3];

    set_users(w, USER_A "," USER_C);
    apply(w, node_text(w, 7, ",\"LimitConfig\":{\"NodeTotalSpeedLimit\":500}"));
    UNTIL(w, status(w, 0).pulled_s != 0 && status(w, 0).serving);
    a[0] = user_of(&w->plane, UUID_A);
    b[0] = user_of(&w->plane, UUID_C); /* he has no limit */
    t[0] = w->plane.nodes[0].view->total;
    atomic_store(&a[0]->sessions, 1);
    atomic_store(&b[0]->sessions, 1);
    atomic_store(&a[0]->up.spent, 1234);
    start_next(w, &n);
    UNTIL(w, n.listens > 0);
    a[1] = user_of(&n.plane, UUID_A);
    b[1] = user_of(&n.plane, UUID_C);
    t[1] = n.plane.nodes[0].view->total;
    assert_int_equal(controller_speed_fd(w->c), -1);
    take_cells(w->c, n.c, 2); /* without the memory: nothing happens */
    assert_false(same_bucket(a[0], a[1], true));
    take_cells(w->c, n.c, 0); /* each is told once */
    struct controller_cell wrong = {.user = {.uid = 1}, .cell = UINT32_MAX};
    memcpy(wrong.user.uuid, a[0]->uuid, UUID_LEN);
    uint32_t rows[VIEW_NODES_MAX];
    assert_int_equal(controller_listening(w->c, rows), 1);
    wrong.user.row = rows[0];
    controller_take_speed(n.c, dup(controller_speed_fd(w->c)));
    controller_take_cells(n.c, &wrong, 1);
    wrong.total = true;
    controller_take_cells(n.c, &wrong, 1);
    assert_false(same_bucket(a[0], a[1], true));
    user_live_get(a[0])->joint_told = false;
    w->c->total_told[0] = false;
    take_cells(w->c, n.c, 2);
    assert_true(same_bucket(a[0], a[1], true));
    assert_true(same_bucket(a[0], a[1], false));
    assert_int_equal(atomic_load(&user_bucket(a[1], true)->spent), 1234); /* it goes along */
    assert_ptr_equal(user_bucket(b[0], true), &b[0]->up);
    assert_ptr_equal(user_bucket(b[1], true), &b[1]->up);
    for (int up = 0; up < 2; up++)
        assert_true(same_memory(&share_queue_of(t[0], up)->bucket.spent,
                                &share_queue_of(t[1], up)->bucket.spent));
    start_next(w, &last);
    UNTIL(w, last.listens > 0);
    a[2] = user_of(&last.plane, UUID_A);
    b[2] = user_of(&last.plane, UUID_C);
    t[2] = last.plane.nodes[0].view->total;
    controller_take_speed(last.c, dup(controller_speed_fd(n.c)));
    take_cells(n.c, last.c, 2); /* though he has no session in this one */
    assert_true(same_bucket(a[0], a[2], false));
    assert_true(same_memory(&share_queue_of(t[0], false)->bucket.spent,
                            &share_queue_of(t[2], false)->bucket.spent));
    atomic_store(&b[1]->sessions, 1); /* he comes under a limit later */
    atomic_store(&b[1]->dynamic_kbps, 1000);
    take_cells(n.c, last.c, 1);
    assert_true(same_bucket(b[1], b[2], true));
    assert_false(same_bucket(b[1], a[2], true));
    /* And in the oldest, which cannot know the cell that he has by now. */
    atomic_store(&b[0]->dynamic_kbps, 1000);
    take_cells(w->c, n.c, 1);
    assert_true(same_bucket(b[0], b[1], true));
    take_cells(n.c, last.c, 1);
    assert_true(same_bucket(b[0], b[2], true));
    take_cells(n.c, last.c, 0);
    user_reset_speed(a[2]);
    assert_int_equal(atomic_load(&user_bucket(a[0], true)->spent), 0);
    atomic_store(&a[0]->sessions, 0);
    atomic_store(&b[0]->sessions, 0);
    atomic_store(&b[1]->sessions, 0);
    controller_stop(n.c, 0, 5000, on_next_stopped, &n);
    UNTIL(w, n.stopped);
    end_next(&n);
    controller_stop(last.c, 0, 5000, on_next_stopped, &last);
    UNTIL(w, last.stopped);
    end_next(&last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_online_in_the_old_one_is_reported),
        TEST(a_report_under_way_is_waited_for),
        TEST(a_node_that_ends_hears_who_has_left),
        TEST(devices_of_the_old_one_keep_their_places),
        TEST(all_devices_of_a_user_are_told),
        TEST(a_device_that_lost_its_place_is_told),
        TEST(processes_have_one_limit_of_streams),
        TEST(the_middle_one_stays_for_the_first),
        TEST(processes_have_one_limit_of_speed),
    };
    return cmocka_run_group_tests_name("controllers while one drains", tests, NULL, NULL);
}
