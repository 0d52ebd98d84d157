/* The layer in front of a relay that reads, answers and ends as the first byte says: no input
 * breaks it, what it reports is well formed. */
#include <stdlib.h>
#include <string.h>

#include "proto/trojan/users.h"
#include "proto/trojan/trojan.h"
#include "stream/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_FALLBACK = 1, FUZZ_BYTES = 2, FUZZ_EOF = 4, FUZZ_TIGHT = 8 };

static void check(const struct chain *c, const struct events *ev, enum status st, uint8_t how)
{
    if (st < 0 && ev->why.text == NULL)
        abort();
    if ((ev->mask & EV_DIVERT) && (!(how & FUZZ_FALLBACK) || (ev->mask & EV_REQUEST)))
        abort();
    if ((ev->mask & EV_REQUEST) && ev->request.user == NULL)
        abort();
    for (const struct span *s = chain_up(c)->head; s != NULL; s = s->next)
        if (s->len > BLK_DATA || (s->peer.family == ADDR_NAME && span_headroom(s) < 2))
            abort();
}

static enum status step(struct chain *c, uint8_t how)
{
    struct events ev = {0};
    uint64_t wake = UINT64_MAX;
    enum status st = chain_run(c, &ev, 1, 1, &wake);

    check(c, &ev, st, how);
    if (ev.mask & EV_DIVERT)
        return ST_E_CLOSED;
    /* The relay sends back what it gets, from where it went to or from somewhere. */
    for (struct span *s = chain_up(c)->head; s != NULL; s = s->next)
        if (s->peer.family == ADDR_NAME)
            s->peer = (struct addr){.family = ADDR_IP6, .port = 53};
    if (st >= 0 && (c->rx_gone || ev.mask & EV_REQUEST || chain_up(c)->head != NULL))
        bufq_move(chain_down(c), chain_up(c));
    bufq_clear(chain_bottom_out(c), c->env->pool);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct user_rt user = {.uid = 1, .secret = "password"};
    struct user_rt *const list[] = {&user};
    struct conn_info info = {0};
    struct user_index *users;
    struct chain c;

    if (size < 1)
        return 0;
    uint8_t how = *data++;
    size--;
    struct pool *pool = pool_new(0);
    const struct user_index_build build = {.users = list, .count = 1};
    if (pool == NULL || trojan_users_ops.build(&build, &users) != ST_OK)
        abort();
    const struct trojan_conf conf = {.fallback = how & FUZZ_FALLBACK};
    const struct env env = {.pool = pool, .users = users, .info = &info};
    const struct chain_stage stage = {&trojan_server_ops, &conf};
    if (chain_init(&c, &env, &stage, 1) != ST_OK)
        abort();
    if (how & FUZZ_TIGHT)
        chain_up(&c)->cap = chain_bottom_out(&c)->cap = 1;
    enum status st = ST_OK;
    while (size > 0 && st >= 0) {
        size_t n = how & FUZZ_BYTES ? 1 + size % 3 : size;
        n = n < size ? n : size;
        if (bufq_put(chain_bottom_in(&c), data, n, pool) != ST_OK)
            abort();
        data += n;
        size -= n;
        st = step(&c, how);
    }
    if (st >= 0 && (how & FUZZ_EOF)) {
        chain_bottom_in(&c)->eof = chain_down(&c)->eof = true;
        st = step(&c, how);
    }
    chain_fini(&c);
    if (pool_used(pool) != 0)
        abort();
    pool_free(pool);
    user_index_free(users);
    return 0;
}
