/* The whole server layer fed arbitrary bytes: from the first byte on, behind a real handshake,
 * or as changes to what a real client says. Input: mode and engine, cut, then
 * bytes. */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "crypto/ctx.h"
#include "crypto/rng.h"
#include "stream/test_driver.h"
#include "tls/test_client.h"
#include "transport/tls/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { FROM_START, AFTER_HANDSHAKE, CHANGED, MODES };

/* Shared by all inputs: making a key and a context costs more than a handshake. */
static struct {
    struct arena *arena; /* holds conf */
    const void *conf[2]; /* [enum tls_engine] */
    struct crypto_ctx crypto;
    struct rng rng;
} shared;

static void prepare(void)
{
    static const char *const alpn[] = {"h2", "http/1.1"};
    struct conf_context ctx = {
        .self_signed = true, .cert_domain = "a.test", .alpn = alpn, .alpn_count = 2};
    struct conf_error err;

    if (shared.arena != NULL)
        return;
    test_driver_must(crypto_ctx_init(&shared.crypto) == ST_OK && rng_init(&shared.rng) == ST_OK);
    shared.arena = arena_new();
    for (int i = 0; i < 2; i++) {
        ctx.tls_engine = (enum tls_engine)i;
        test_driver_must(
            transport_tls.parse_conf(shared.arena, NULL, &ctx, &shared.conf[i], &err) == ST_OK);
    }
}

/* The relay reads all, and says hello once. */
static void after(struct test_driver *f, const struct events *ev)
{
    bufq_clear(chain_up(&f->chain), f->pool);
    if (ev->mask & EV_READY)
        test_driver_must(bufq_put(chain_down(&f->chain), "hello", 5, f->pool) == ST_OK);
}

/* A real client's half of the conversation; in mode CHANGED each pair of input bytes turns over
 * bits of the next flight. */
static void talk(struct test_driver *f, enum mode mode, const uint8_t *data, size_t size)
{
    static uint8_t out[65536], in[65536];
    const struct test_client_options opt = {
        .version = size % 2 == 0 ? 0x0304 : 0x0303, .sni = "a.test", .alpn = "h2"};
    struct test_client *c = test_client_new(&opt);
    size_t n_in, n_out;

    test_driver_must(c != NULL);
    do {
        struct bufq *q = chain_bottom_out(&f->chain);
        n_out = bufq_peek(q, out, sizeof(out));
        bufq_drop(q, n_out, f->pool);
        n_in = test_client_talk(c, out, n_out, in, sizeof(in));
        for (; mode == CHANGED && size >= 2 && n_in > 0; data += 2, size -= 2) {
            in[(data[0] * 13u) % n_in] ^= data[1];
            if (data[1] % 4 == 3)
                break;
        }
        test_driver_feed(f, in, n_in);
    } while ((n_in > 0 || n_out > 0) && f->st >= 0);
    test_client_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct test_driver f;

    if (size < 2)
        return 0;
    prepare();
    enum mode mode = (enum mode)(data[0] % MODES);
    test_driver_open(&f, &(struct env){.rng = &shared.rng, .crypto = &shared.crypto},
                     &tls_server_ops, shared.conf[data[0] / MODES % 2]);
    f.after = after;
    f.cut = data[1] < 200 ? data[1] + 1u : (data[1] - 199u) * 291u;
    if (mode != FROM_START)
        talk(&f, mode, data + 2, size - 2);
    if (mode != CHANGED)
        test_driver_feed(&f, data + 2, size - 2);
    test_driver_end(&f);
    test_driver_close(&f);
    return 0;
}
