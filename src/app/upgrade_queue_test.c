#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "app/upgrade_queue.h"

static void they_come_in_the_order_they_went(void **state)
{
    struct upgrade_queue q = {.each = sizeof(uint32_t), .most = 10};
    uint32_t in[6], out[10], told = 0, next = 0;

    (void)state;
    assert_int_equal(upgrade_queue_peek(&q, out, 10), 0);
    assert_true(upgrade_queue_add(&q, NULL, 0));
    for (unsigned round = 0; round < 1000; round++) {
        size_t n = round % 7;
        for (size_t i = 0; i < n; i++)
            in[i] = next + (uint32_t)i;
        size_t before = q.count;
        assert_int_equal(upgrade_queue_add(&q, in, n), before + n <= 10);
        assert_int_equal(q.count, before + (before + n <= 10 ? n : 0)); /* all or none */
        next += before + n <= 10 ? (uint32_t)n : 0;
        size_t sent = upgrade_queue_peek(&q, out, 1 + round % 4);
        for (size_t i = 0; i < sent; i++)
            assert_int_equal(out[i], told + i);
        told += (uint32_t)sent;
        upgrade_queue_drop(&q, sent);
    }
    assert_true(told > 1000);
    upgrade_queue_fini(&q);
    assert_int_equal(q.count, 0);
    assert_true(upgrade_queue_add(&q, in, 6));
    assert_false(upgrade_queue_add(&q, in, 5));
    assert_false(upgrade_queue_add(&q, in, 11));
    upgrade_queue_fini(&q);
}

static void they_are_sent_in_pieces(void **state)
{
    struct upgrade_queue q = {
        .type = UPGRADE_GRANT, .each = sizeof(struct controller_streams), .most = 1000};
    static struct controller_streams list[1000];
    static struct upgrade_message m;
    int ends[2];
    size_t got = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(upgrade_queue_send(&q, ends[0]), ST_MORE);
    for (unsigned i = 0; i < 1000; i++)
        list[i] = (struct controller_streams){.user = {.uid = i}, .count = {i, i + 1}};
    assert_true(upgrade_queue_add(&q, list, 1000));
    while (q.count > 0) {
        assert_int_equal(upgrade_queue_send(&q, ends[0]), ST_OK);
        assert_int_equal(upgrade_recv(ends[1], &m), ST_OK);
        assert_int_equal(m.type, UPGRADE_GRANT);
        for (size_t i = 0; i < m.count; i++, got++) {
            assert_true(m.streams[i].user.uid == got);
            assert_int_equal(m.streams[i].count[1], got + 1);
        }
    }
    assert_int_equal(got, 1000);
    /* What could not be sent stays. */
    assert_true(upgrade_queue_add(&q, list, 3));
    close(ends[1]);
    assert_int_equal(upgrade_queue_send(&q, ends[0]), ST_E_CLOSED);
    assert_int_equal(q.count, 3);
    upgrade_queue_fini(&q);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_come_in_the_order_they_went),
        cmocka_unit_test(they_are_sent_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
