#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/upgrade_wire.h"

static int ends[2];
static struct upgrade_message out, in;

static int setup(void **state)
{
    (void)state;
    memset(&out, 0, sizeof(out));
    memset(&in, 0, sizeof(in));
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int teardown(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void pass(void)
{
    assert_int_equal(upgrade_send(ends[0], &out), ST_OK);
    assert_int_equal(upgrade_recv(ends[1], &in), ST_OK);
    assert_int_equal(in.type, out.type);
    assert_int_equal(in.count, out.count);
}

static int same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void sockets_come_with_their_names(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    out.type = UPGRADE_SOCKETS;
    out.count = UPGRADE_SOCKETS_MAX;
    for (unsigned i = 0; i < out.count; i++) {
        out.sockets[i].key = (struct handoff_key){.where = {.family = ADDR_IP6,
                                                            .port = (uint16_t)(1000 + i),
                                                            .ip = {0x20, 1, (uint8_t)i}},
                                                  .udp = i % 2 == 0,
                                                  .v6only = i % 3 == 0};
        out.sockets[i].fd = fd;
    }
    pass();
    for (unsigned i = 0; i < in.count; i++) {
        const struct handoff_key *a = &in.sockets[i].key, *b = &out.sockets[i].key;
        assert_true(addr_equal(&a->where, &b->where));
        assert_int_equal(a->udp, b->udp);
        assert_int_equal(a->v6only, b->v6only);
        assert_true(same_file(in.sockets[i].fd, fd));
        assert_int_equal(fcntl(in.sockets[i].fd, F_GETFD), FD_CLOEXEC);
        close(in.sockets[i].fd);
    }
    close(fd);
}

static void memory_comes_with_its_message(void **state)
{
    (void)state;
    int fd = memfd_create("cells", MFD_CLOEXEC);
    out.type = UPGRADE_MEMORY;
    out.count = 1;
    out.memory = fd;
    pass();
    assert_true(same_file(in.memory, fd));
    close(in.memory);
    out.count = 0; /* without one */
    assert_int_equal(upgrade_send(ends[0], &out), ST_OK);
    assert_int_equal(upgrade_recv(ends[1], &in), ST_E_PROTO);
    close(fd);
}

static void every_other_message_comes_as_it_went(void **state)
{
    (void)state;
    out.type = UPGRADE_HELLO;
    out.count = 1;
    out.state = UINT64_C(0x8123456789abcdef);
    pass();
    assert_true(in.state == out.state);
    out.type = UPGRADE_NODES;
    out.count = VIEW_NODES_MAX;
    for (uint32_t i = 0; i < VIEW_NODES_MAX; i++)
        out.rows[i] = i * 3 + 1;
    pass();
    assert_memory_equal(in.rows, out.rows, sizeof(in.rows));
    out.type = UPGRADE_REMOVED;
    out.count = CONTROLLER_USERS_MAX;
    for (unsigned i = 0; i < CONTROLLER_USERS_MAX; i++)
        out.users[i] = (struct controller_user){
            .uid = UINT64_C(1) << 40 | i, .row = i, .uuid = {1, 2, (uint8_t)i}};
    pass();
    for (unsigned i = 0; i < CONTROLLER_USERS_MAX; i++) {
        assert_true(in.users[i].uid == (UINT64_C(1) << 40 | i));
        assert_int_equal(in.users[i].row, i);
        assert_memory_equal(in.users[i].uuid, out.users[i].uuid, UUID_LEN);
    }
    out.type = UPGRADE_ONLINE;
    out.count = 1;
    pass();
    assert_true(in.users[0].uid == UINT64_C(1) << 40);
    out.type = UPGRADE_DEVICES;
    out.count = CONTROLLER_DEVICES_MAX;
    for (unsigned i = 0; i < CONTROLLER_DEVICES_MAX; i++)
        out.devices[i] =
            (struct controller_device){.panel = UINT64_MAX - i,
                                       .uid = UINT64_C(1) << 50 | i,
                                       .seen = {.ip = {.family = ADDR_IP6, .ip = {1, (uint8_t)i}},
                                                .bits = 64,
                                                .quiet_s = i,
                                                .limit = 1000 + i,
                                                .grace_s = 2000 + i}};
    pass();
    for (unsigned i = 0; i < CONTROLLER_DEVICES_MAX; i++) {
        const struct controller_device *a = &in.devices[i], *b = &out.devices[i];
        assert_true(a->panel == b->panel && a->uid == b->uid);
        assert_true(addr_equal(&a->seen.ip, &b->seen.ip));
        assert_int_equal(a->seen.bits, b->seen.bits);
        assert_int_equal(a->seen.quiet_s, b->seen.quiet_s);
        assert_int_equal(a->seen.limit, b->seen.limit);
        assert_int_equal(a->seen.grace_s, b->seen.grace_s);
    }
    out.type = UPGRADE_OUT;
    pass();
    assert_true(in.devices[9].panel == out.devices[9].panel);
    assert_true(addr_equal(&in.devices[9].seen.ip, &out.devices[9].seen.ip));
    out.type = UPGRADE_PRESENT;
    out.count = CONTROLLER_PRESENT_MAX;
    for (unsigned i = 0; i < CONTROLLER_PRESENT_MAX; i++)
        out.present[i] =
            (struct controller_present){.uid = UINT64_C(1) << 60 | i,
                                        .row = 7 + i,
                                        .ip = {.family = ADDR_IP6, .ip = {(uint8_t)i, 9}}};
    out.present[3].ip = (struct addr){.family = ADDR_NONE};
    pass();
    for (unsigned i = 0; i < CONTROLLER_PRESENT_MAX; i++) {
        const struct controller_present *a = &in.present[i], *b = &out.present[i];
        assert_true(a->uid == b->uid && a->row == b->row);
        assert_true(addr_equal(&a->ip, &b->ip));
    }
    out.count = CONTROLLER_STREAMS_MAX;
    for (unsigned i = 0; i < CONTROLLER_STREAMS_MAX; i++)
        out.streams[i] = (struct controller_streams){
            .user = {.uid = UINT64_C(1) << 33 | i, .row = 9 + i, .uuid = {(uint8_t)i, 5}},
            .count = {i, UINT32_MAX - i}};
    for (out.type = UPGRADE_STREAMS; out.type <= UPGRADE_GRANT; out.type++) {
        pass();
        for (unsigned i = 0; i < CONTROLLER_STREAMS_MAX; i++) {
            const struct controller_streams *a = &in.streams[i], *b = &out.streams[i];
            assert_true(a->user.uid == b->user.uid && a->user.row == b->user.row);
            assert_memory_equal(a->user.uuid, b->user.uuid, UUID_LEN);
            assert_memory_equal(a->count, b->count, sizeof(a->count));
        }
    }
    out.type = UPGRADE_CELLS;
    out.count = CONTROLLER_CELLS_MAX;
    for (unsigned i = 0; i < CONTROLLER_CELLS_MAX; i++)
        out.cells[i] =
            (struct controller_cell){.user = {.uid = i, .row = 3 + i, .uuid = {7, (uint8_t)i}},
                                     .cell = 1000 + i,
                                     .total = i % 2 == 0};
    pass();
    for (unsigned i = 0; i < CONTROLLER_CELLS_MAX; i++) {
        const struct controller_cell *a = &in.cells[i], *b = &out.cells[i];
        assert_true(a->user.uid == b->user.uid && a->user.row == b->user.row);
        assert_memory_equal(a->user.uuid, b->user.uuid, UUID_LEN);
        assert_true(a->cell == b->cell && a->total == b->total);
    }
    out.type = UPGRADE_FAILED;
    strcpy(out.text, "no");
    out.count = 3;
    pass();
    assert_string_equal(in.text, "no");
    const enum upgrade_type bare[] = {UPGRADE_END, UPGRADE_READY, UPGRADE_GO, UPGRADE_REPORT};
    out.count = 0;
    for (unsigned i = 0; i < 4; i++) {
        out.type = bare[i];
        pass();
    }
}

static void nothing_is_there_or_ever_will_be(void **state)
{
    (void)state;
    assert_int_equal(upgrade_recv(ends[1], &in), ST_MORE);
    close(ends[0]);
    assert_int_equal(upgrade_recv(ends[1], &in), ST_E_CLOSED);
    out.type = UPGRADE_GO;
    assert_int_equal(upgrade_send(ends[1], &out), ST_E_CLOSED);
    ends[0] = dup(ends[1]);
}

static void who_does_not_read_is_not_waited_for(void **state)
{
    (void)state;
    out.type = UPGRADE_REMOVED;
    out.count = CONTROLLER_USERS_MAX;
    enum status st;
    while ((st = upgrade_send(ends[0], &out)) == ST_OK) {
    }
    assert_int_equal(st, ST_FULL);
}

static void expect_refused(const void *bytes, size_t n, enum status st)
{
    assert_int_equal(send(ends[0], bytes, n, 0), n);
    assert_int_equal(upgrade_recv(ends[1], &in), st);
}

static void what_is_not_ours_is_refused(void **state)
{
    (void)state;
    uint8_t raw[64 + 40000] = {0};
    out.type = UPGRADE_NODES;
    out.count = 2;
    assert_int_equal(upgrade_send(ends[0], &out), ST_OK);
    ssize_t n = recv(ends[1], raw, sizeof(raw), 0);
    assert_int_equal(n, 16 + 8);
    expect_refused(raw, (size_t)n - 1, ST_E_PROTO);
    expect_refused(raw, 15, ST_E_PROTO);
    expect_refused(raw, sizeof(raw), ST_E_PROTO);
    raw[8] = 3; /* count */
    expect_refused(raw, (size_t)n, ST_E_PROTO);
    memset(raw + 8, 0xff, 4);
    expect_refused(raw, (size_t)n, ST_E_PROTO);
    memset(raw + 8, 0, 4);
    raw[6] = UPGRADE_OUT + 1; /* type */
    expect_refused(raw, 16, ST_E_PROTO);
    raw[6] = 0;
    expect_refused(raw, 16, ST_E_PROTO);
    raw[6] = UPGRADE_SOCKETS; /* with fewer descriptors than it says */
    raw[8] = 1;
    expect_refused(raw, 16 + 24, ST_E_PROTO);
    raw[4]++; /* version */
    expect_refused(raw, 16 + 24, ST_E_UNSUPPORTED);
    raw[0]++;
    expect_refused(raw, 16 + 24, ST_E_PROTO);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(sockets_come_with_their_names),        CASE(memory_comes_with_its_message),
        CASE(every_other_message_comes_as_it_went), CASE(nothing_is_there_or_ever_will_be),
        CASE(who_does_not_read_is_not_waited_for),  CASE(what_is_not_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
