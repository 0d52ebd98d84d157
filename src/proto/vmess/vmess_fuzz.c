/* The layer in front of a relay that sends back what it gets. The first bytes say what the rest is:
 * bytes of a stranger, a header in a sound envelope, or a body behind a sound header. No input
 * breaks it, what it reports is well formed, nothing is left over. */
#include <stdlib.h>
#include <string.h>

#include "proto/vmess/lookup.h"
#include "proto/vmess/packetaddr.h"
#include "proto/vmess/test_vmess.h"
#include "proto/vmess/vmess.h"
#include "stream/test_driver.h"

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
};

static void after(struct test_driver *f, const struct events *ev)
{
    test_driver_must(!(ev->mask & EV_REQUEST) ||
                     (ev->request.user != NULL && ev->request.network >= NETWORK_TCP &&
                      ev->request.network <= NETWORK_MUX));
    for (const struct span *s = chain_up(&f->chain)->head; s != NULL; s = s->next)
        test_driver_must(s->len <= BLK_DATA &&
                         (s->peer.family == ADDR_NONE || s->peer.family == ADDR_IP4 ||
                          s->peer.family == ADDR_IP6));
    test_driver_echo(f);
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

static void run(struct world *w, uint8_t how, const uint8_t *data, size_t size)
{
    uint8_t first[VMESS_REQUEST_MAX + 64];
    const struct env env = {
        .rng = &w->client.rng, .crypto = &w->client.cc, .users = w->users, .shared = w->shared};
    struct test_driver f;

    test_driver_open(&f, &env, &vmess_server_ops, &w->conf);
    f.after = after;
    f.unix_s = UNIX_S;
    f.cut = how & FUZZ_BYTES ? 3 : 0;
    if (how & FUZZ_TIGHT)
        chain_up(&f.chain)->cap = chain_bottom_out(&f.chain)->cap = 1;
    size_t n = begin(w, how, &data, &size, first);
    /* Read together with what follows. */
    test_driver_must(bufq_put(chain_bottom_in(&f.chain), first, n, f.pool) == ST_OK);
    test_driver_feed(&f, data, size);
    if (how & FUZZ_EOF)
        test_driver_end(&f);
    test_driver_close(&f);
}

/* What does not change from input to input: made once. */
static void make(struct world *w)
{
    struct user_rt *const list[] = {&w->user};
    const struct user_index_build build = {.users = list, .count = 1};

    w->user = (struct user_rt){.uid = 1, .uuid = {1, 2, 3}};
    vmess_kdf_init(&w->conf.kdf);
    w->shared = aligned_alloc(64, (sizeof(*w->shared) + 63) / 64 * 64);
    test_driver_must(w->shared != NULL && vmess_users_ops.build(&build, &w->users) == ST_OK);
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
    test_driver_must(vmess_shared_init(w.shared, 1) == ST_OK);
    run(&w, how, data + 3, size - 3);
    vmess_shared_fini(w.shared);
    test_vmess_close(&w.client);
    return 0;
}
