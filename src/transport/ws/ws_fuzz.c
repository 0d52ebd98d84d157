/* The whole layer in a chain: a stream of input bytes gives the same plain bytes, the same end and
 * no leak however it is cut. The first byte seeds the cuts; bit 7 puts an upgrade request in front.
 * Plain bytes are echoed down. */
#include <stdlib.h>
#include <string.h>

#include "stream/chain.h"
#include "transport/ws/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN_MAX 65536u
#define TURN_US   150u /* 20,000 turns reach a heartbeat, but not the deadline of the head */

static const char request[] =
    "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static const struct ws_conf conf = {
    .path = {.text = "/ws", .decoded = "/ws", .text_len = 3, .decoded_len = 3},
    .heartbeat_s = 1,
};

struct outcome {
    uint8_t plain[PLAIN_MAX];
    size_t len;
    enum status st;
    bool ended;
};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void drain(struct chain *c, struct pool *p, struct outcome *o)
{
    struct bufq *up = chain_up(c);
    while (!bufq_empty(up)) {
        struct span *s = bufq_pop(up);
        check(o->len + s->len <= PLAIN_MAX);
        memcpy(o->plain + o->len, span_data(s), s->len);
        o->len += s->len;
        if (o->len % 2 != 0)
            bufq_push(chain_down(c), s);
        else
            span_free(p, s);
    }
    bufq_clear(chain_bottom_out(c), p);
    o->ended = up->eof;
}

static void run(const uint8_t *data, size_t size, unsigned seed, struct outcome *o)
{
    const struct chain_stage stage = {&ws_server_ops, &conf};
    struct pool *p = pool_new(0);
    struct conn_info info = {0};
    const struct env env = {.pool = p, .info = &info};
    struct events ev;
    struct chain c;
    check(chain_init(&c, &env, &stage, 1) == ST_OK);
    *o = (struct outcome){.st = ST_OK};
    uint32_t x = seed * 2654435761u + 1;
    for (size_t at = 0, turn = 0; at < size && o->st == ST_OK; turn++) {
        x = x * 1664525u + 1013904223u;
        size_t n = seed == 0 ? size - at : 1 + (x >> 16) % ((x >> 8) % 4 == 0 ? 300 : 9);
        if (n > size - at)
            n = size - at;
        check(bufq_put(chain_bottom_in(&c), data + at, n, p) == ST_OK);
        at += n;
        if (at == size)
            chain_bottom_in(&c)->eof = true;
        if (seed != 0 && (x >> 24) % 2 == 0)
            chain_up(&c)->cap = chain_bottom_out(&c)->cap = 1 + (x >> 12) % 50;
        size_t before;
        do {
            uint64_t wake = UINT64_MAX;
            before = o->len + chain_queued(&c, CHAIN_RX) * 3;
            o->st = chain_run(&c, &ev, turn * TURN_US, 0, &wake);
            drain(&c, p, o);
        } while (o->st == ST_OK && before != o->len + chain_queued(&c, CHAIN_RX) * 3);
    }
    chain_fini(&c);
    check(pool_used(p) == 0);
    pool_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t in[PLAIN_MAX];
    static struct outcome whole, cut;
    size_t at = 0;
    if (size < 1 || size > 20000)
        return 0;
    if ((data[0] & 0x80) != 0) {
        at = sizeof(request) - 1;
        memcpy(in, request, at);
    }
    memcpy(in + at, data + 1, size - 1);
    run(in, at + size - 1, 0, &whole);
    run(in, at + size - 1, 1 + (data[0] & 0x7f), &cut);
    check(whole.st == cut.st && whole.ended == cut.ended && whole.len == cut.len &&
          memcmp(whole.plain, cut.plain, cut.len) == 0);
    return 0;
}
