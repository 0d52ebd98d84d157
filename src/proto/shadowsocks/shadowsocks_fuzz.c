/* A stream as the first byte says: raw bytes, or the plaintext of a real client's chunks, so that
 * what lies behind authentication is reached. No input breaks the layer. */
#include <stdlib.h>
#include <string.h>

#include "proto/shadowsocks/test_shadowsocks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_KIND = 7, FUZZ_RAW = 8, FUZZ_BYTES = 16, FUZZ_ANSWER = 32, FUZZ_EOF = 64 };

static void check(const struct events *ev, enum status st)
{
    if (st < 0 && ev->why.text == NULL)
        abort();
    if ((ev->mask & EV_REQUEST) && ev->request.user == NULL)
        abort();
    if ((ev->mask & EV_RESET) && st >= 0)
        abort();
}

static enum status step(struct chain *c, uint8_t how)
{
    struct events ev = {0};
    uint64_t wake = UINT64_MAX;
    enum status st;

    do {
        st = chain_run(c, &ev, 1000000, TEST_TIME, &wake);
        check(&ev, st);
    } while (st == ST_YIELD);
    if (st >= 0 && (how & FUZZ_ANSWER))
        bufq_move(chain_down(c), chain_up(c));
    bufq_clear(chain_up(c), c->env->pool);
    bufq_clear(chain_bottom_out(c), c->env->pool);
    return st;
}

/* What the client sends: @data as it is, or sealed in pieces whose lengths it chooses itself. */
static size_t make_wire(struct test_node *n, uint8_t how, const uint8_t *data, size_t size,
                        uint8_t *wire)
{
    struct test_client c;
    size_t len = 0;

    if (how & FUZZ_RAW) {
        memcpy(wire, data, size);
        return size;
    }
    test_client_init(&c, n, n->conf.identity || n->conf.method->family == SS_AEAD ? TEST_USER : 0,
                     1);
    for (unsigned i = 0; size > 0; i++) {
        size_t piece = data[0] % 64u;
        data++;
        size--;
        piece = piece < size ? piece : size;
        len += i == 0 ? test_client_begin(&c, data, piece, "payload", how & FUZZ_EOF ? 7 : 0, wire)
                      : test_client_chunk(&c, data, piece, wire + len);
        data += piece;
        size -= piece;
    }
    return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t wire[400000];
    struct chain c;

    if (size < 1 || size > 1024)
        return 0;
    uint8_t how = data[0];
    struct test_node *n = test_node_kept(how & FUZZ_KIND);
    size_t len = make_wire(n, how, data + 1, size - 1, wire);
    const struct chain_stage stage = {&ss_server_ops, &n->conf};
    if (chain_init(&c, &n->env, &stage, 1) != ST_OK)
        abort();
    enum status st = ST_OK;
    for (size_t at = 0, step_len; at < len && st >= 0; at += step_len) {
        step_len = how & FUZZ_BYTES ? 1 + (len - at) % 97 : len;
        step_len = step_len < len - at ? step_len : len - at;
        if (bufq_put(chain_bottom_in(&c), wire + at, step_len, n->pool) != ST_OK)
            abort();
        st = step(&c, how);
    }
    if (st >= 0 && (how & FUZZ_EOF)) {
        chain_bottom_in(&c)->eof = chain_down(&c)->eof = true;
        (void)step(&c, how);
    }
    chain_fini(&c);
    if (pool_used(n->pool) != 0)
        abort();
    return 0;
}
