/* The REALITY layer between a client and a target that both say anything, in any order. Input:
 * mode, then commands: who speaks (or ends, or fails), how much. Modes 1 and 2 begin with a true
 * hello, 2 also with a true answer of the target. Laws: nothing is sent before the target answered;
 * of an adopted connection nothing is lost but the answer that ours replaced. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/rng.h"
#include "stream/aux.h"
#include "stream/chain.h"
#include "tls/server_hello.h"
#include "tls/test_target.h"
#include "transport/reality/reality.h"
#include "transport/reality/reality_conf.h"
#include "transport/reality/test_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1763726047u

static struct {
    bool ready;
    struct crypto_ctx crypto;
    struct rng rng;
    struct reality_conf conf;
    uint8_t pub[32];
} shared;
static const struct reality_name names[] = {{"a.test", 6}};
static const uint8_t short_ids[][8] = {{0}};

struct fuzz {
    struct pool *pool;
    struct env env;
    struct aux aux;
    struct conn_info info;
    struct chain chain;
    struct test_peer peer;
    enum status st;
    bool adopted, ready;
    size_t sent;                   /* to the client */
    size_t said, heard, forwarded; /* by the client, by the target; to the target */
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void prepare(void)
{
    if (shared.ready)
        return;
    shared.ready = true;
    must(crypto_ctx_init(&shared.crypto) == ST_OK && rng_init(&shared.rng) == ST_OK);
    shared.conf.names = names;
    shared.conf.name_count = 1;
    shared.conf.short_ids = short_ids;
    shared.conf.short_id_count = 1;
    const uint8_t private_key[32] = {3}, seed[32] = {4};
    must(flight_identity_init(&shared.conf.identity, seed) == ST_OK);
    must(x25519_key_new(private_key, &shared.conf.key) == ST_OK);
    must(x25519_public(private_key, shared.pub) == ST_OK);
}

static void check_adopted(struct fuzz *f)
{
    must(!f->ready);
    must(f->forwarded + f->aux.out.bytes + chain_bottom_in(&f->chain)->bytes == f->said);
    must(f->aux.in.bytes + f->sent == f->heard);
    chain_divert(&f->chain);
}

static void run(struct fuzz *f)
{
    struct events ev;
    uint64_t wake = UINT64_MAX;

    if (f->st < 0 || f->adopted)
        return;
    f->st = chain_run(&f->chain, &ev, 1, NOW, &wake);
    must(f->st >= 0 || ev.why.text != NULL);
    f->adopted = (ev.mask & EV_ADOPT) != 0;
    f->ready |= (ev.mask & EV_READY) != 0;
    f->sent += chain_bottom_out(&f->chain)->bytes;
    if (f->adopted) {
        check_adopted(f);
        return;
    }
    must(!f->sent || f->heard > 0);
    bufq_clear(chain_bottom_out(&f->chain), f->pool);
    bufq_clear(chain_up(&f->chain), f->pool);
}

static void client_says(struct fuzz *f, const uint8_t *p, size_t n)
{
    struct bufq *in = chain_bottom_in(&f->chain);

    if (f->adopted || f->st < 0 || in->eof || bufq_room(in) == 0)
        return;
    must(bufq_put(in, p, n, f->pool) == ST_OK);
    f->said += n;
    run(f);
}

static void target_says(struct fuzz *f, const uint8_t *p, size_t n)
{
    if (f->adopted || f->st < 0 || f->aux.in.eof || bufq_room(&f->aux.in) == 0)
        return;
    must(bufq_put(&f->aux.in, p, n, f->pool) == ST_OK);
    f->heard += n;
    run(f);
}

static void begin(struct fuzz *f, unsigned mode)
{
    static const struct test_target target = {
        0x1301, TLS_GROUP_X25519, {0, 0, 41, 900, 101, 58, 0}};
    const struct test_peer_options o = {
        .server_public = shared.pub, .sni = "a.test", .unix_s = NOW, .hybrid = (mode & 4) != 0};
    static uint8_t buf[65536];

    must(test_peer_init(&f->peer, &o, &shared.crypto, f->pool));
    run(f);
    if (mode % 4 == 0)
        return;
    client_says(f, buf, test_peer_hello(&f->peer, buf));
    must(!f->adopted);
    if (mode % 4 != 2)
        return;
    target_says(f, buf,
                test_target_answer(&target, f->peer.hello, f->peer.hello_len, buf, sizeof(buf)));
    must(f->sent);
}

static void obey(struct fuzz *f, const uint8_t *data, size_t size)
{
    while (size >= 2) {
        unsigned what = data[0] % 16;
        size_t n = data[0] >= 128 ? data[1] * 8u : data[1];
        data += 2;
        size -= 2;
        if (n > size)
            n = size;
        if (what < 7)
            client_says(f, data, n);
        else if (what < 13)
            target_says(f, data, n);
        else if (what == 13)
            chain_bottom_in(&f->chain)->eof = true;
        else if (what == 14)
            f->aux.in.eof = true;
        else
            f->aux.failed = true;
        if (what < 13) {
            data += n;
            size -= n;
        }
        if (n % 2 == 0) {
            f->forwarded += f->aux.out.bytes;
            bufq_clear(&f->aux.out, f->pool);
        }
        run(f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct chain_stage stage = {&reality_server_ops, &shared.conf};
    struct fuzz f = {.st = ST_OK};

    if (size < 1)
        return 0;
    prepare();
    f.pool = pool_new(0);
    aux_init(&f.aux);
    f.aux.open = true;
    f.env = (struct env){.pool = f.pool,
                         .rng = &shared.rng,
                         .crypto = &shared.crypto,
                         .info = &f.info,
                         .aux = &f.aux};
    must(chain_init(&f.chain, &f.env, &stage, 1) == ST_OK);
    begin(&f, data[0]);
    obey(&f, data + 1, size - 1);
    chain_fini(&f.chain);
    aux_clear(&f.aux, f.pool);
    conn_info_clear(f.pool, &f.info);
    test_peer_fini(&f.peer);
    must(pool_used(f.pool) == 0);
    pool_free(f.pool);
    return 0;
}
