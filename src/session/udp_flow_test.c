#include "session/udp_flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#define COUNT 3000u

static struct udp_flows table;
static struct udp_flow *flows[COUNT];

static struct udp_flow *make(uint32_t n, uint32_t source, bool dns)
{
    struct udp_flow *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    memcpy(f->key.bytes, &n, sizeof(n));
    f->key.len = sizeof(n);
    f->client = (struct addr){.family = ADDR_IP4, .port = (uint16_t)n};
    memcpy(f->client.ip, &source, sizeof(source));
    f->dns = dns;
    list_init(&f->touched);
    return f;
}

static int open_table(void **state)
{
    (void)state;
    udp_flows_init(&table, 12345);
    memset(flows, 0, sizeof(flows));
    return 0;
}

static int close_table(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        if (flows[i] != NULL)
            udp_flows_remove(&table, flows[i]);
        free(flows[i]);
    }
    assert_int_equal(table.count, 0);
    assert_true(list_empty(&table.idle[0]) && list_empty(&table.idle[1]));
    udp_flows_fini(&table);
    return 0;
}

static void add(uint32_t i, uint32_t source, bool dns, uint64_t now_ms)
{
    flows[i] = make(i, source, dns);
    assert_int_equal(udp_flows_add(&table, flows[i], now_ms), ST_OK);
}

static void finds_by_key_while_it_grows(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        add(i, i / 3, false, i);
        assert_ptr_equal(udp_flows_find(&table, &flows[i]->key), flows[i]);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_ptr_equal(udp_flows_find(&table, &flows[i]->key), flows[i]);
        if (i % 2 == 0) {
            const struct packet_key key = flows[i]->key;
            udp_flows_remove(&table, flows[i]);
            udp_flows_remove(&table, flows[i]); /* harmless */
            assert_null(udp_flows_find(&table, &key));
        }
    }
    assert_int_equal(table.count, COUNT / 2);
}

static void the_least_recently_used_expires_first(void **state)
{
    const uint32_t idle_ms[2] = {1000, 100};

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        add(i, 1, i % 2 == 1, i);
    assert_null(udp_flows_expired(&table, idle_ms, 100));
    assert_ptr_equal(udp_flows_expired(&table, idle_ms, 101), flows[1]);
    udp_flows_use(&table, flows[1], 101);
    assert_null(udp_flows_expired(&table, idle_ms, 102));
    assert_ptr_equal(udp_flows_expired(&table, idle_ms, 103), flows[3]);
    for (uint32_t i = 1; i < 10; i += 2)
        udp_flows_use(&table, flows[i], 999);
    assert_ptr_equal(udp_flows_expired(&table, idle_ms, 1001), flows[0]);
    udp_flows_use(&table, flows[0], 1001);
    assert_null(udp_flows_expired(&table, idle_ms, 1001));
}

static void one_source_has_so_many_and_its_oldest_goes(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < UDP_FLOWS_SOURCE; i++) {
        add(i, 7, false, i);
        add(UDP_FLOWS_SOURCE + i, i + 1000, false, i);
    }
    assert_ptr_equal(udp_flows_excess(&table, &flows[5]->client), flows[0]);
    udp_flows_use(&table, flows[0], 5000);
    assert_ptr_equal(udp_flows_excess(&table, &flows[5]->client), flows[1]);
    assert_null(udp_flows_excess(&table, &flows[UDP_FLOWS_SOURCE]->client));
    udp_flows_remove(&table, flows[1]);
    assert_null(udp_flows_excess(&table, &flows[5]->client));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_by_key_while_it_grows, open_table, close_table),
        cmocka_unit_test_setup_teardown(the_least_recently_used_expires_first, open_table,
                                        close_table),
        cmocka_unit_test_setup_teardown(one_source_has_so_many_and_its_oldest_goes, open_table,
                                        close_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
