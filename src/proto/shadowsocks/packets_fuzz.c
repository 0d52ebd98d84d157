/* Datagrams, raw or with the input as the plaintext of a real client's: what is opened is well
 * formed and its answer can be sealed. */
#include <stdlib.h>
#include <string.h>

#include "proto/shadowsocks/test_shadowsocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_KIND = 7, FUZZ_RAW = 8 };

static void answer(const struct packet_env *e, void *flow, struct span *s)
{
    uint32_t len = s->len;

    s->peer = (struct addr){.family = ADDR_IP6, .port = 53};
    s = ss_packet_ops.seal(e, flow, s);
    if (s == NULL || s->len < len)
        abort();
    span_free(e->pool, s);
}

static void one(struct test_node *n, const uint8_t *wire, size_t len)
{
    const struct packet_env e = {.conf = &n->conf,
                                 .pool = n->pool,
                                 .rng = &n->rng,
                                 .crypto = &n->cc,
                                 .users = n->index,
                                 .shared = &n->shared,
                                 .now_us = 1,
                                 .unix_s = TEST_TIME};
    size_t size = ss_packet_ops.flow_size(&n->conf);
    struct packet p = {.from = n->info.peer};
    void *flow = calloc(1, size + 1);
    struct span *s = span_new_for(n->pool, len);

    if (flow == NULL || s == NULL)
        abort();
    memcpy(span_data(s), wire, len);
    s->len = (uint32_t)len;
    enum status st = ss_packet_ops.identify(&e, s, &p);
    if (st == ST_OK && p.key.len > PACKET_KEY_MAX)
        abort();
    while (st == ST_OK && (st = ss_packet_ops.open(&e, flow, s, &p)) == ST_YIELD)
        st = ST_OK;
    if (st == ST_OK) {
        if (p.user == NULL || s->len > len)
            abort();
        answer(&e, flow, s);
    } else {
        span_free(n->pool, s);
    }
    ss_packet_ops.fini(flow, size);
    free(flow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t wire[4096];

    if (size < 2 || size > 2000)
        return 0;
    uint8_t how = data[0];
    struct test_node *n = test_node_kept(how & FUZZ_KIND);
    if (how & FUZZ_RAW) {
        one(n, data + 1, size - 1);
    } else {
        struct test_client c;
        size_t cut = data[1] < size - 2 ? data[1] : size - 2;
        test_client_init(&c, n, TEST_USER, 1);
        size_t len = test_client_packet(&c, 0, data + 2, cut, data + 2 + cut, size - 2 - cut, wire);
        one(n, wire, len);
    }
    if (pool_used(n->pool) != 0)
        abort();
    return 0;
}
