/* A stream as the first byte says: raw bytes, or the plaintext of a real client's chunks, so that
 * what lies behind authentication is reached. No input breaks the layer. */
#include <string.h>

#include "proto/shadowsocks/test_shadowsocks.h"
#include "stream/test_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_KIND = 7, FUZZ_RAW = 8, FUZZ_BYTES = 16, FUZZ_ANSWER = 32, FUZZ_EOF = 64 };

static void after(struct test_driver *f, const struct events *ev)
{
    const uint8_t *how = f->arg;

    test_driver_must(!(ev->mask & EV_REQUEST) || ev->request.user != NULL);
    test_driver_must(!(ev->mask & EV_RESET) || f->st < 0);
    if (!(*how & FUZZ_ANSWER))
        bufq_clear(chain_up(&f->chain), f->pool);
    test_driver_echo(f);
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
    struct test_driver f;

    if (size < 1 || size > 1024)
        return 0;
    uint8_t how = data[0];
    struct test_node *n = test_node_kept(how & FUZZ_KIND);
    size_t len = make_wire(n, how, data + 1, size - 1, wire);
    test_driver_open(&f, &n->env, &ss_server_ops, &n->conf);
    f.info = n->info;
    f.after = after;
    f.arg = &how;
    f.unix_s = TEST_TIME;
    f.cut = how & FUZZ_BYTES ? 97 : 0;
    test_driver_feed(&f, wire, len);
    if (how & FUZZ_EOF)
        test_driver_end(&f);
    test_driver_close(&f);
    return 0;
}
