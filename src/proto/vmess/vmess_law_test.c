/* The laws of layers for every security, option and command; a client reads the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/vmess/lookup.h"
#include "proto/vmess/test_vmess.h"
#include "proto/vmess/vmess.h"
#include "stream/law.h"

#define UNIX_S    1763726047 /* of stream/law.c */
#define PLAIN_MAX 70000

/* One kind of session. */
struct kind {
    uint8_t security, options, command;
    size_t chunk;     /* bytes of payload a chunk of the client's */
    bool empty_first; /* the client sends an empty chunk before the first */
    bool end;         /* the client announces its end */
    size_t up, down;  /* bytes of payload */
};

struct world {
    struct user_rt user;
    struct user_index *users;
    struct vmess_shared *shared;
    struct vmess_conf conf;
    struct crypto_ctx cc;
    struct rng rng;
    const struct kind *kind;
    struct test_vmess client; /* of the present run */
    uint8_t *script;
    size_t script_len;
    bool said;
    uint8_t up[PLAIN_MAX], down[PLAIN_MAX], got[PLAIN_MAX];
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    if (w == NULL || crypto_ctx_init(&w->cc) != ST_OK || rng_init(&w->rng) != ST_OK)
        return -1;
    w->user.uuid[3] = 7;
    struct user_rt *const list[] = {&w->user};
    const struct user_index_build b = {.users = list, .count = 1};
    w->script = malloc(4 * PLAIN_MAX);
    w->shared = aligned_alloc(64, (sizeof(*w->shared) + 63) / 64 * 64);
    if (w->script == NULL || w->shared == NULL || vmess_users_ops.build(&b, &w->users) != ST_OK)
        return -1;
    vmess_kdf_init(&w->conf.kdf);
    for (size_t i = 0; i < PLAIN_MAX; i++) {
        w->up[i] = (uint8_t)(i * 13 + i / 251);
        w->down[i] = (uint8_t)(i * 29 + i / 241);
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    test_vmess_fini(&w->client);
    user_index_free(w->users);
    rng_fini(&w->rng);
    crypto_ctx_fini(&w->cc);
    free(w->shared);
    free(w->script);
    free(w);
    return 0;
}

/* A run begins: its server has seen nothing yet, its client has keys of its own. */
static void *open_peer(void *arg)
{
    struct world *w = arg;
    const struct kind *k = w->kind;
    struct test_vmess *c = &w->client;
    uint8_t *p = w->script;

    memset(w->shared, 0, sizeof(*w->shared));
    if (vmess_shared_init(w->shared, 3) != ST_OK)
        return NULL;
    test_vmess_open(c, k->security, k->options, k->command,
                    k->command == VMESS_MUX ? NULL : "example.com");
    p += test_vmess_hello(c, w->user.uuid, UNIX_S, p);
    if (k->empty_first)
        p += test_vmess_empty(c, p);
    p += test_vmess_body(c, w->up, k->up, k->chunk, p);
    if (k->end)
        p += test_vmess_empty(c, p);
    w->script_len = (size_t)(p - w->script);
    w->said = false;
    return w;
}

static size_t talk(void *peer, const uint8_t *in, size_t len, uint8_t *out, size_t cap)
{
    struct world *w = peer;

    (void)in;
    (void)len;
    if (w->said)
        return 0;
    w->said = true;
    BUG_ON(w->script_len > cap);
    memcpy(out, w->script, w->script_len);
    return w->script_len;
}

static void close_peer(void *peer)
{
    struct world *w = peer;
    test_vmess_close(&w->client);
    vmess_shared_fini(w->shared);
}

static const struct law_peer PEER = {open_peer, talk, close_peer};

static bool answer_is_right(void *arg, const uint8_t *wire, size_t len)
{
    struct world *w = arg;
    const struct kind *k = w->kind;
    size_t n = 0;
    bool ended = false;

    if (!test_vmess_answer(&w->client, wire, len, w->got, &n, &ended))
        return false;
    if (n != k->down || memcmp(w->got, w->down, n) != 0)
        return false;
    return w->client.raw || ended == (k->down > 0 && (k->options & VMESS_CHUNKS));
}

static void keeps_the_laws(struct world *w, const struct kind *k)
{
    const struct chain_stage stage = {&vmess_server_ops, &w->conf};
    struct conn_info info = {.peer = {.family = ADDR_IP4, .ip = {10, 0, 0, 1}}};
    const struct env env = {
        .users = w->users, .crypto = &w->cc, .rng = &w->rng, .info = &info, .shared = w->shared};
    const struct law_case c = {.stages = &stage,
                               .count = 1,
                               .env = &env,
                               .arg = w,
                               .peer = &PEER,
                               .wire_eof = true,
                               .plain = w->up,
                               .plain_len = k->up,
                               .plain_eof = true,
                               .down = w->down,
                               .down_len = k->down,
                               .down_eof = true,
                               .events = EV_REQUEST | EV_READY,
                               .written = answer_is_right};
    char err[LAW_ERR_LEN];

    w->kind = k;
    if (!law_check(&c, err))
        fail_msg("security %u options %02x command %u: %s", k->security, k->options, k->command,
                 err);
}

static void every_security_and_option(void **state)
{
    static const struct {
        uint8_t security, options;
    } forms[] = {
        {VMESS_AES_128_GCM, 0x01},
        {VMESS_AES_128_GCM, 0x05},
        {VMESS_AES_128_GCM, 0x0d},
        {VMESS_AES_128_GCM, 0x1d},
        {VMESS_AES_128_GCM, 0x15},
        {VMESS_AES_128_GCM, 0x09},
        {VMESS_AES_128_GCM, 0x00},
        {VMESS_CHACHA20_POLY1305, 0x0d},
        {VMESS_CHACHA20_POLY1305, 0x11},
        {VMESS_NONE, 0x00},
        {VMESS_NONE, 0x01},
        {VMESS_NONE, 0x05},
        {VMESS_NONE, 0x0d},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct kind k = {
            forms[i].security, forms[i].options, VMESS_TCP, 700, false, false, 2000, 800};
        keeps_the_laws(w, &k);
    }
}

static void ends_and_empty_chunks(void **state)
{
    struct world *w = *state;

    for (unsigned i = 0; i < 4; i++) {
        struct kind k = {i < 2 ? VMESS_AES_128_GCM : VMESS_NONE,
                         i % 2 ? 0x0d : 0x05,
                         VMESS_TCP,
                         300,
                         true,
                         true,
                         900,
                         10};
        keeps_the_laws(w, &k);
    }
}

static void the_other_commands(void **state)
{
    struct world *w = *state;
    static const struct kind kinds[] = {
        {VMESS_AES_128_GCM, 0x0d, VMESS_UDP, 400, false, false, 1200, 900},
        {VMESS_NONE, 0x0d, VMESS_UDP, 400, false, false, 1200, 900}, /* padded without a cipher */
        {VMESS_NONE, 0x01, VMESS_UDP, 400, false, false, 1200, 900},
        {VMESS_CHACHA20_POLY1305, 0x0d, VMESS_MUX, 400, false, true, 1200, 900},
        {VMESS_NONE, 0x00, VMESS_MUX, 400, false, false, 1200, 900},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        keeps_the_laws(w, &kinds[i]);
}

/* An answer that never had a byte is the header alone. */
static void nothing_to_send(void **state)
{
    struct world *w = *state;
    static const struct kind kinds[] = {
        {VMESS_AES_128_GCM, 0x0d, VMESS_TCP, 400, false, false, 10, 0},
        {VMESS_NONE, 0x00, VMESS_TCP, 400, false, false, 10, 0},
        {VMESS_AES_128_GCM, 0x05, VMESS_TCP, 400, false, false, 0, 10},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        keeps_the_laws(w, &kinds[i]);
}

/* Chunks over several blks, and more down than goes into one. */
static void large_chunks(void **state)
{
    struct world *w = *state;
    static const struct kind kinds[] = {
        {VMESS_AES_128_GCM, 0x05, VMESS_TCP, 8000, false, false, 24000, 40000},
        {VMESS_NONE, 0x05, VMESS_TCP, 8192, false, false, 24000, 40000},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        keeps_the_laws(w, &kinds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_security_and_option),
        cmocka_unit_test(ends_and_empty_chunks),
        cmocka_unit_test(the_other_commands),
        cmocka_unit_test(nothing_to_send),
        cmocka_unit_test(large_chunks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
