/* The layer in front of a relay that sends back what it gets. The first bytes say what the rest is:
 * bytes of a stranger, a header in a sound envelope, or a body behind a sound header. No input
 * breaks it, what it reports is well formed, nothing is left over. */
#include <stdlib.h>
#include <string.h>

#include "proto/vmess/lookup.h"
#include "proto/vmess/packetaddr.h"
#include "proto/vmess/test_vmess.h"
#include "proto/vmess/vmess.h"
#include "stream/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FUZZ_HEADER = 1,
    FUZZ_BODY = 2,
    FUZZ_BYTES = 4,
    FUZZ_EOF = 8,
    FUZZ_TIGHT = 16,
    FUZZ_BARE = 32
};

#define UNIX_S 1763726047

struct world {
    struct test_vmess client;
    struct user_rt user;
    struct user_index *users;
    struct vmess_shared *shared;
    struct vmess_conf conf;
    struct conn_info info;
};

static void check(const struct chain *c, const struct events *ev, enum status st)
{
    if (st < 0 && ev->why.text == NULL)
        abort();
    if ((ev->mask & EV_REQUEST) && (ev->request.user == NULL || ev->request.network < NETWORK_TCP ||
                                    ev->request.network > NETWORK_MUX))
        abort();
    for (const struct span *s = chain_up(c)->head; s != NULL; s = s->next)
        if (s->len > BLK_DATA || (s->peer.family != ADDR_NONE && s->peer.family != ADDR_IP4 &&
                                  s->peer.family != ADDR_IP6))
            abort();
}

static enum status step(struct chain *c, uint64_t *now)
{
    struct events ev = {0};
    uint64_t wake = UINT64_MAX;
    enum status st = chain_run(c, &ev, ++*now, UNIX_S, &wake);

    check(c, &ev, st);
    if (st >= 0)
        bufq_move(chain_down(c), chain_up(c));
    bufq_clear(chain_bottom_out(c), c->env->pool);
    return st;
}

/* Writes what comes before the rest of the input; returns its length. *@data moves behind what was
 * used. */
static size_t begin(struct world *w, uint8_t how, const uint8_t **data, size_t *size, uint8_t *out)
{
    if (how & FUZZ_HEADER) {
        size_t n = *size < VMESS_PLAIN_MAX + 8 ? *size : VMESS_PLAIN_MAX + 8;
        size_t len = test_vmess_seal(&w->client, w->user.uuid, UNIX_S, *data, n, out);
        *data += n;
        *size -= n;
        return len;
    }
    return how & FUZZ_BODY ? test_vmess_hello(&w->client, w->user.uuid, UNIX_S, out) : 0;
}

static void feed(struct chain *c, struct pool *pool, uint8_t how, const uint8_t *data, size_t size)
{
    enum status st = ST_OK;
    uint64_t now = 1;

    while (size > 0 && st >= 0) {
        size_t n = how & FUZZ_BYTES ? 1 + size % 3 : size;
        n = n < size ? n : size;
        if (bufq_put(chain_bottom_in(c), data, n, pool) != ST_OK)
            abort();
        data += n;
        size -= n;
        st = step(c, &now);
    }
    if (st >= 0 && (how & FUZZ_EOF)) {
        chain_bottom_in(c)->eof = chain_down(c)->eof = true;
        st = step(c, &now);
    }
}

static void run(struct world *w, uint8_t how, const uint8_t *data, size_t size)
{
    uint8_t first[VMESS_REQUEST_MAX + 64];
    struct pool *pool = pool_new(0);
    const struct env env = {.pool = pool,
                            .rng = &w->client.rng,
                            .crypto = &w->client.cc,
                            .users = w->users,
                            .shared = w->shared,
                            .info = &w->info};
    const struct chain_stage stage = {&vmess_server_ops, &w->conf};
    struct chain c;

    if (pool == NULL || chain_init(&c, &env, &stage, 1) != ST_OK)
        abort();
    if (how & FUZZ_TIGHT)
        chain_up(&c)->cap = chain_bottom_out(&c)->cap = 1;
    size_t n = begin(w, how, &data, &size, first);
    if (n > 0 && bufq_put(chain_bottom_in(&c), first, n, pool) != ST_OK)
        abort();
    feed(&c, pool, how, data, size);
    chain_fini(&c);
    if (pool_used(pool) != 0)
        abort();
    pool_free(pool);
}

/* What does not change from input to input: made once. */
static void make(struct world *w)
{
    struct user_rt *const list[] = {&w->user};
    const struct user_index_build build = {.users = list, .count = 1};

    w->user = (struct user_rt){.uid = 1, .uuid = {1, 2, 3}};
    vmess_kdf_init(&w->conf.kdf);
    w->shared = aligned_alloc(64, (sizeof(*w->shared) + 63) / 64 * 64);
    if (w->shared == NULL || vmess_users_ops.build(&build, &w->users) != ST_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t commands[] = {VMESS_TCP, VMESS_UDP, VMESS_MUX, VMESS_UDP};
    static struct world w;

    if (size < 3)
        return 0;
    if (w.shared == NULL)
        make(&w);
    uint8_t how = data[0], options = data[1], command = commands[data[2] % 4];
    uint8_t security = (uint8_t)(VMESS_AES_128_GCM + data[2] / 4 % 3);
    w.conf.drain = how & FUZZ_BARE;
    test_vmess_open(&w.client, security, options, command,
                    command == VMESS_MUX ? NULL
                    : data[2] % 4 == 3   ? PACKETADDR_NAME
                                         : "example.com");
    memset(w.shared, 0, sizeof(*w.shared));
    if (vmess_shared_init(w.shared, 1) != ST_OK)
        abort();
    run(&w, how, data + 3, size - 3);
    vmess_shared_fini(w.shared);
    test_vmess_close(&w.client);
    return 0;
}
