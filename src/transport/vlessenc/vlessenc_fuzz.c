/* The whole layer fed arbitrary bytes: from the first byte on, or as changes to what a real client
 * says, in both round-trip counts; the decryption string as well. Input: mode, cut, then bytes.
 * Laws: an error has a reason, a client that says what it should gets through, all memory comes
 * back. */
#include <stdint.h>
#include <string.h>

#include "stream/test_driver.h"
#include "transport/vlessenc/test_vlessenc.h"
#include "transport/vlessenc/vlessenc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { CONF, FROM_START, CHANGED, BEHIND, MODES };

/* Shared by all inputs: one server a wire mode. */
static struct {
    bool ready;
    struct vlessenc_conf conf[3];
    struct crypto_ctx crypto;
    struct rng rng;
    uint8_t pub[32], ticket[VLESSENC_TICKET_LEN], pfs[VLESSENC_PFS_LEN];
} shared;

static void prepare(void)
{
    static const char *const text[3] = {
        "mlkem768x25519plus.native.600s.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "mlkem768x25519plus.xorpub.600s.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "mlkem768x25519plus.random.600s.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"};
    struct conf_error err;
    uint8_t priv[32];

    if (shared.ready)
        return;
    shared.ready = true;
    test_driver_must(crypto_ctx_init(&shared.crypto) == ST_OK && rng_init(&shared.rng) == ST_OK);
    for (uint8_t i = 0; i < 32; i++)
        priv[i] = i;
    test_driver_must(x25519_public(priv, shared.pub) == ST_OK);
    for (int i = 0; i < 3; i++)
        test_driver_must(vlessenc_conf_read(&shared.conf[i], text[i], &err) == ST_OK);
}

/* The relay reads all, and says hello once. */
static void after(struct test_driver *f, const struct events *ev)
{
    test_driver_must(f->wake_us > f->now_us);
    bufq_clear(chain_up(&f->chain), f->pool);
    if (ev->mask & EV_READY)
        test_driver_must(bufq_put(chain_down(&f->chain), "hello", 5, f->pool) == ST_OK);
}

/* A client's half of the conversation. CHANGED: each pair of input bytes turns over bits of what it
 * says. BEHIND: it says what it has to, then the input. */
static void talk(struct test_driver *f, enum mode mode, int wire_mode, bool resume,
                 const uint8_t *data, size_t size)
{
    static uint8_t out[100000], in[100000];
    struct test_vlessenc_options o = {.mode = (enum vlessenc_mode)wire_mode,
                                      .alg = size % 2 ? AEAD_AES_256_GCM : AEAD_CHACHA20_POLY1305,
                                      .pub = {shared.pub},
                                      .pub_len = {32},
                                      .keys = 1,
                                      .resume = resume,
                                      .send = (const uint8_t *)"early",
                                      .send_len = 5};
    bool changed = false;
    size_t n_in, n_out;

    if (resume) {
        rng_bytes(&shared.rng, o.ticket, sizeof(o.ticket));
        rng_bytes(&shared.rng, o.pfs, sizeof(o.pfs));
        vlessenc_tickets_put(shared.conf[wire_mode].tickets, o.ticket, o.pfs, 1);
    }
    struct test_vlessenc *c = test_vlessenc_new(&o, &shared.crypto, &shared.rng);
    test_driver_must(c != NULL);
    do {
        struct bufq *q = chain_bottom_out(&f->chain);
        n_out = bufq_peek(q, out, sizeof(out));
        bufq_drop(q, n_out, f->pool);
        n_in = test_vlessenc_talk(c, out, n_out, in, sizeof(in));
        for (; mode == CHANGED && size >= 3 && n_in > 0; data += 3, size -= 3) {
            in[(data[0] * 256u + data[1]) % n_in] ^= data[2];
            changed = changed || data[2] != 0;
            if (data[2] % 4 == 3)
                break;
        }
        test_driver_feed(f, in, n_in);
    } while ((n_in > 0 || n_out > 0) && f->st >= 0);
    test_driver_must(changed || (!c->failed && (f->seen & EV_READY)));
    if (mode == BEHIND)
        test_driver_feed(f, data, size);
    test_vlessenc_free(c);
}

static void read_conf(const uint8_t *data, size_t size)
{
    static struct vlessenc_conf c;
    struct conf_error err = {""};
    char text[512];

    size = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    memset(&c, 0, sizeof(c));
    enum status st = vlessenc_conf_read(&c, text, &err);
    test_driver_must((st == ST_OK) == (err.text[0] == '\0'));
    test_driver_must(st != ST_OK ||
                     (c.key_count > 0 && c.padding.len[0].min >= VLESSENC_PADDING_MIN));
    vlessenc_conf_wipe(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct test_driver f;

    if (size < 2)
        return 0;
    prepare();
    enum mode mode = (enum mode)(data[0] % MODES);
    int wire_mode = data[0] / MODES % 3;
    if (mode == CONF) {
        read_conf(data + 1, size - 1);
        return 0;
    }
    test_driver_open(&f, &(struct env){.rng = &shared.rng, .crypto = &shared.crypto},
                     &vlessenc_server_ops, &shared.conf[wire_mode]);
    f.after = after;
    f.now_us = 1000000;
    f.cut = data[1] < 200 ? data[1] * 7u + 1u : (data[1] - 199u) * 291u;
    if (mode == FROM_START)
        test_driver_feed(&f, data + 2, size - 2);
    else
        talk(&f, mode, wire_mode, data[0] & 0x80, data + 2, size - 2);
    test_driver_close(&f);
    return 0;
}
