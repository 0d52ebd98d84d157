/* The layer as the session sees it: requests, strangers, chunks at their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "proto/vmess/lookup.h"
#include "proto/vmess/packetaddr.h"
#include "proto/vmess/test_vmess.h"
#include "proto/vmess/vmess.h"
#include "stream/test_bench.h"

#define UNIX_S    1763726047
#define WIRE_MAX  (1u << 18)
#define DRAIN_MIN 54u
#define DRAIN_MAX (54u + 3266u + 64u)

struct bench {
    struct user_rt users[2];
    struct user_index *index;
    struct vmess_shared *shared;
    struct vmess_conf conf;
    struct crypto_ctx cc;
    struct rng rng;
    struct test_bench t;
    struct test_vmess client;
    bool has_client;
    uint8_t wire[WIRE_MAX], plain[WIRE_MAX], payload[WIRE_MAX];
    size_t len; /* of wire */
};

static void build_index(struct bench *b, size_t count)
{
    struct user_rt *const list[] = {&b->users[0], &b->users[1]};
    struct user_index *was = b->index;
    const struct user_index_build how = {.users = list, .count = count, .before = was};
    assert_int_equal(vmess_users_ops.build(&how, &b->index), ST_OK);
    b->t.env.users = b->index;
    if (was != NULL)
        user_index_free(was);
}

static int set_up(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    if (b == NULL || crypto_ctx_init(&b->cc) != ST_OK || rng_init(&b->rng) != ST_OK)
        return -1;
    b->shared = aligned_alloc(64, (sizeof(*b->shared) + 63) / 64 * 64);
    if (b->shared == NULL)
        return -1;
    memset(b->shared, 0, sizeof(*b->shared));
    if (vmess_shared_init(b->shared, 11) != ST_OK)
        return -1;
    vmess_kdf_init(&b->conf.kdf);
    b->conf.drain = true;
    for (uint8_t i = 0; i < 2; i++) {
        b->users[i].uid = i + 1u;
        b->users[i].uuid[0] = i;
    }
    for (size_t i = 0; i < WIRE_MAX; i++)
        b->payload[i] = (uint8_t)(i * 31 + i / 257);
    const struct env env = {.rng = &b->rng, .crypto = &b->cc, .shared = b->shared};
    test_bench_open(&b->t, &env, &vmess_server_ops, &b->conf);
    b->t.unix_s = UNIX_S;
    b->t.info.peer = (struct addr){.family = ADDR_IP4, .ip = {10, 0, 0, 1}};
    build_index(b, 2);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    test_bench_close(&b->t);
    if (b->has_client) {
        test_vmess_close(&b->client);
        test_vmess_fini(&b->client);
    }
    user_index_free(b->index);
    vmess_shared_fini(b->shared);
    free(b->shared);
    rng_fini(&b->rng);
    crypto_ctx_fini(&b->cc);
    free(b);
    return 0;
}

/* A new connection. */
static void connect(struct bench *b)
{
    test_bench_reopen(&b->t, &vmess_server_ops, &b->conf);
    for (unsigned i = 0; i < 2; i++)
        b->t.chain.in[i].cap = b->t.chain.out[i].cap = 1u << 20;
}

/* ... of a new client of the first user, with his request in wire. */
static void open_client(struct bench *b, uint8_t security, uint8_t options, uint8_t command)
{
    connect(b);
    if (b->has_client)
        test_vmess_close(&b->client);
    test_vmess_open(&b->client, security, options, command,
                    command == VMESS_MUX ? NULL : "example.com");
    b->has_client = true;
    b->len = test_vmess_hello(&b->client, b->users[0].uuid, UNIX_S, b->wire);
}

static enum status run(struct bench *b)
{
    return test_bench_run(&b->t);
}

static enum status feed(struct bench *b, const uint8_t *data, size_t n)
{
    return test_bench_feed(&b->t, data, n);
}

static enum status feed_all(struct bench *b)
{
    return feed(b, b->wire, b->len);
}

static void assert_up(struct bench *b, const uint8_t *want, size_t n)
{
    test_bench_takes(&b->t, chain_up(&b->t.chain), want, n);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void reports_what_is_asked(void **state)
{
    struct bench *b = *state;
    static const enum network networks[] = {0, NETWORK_TCP, NETWORK_UDP, NETWORK_MUX};
    char text[TARGET_STRLEN];

    for (uint8_t command = VMESS_TCP; command <= VMESS_MUX; command++) {
        open_client(b, VMESS_AES_128_GCM, 0x0d, command);
        assert_int_equal(feed_all(b), ST_OK);
        assert_int_equal(b->t.ev.mask, EV_REQUEST | EV_READY);
        assert_int_equal(b->t.ev.request.network, networks[command]);
        assert_ptr_equal(b->t.ev.request.user, &b->users[0]);
        assert_false(b->t.ev.request.addressed);
        if (command != VMESS_MUX)
            assert_string_equal(target_str(&b->t.ev.request.target, text), "example.com:443");
    }
}

static void waits_for_the_whole_request(void **state)
{
    struct bench *b = *state;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    for (size_t i = 0; i + 1 < b->len; i++) {
        assert_int_equal(feed(b, b->wire + i, 1), ST_OK);
        assert_int_equal(b->t.ev.mask, 0);
    }
    /* The list of users changes meanwhile; he is still there. */
    build_index(b, 1);
    assert_int_equal(feed(b, b->wire + b->len - 1, 1), ST_OK);
    assert_int_equal(b->t.ev.mask, EV_REQUEST | EV_READY);
    assert_int_equal(chain_bottom_out(&b->t.chain)->bytes, 0);
}

static void a_client_that_leaves_early(void **state)
{
    struct bench *b = *state;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    static const size_t cuts[] = {1, 15, 16, 41, 42, 60};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
        assert_int_equal(feed(b, b->wire, cuts[i]), ST_OK);
        chain_bottom_in(&b->t.chain)->eof = true;
        assert_int_equal(run(b), ST_E_CLOSED);
    }
}

static void what_leaves_and_what_stays(void **state)
{
    struct bench *b = *state;

    open_client(b, VMESS_NONE, 0, VMESS_TCP);
    b->len += test_vmess_body(&b->client, b->payload, 100, 100, b->wire + b->len);
    assert_int_equal(feed_all(b), ST_OK);
    assert_up(b, b->payload, 100);
    assert_int_equal(chain_raw(&b->t.chain, CHAIN_RX), CHAIN_RAW_NOW);
    assert_int_equal(chain_raw(&b->t.chain, CHAIN_TX), CHAIN_RAW_LATER);
    size_t idle = pool_used(b->t.pool);
    assert_int_equal(bufq_put(chain_down(&b->t.chain), b->payload, 50, b->t.pool), ST_OK);
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(chain_bottom_out(&b->t.chain)->bytes, VMESS_ANSWER_LEN + 50);
    bufq_clear(chain_bottom_out(&b->t.chain), b->t.pool);
    assert_int_equal(chain_raw(&b->t.chain, CHAIN_TX), CHAIN_RAW_NOW);
    assert_true(pool_used(b->t.pool) < idle); /* the keys of the answer have gone */

    open_client(b, VMESS_NONE, VMESS_CHUNKS, VMESS_TCP);
    assert_int_equal(feed_all(b), ST_OK);
    assert_int_not_equal(chain_raw(&b->t.chain, CHAIN_RX), CHAIN_RAW_NOW);
}

/* ---- strangers ------------------------------------------------------------------------------- */

/* Feeds @b->wire and then noise until the connection fails with @want; returns how much it took. */
static size_t drained(struct bench *b, enum status want)
{
    enum status st = feed_all(b);
    size_t fed = b->len;

    for (; st >= 0 && fed <= DRAIN_MAX; fed++)
        st = feed(b, b->payload, 1);
    assert_int_equal(st, want);
    assert_non_null(b->t.ev.why.text);
    assert_int_equal(b->t.ev.mask, 0);
    assert_int_equal(chain_bottom_out(&b->t.chain)->bytes, 0);
    assert_int_equal(chain_up(&b->t.chain)->bytes, 0);
    return fed;
}

static void strangers_are_drained(void **state)
{
    struct bench *b = *state;
    size_t least = SIZE_MAX, most = 0;

    for (unsigned i = 0; i < 40; i++) {
        connect(b);
        b->len = 16;
        rng_bytes(&b->rng, b->wire, b->len);
        size_t n = drained(b, ST_E_AUTH);
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    assert_in_range(least, DRAIN_MIN + b->shared->drain_base, DRAIN_MAX);
    assert_in_range(most - least, b->shared->drain_spread > 1, 63);

    /* All of it at once, or the end of the client, ends it too. */
    connect(b);
    assert_int_equal(feed(b, b->payload, DRAIN_MAX), ST_E_AUTH);
    connect(b);
    assert_int_equal(feed(b, b->payload, 20), ST_OK);
    chain_bottom_in(&b->t.chain)->eof = true;
    assert_int_equal(run(b), ST_E_AUTH);

    /* Where something lies around us they are not. */
    b->conf.drain = false;
    connect(b);
    assert_int_equal(feed(b, b->payload, 16), ST_E_AUTH);
}

static void broken_headers_are_drained(void **state)
{
    struct bench *b = *state;

    for (size_t at = 16; at < 110; at += 9) {
        open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
        if (at >= b->len)
            break;
        b->wire[at] ^= 1;
        drained(b, ST_E_AUTH);
    }
}

static void replays_are_refused(void **state)
{
    struct bench *b = *state;
    struct test_vmess *c = &b->client;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    assert_int_equal(feed_all(b), ST_OK);
    connect(b);
    drained(b, ST_E_REFUSED);
    /* Another AuthID, the same session: closed at once. */
    connect(b);
    b->len = test_vmess_hello(c, b->users[0].uuid, UNIX_S, b->wire);
    assert_int_equal(feed_all(b), ST_E_REFUSED);
    /* Another user may have the same keys by chance. */
    connect(b);
    b->len = test_vmess_hello(c, b->users[1].uuid, UNIX_S, b->wire);
    assert_int_equal(feed_all(b), ST_OK);
    assert_ptr_equal(b->t.ev.request.user, &b->users[1]);
}

static void late_and_early_requests_are_drained(void **state)
{
    struct bench *b = *state;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    b->len = test_vmess_hello(&b->client, b->users[0].uuid, UNIX_S - 121, b->wire);
    drained(b, ST_E_AUTH);
    connect(b);
    b->len = test_vmess_hello(&b->client, b->users[0].uuid, UNIX_S + 121, b->wire);
    drained(b, ST_E_AUTH);
}

static void a_user_removed_before_his_header_is_whole(void **state)
{
    struct bench *b = *state;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    b->len = test_vmess_hello(&b->client, b->users[1].uuid, UNIX_S, b->wire);
    size_t all = b->len;
    b->len = 50;
    assert_int_equal(feed_all(b), ST_OK);
    build_index(b, 1);
    memmove(b->wire, b->wire + 50, all - 50);
    b->len = all - 50;
    enum status st = feed_all(b);
    assert_int_equal(b->t.ev.mask, 0);
    for (unsigned i = 0; st >= 0 && i < DRAIN_MAX; i++)
        st = feed(b, b->payload, 1);
    assert_int_equal(st, ST_E_AUTH);
}

/* Who has shown that he knows the key is told nothing either, but not kept waiting. */
static void wrong_headers_of_users_end_at_once(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        enum status st;
    } cases[] = {{0, 2, ST_E_PROTO},           {35, 0x76, ST_E_UNSUPPORTED},
                 {35, 0x71, ST_E_UNSUPPORTED}, {37, 4, ST_E_UNSUPPORTED},
                 {40, 9, ST_E_PROTO},          {34, 0, ST_OK}};
    struct bench *b = *state;
    uint8_t plain[VMESS_PLAIN_MAX];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
        size_t n = test_vmess_header(&b->client, 7, plain);
        plain[cases[i].at] = cases[i].value;
        /* the checksum of the changed header */
        uint32_t h = 0x811c9dc5u;
        for (size_t k = 0; k < n - 4; k++)
            h = (h ^ plain[k]) * 0x01000193u;
        put_be32(plain + n - 4, h);
        b->len = test_vmess_seal(&b->client, b->users[0].uuid, UNIX_S, plain, n, b->wire);
        assert_int_equal(feed_all(b), cases[i].st);
    }
    open_client(b, VMESS_NONE, 0, VMESS_UDP);
    assert_int_equal(feed_all(b), ST_E_UNSUPPORTED);
    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    memset(b->plain, 0, 1000);
    b->len = test_vmess_seal(&b->client, b->users[0].uuid, UNIX_S, b->plain, 513, b->wire);
    assert_int_equal(feed_all(b), ST_E_LIMIT);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void takes_chunks_of_any_size(void **state)
{
    static const size_t sizes[] = {1, 256, 257, 8192, 16384, 32768, 32769, 65519};
    struct bench *b = *state;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = sizes[i];
        open_client(b, VMESS_AES_128_GCM, VMESS_CHUNKS, VMESS_TCP);
        assert_int_equal(feed_all(b), ST_OK);
        /* By hand: our own sealing keeps to smaller ones. */
        put_be16(b->wire, (uint16_t)(n + AEAD_TAG_LEN));
        memcpy(b->wire + 2, b->payload, n);
        put_be16(b->client.up.nonce, 0);
        assert_int_equal(aead_seal(&b->cc, AEAD_AES_128_GCM, b->client.up.key, b->client.up.nonce,
                                   NULL, 0, b->wire + 2, n, b->wire + 2 + n),
                         ST_OK);
        size_t all = 2 + n + AEAD_TAG_LEN;
        for (size_t at = 0; at < all; at += 5000) {
            assert_int_equal(feed(b, b->wire + at, all - at < 5000 ? all - at : 5000), ST_OK);
            /* The rest of a chunk never fills the wire's queue. */
            assert_true(chain_bottom_in(&b->t.chain)->bytes <= VMESS_CHUNK_HELD);
        }
        assert_up(b, b->payload, n);
    }
}

static void seals_whole_blks_in_place(void **state)
{
    struct bench *b = *state;
    size_t n;
    bool ended;

    open_client(b, VMESS_AES_128_GCM, 0x1d, VMESS_TCP);
    assert_int_equal(feed_all(b), ST_OK);
    struct span *s = span_new(b->t.pool);
    s->len = BLK_READ;
    memcpy(span_data(s), b->payload, s->len);
    const struct blk *blk = s->blk;
    bufq_push(chain_down(&b->t.chain), s);
    assert_int_equal(run(b), ST_OK);
    struct bufq *out = chain_bottom_out(&b->t.chain);
    assert_int_equal(out->count, 1);
    assert_ptr_equal(out->head->blk, blk);
    b->len = bufq_peek(out, b->wire, WIRE_MAX);
    assert_true(test_vmess_answer(&b->client, b->wire, b->len, b->plain, &n, &ended));
    assert_int_equal(n, BLK_READ);
    assert_memory_equal(b->plain, b->payload, n);
}

static void counts_past_65536_chunks(void **state)
{
    struct bench *b = *state;
    struct bufq *out;
    size_t n = 0;

    open_client(b, VMESS_AES_128_GCM, 0x05, VMESS_TCP);
    assert_int_equal(feed_all(b), ST_OK);
    for (unsigned round = 0; round < 66; round++) {
        b->len = test_vmess_body(&b->client, b->payload, 1000, 1, b->wire);
        assert_int_equal(feed_all(b), ST_OK);
        assert_up(b, b->payload, 1000);
    }
    for (unsigned i = 0; i < 66000; i++) {
        assert_int_equal(bufq_put(chain_down(&b->t.chain), "x", 1, b->t.pool), ST_OK);
        assert_int_equal(run(b), ST_OK);
        out = chain_bottom_out(&b->t.chain);
        b->len = bufq_peek(out, b->wire, WIRE_MAX);
        size_t skip = i == 0 ? VMESS_ANSWER_LEN : 0;
        struct bufq in, up;
        bufq_init(&in, UINT32_MAX);
        bufq_init(&up, UINT32_MAX);
        assert_int_equal(bufq_put(&in, b->wire + skip, b->len - skip, b->t.pool), ST_OK);
        assert_int_equal(vmess_chunks_open(&b->client.down, &b->cc, b->t.pool, &in, &up, false),
                         ST_OK);
        n += up.bytes;
        bufq_clear(&up, b->t.pool);
        bufq_clear(out, b->t.pool);
    }
    assert_int_equal(n, 66000);
}

static enum status feed_broken_chunk(struct bench *b, uint8_t options, size_t at)
{
    open_client(b, VMESS_AES_128_GCM, options, VMESS_TCP);
    size_t hello = b->len;
    b->len += test_vmess_body(&b->client, b->payload, 500, 500, b->wire + b->len);
    if (hello + at < b->len)
        b->wire[hello + at] ^= 1;
    return feed_all(b);
}

static void broken_chunks_end_the_connection(void **state)
{
    struct bench *b = *state;

    assert_int_equal(feed_broken_chunk(b, 0x01, 10000), ST_OK);
    for (size_t at = 2; at < 518; at += 43)
        assert_int_equal(feed_broken_chunk(b, 0x01, at), ST_E_AUTH);
    for (size_t at = 0; at < 18; at++)
        assert_int_equal(feed_broken_chunk(b, 0x11, at), ST_E_AUTH);
    /* Sizes too small for what must be in a chunk. */
    for (uint8_t size = 0; size < 16; size++) {
        const uint8_t field[2] = {0, size};
        open_client(b, VMESS_AES_128_GCM, 0x01, VMESS_TCP);
        assert_int_equal(feed_all(b), ST_OK);
        assert_int_equal(feed(b, field, 2), ST_E_PROTO);
    }
    /* Cut off within one. */
    for (size_t cut = 1; cut < 518; cut += 47) {
        open_client(b, VMESS_AES_128_GCM, 0x01, VMESS_TCP);
        size_t hello = b->len;
        (void)test_vmess_body(&b->client, b->payload, 500, 500, b->wire + b->len);
        b->len = hello + cut;
        assert_int_equal(feed_all(b), ST_OK);
        chain_bottom_in(&b->t.chain)->eof = true;
        assert_int_equal(run(b), ST_E_CLOSED);
    }
}

static void what_follows_the_end_means_nothing(void **state)
{
    struct bench *b = *state;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_TCP);
    b->len += test_vmess_body(&b->client, b->payload, 10, 10, b->wire + b->len);
    b->len += test_vmess_empty(&b->client, b->wire + b->len);
    assert_int_equal(feed_all(b), ST_OK);
    assert_true(chain_up(&b->t.chain)->eof);
    assert_up(b, b->payload, 10);
    assert_int_equal(feed(b, b->payload, 1000), ST_OK);
    assert_int_equal(chain_up(&b->t.chain)->bytes, 0);
    /* The other direction goes on. */
    assert_int_equal(bufq_put(chain_down(&b->t.chain), "x", 1, b->t.pool), ST_OK);
    assert_int_equal(run(b), ST_OK);
    assert_true(chain_bottom_out(&b->t.chain)->bytes > 0);
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void push_datagram(struct bench *b, size_t n)
{
    struct span *s = span_new_for(b->t.pool, n);
    assert_non_null(s);
    memcpy(span_data(s), b->payload, n);
    s->len = (uint32_t)n;
    s->peer = (struct addr){.family = ADDR_IP4, .port = 53};
    bufq_push(chain_down(&b->t.chain), s);
}

static void a_chunk_is_a_datagram(void **state)
{
    struct bench *b = *state;
    struct bufq *up, *out;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_UDP);
    for (size_t n = 1; n <= 3; n++)
        b->len += test_vmess_body(&b->client, b->payload, n, 100, b->wire + b->len);
    assert_int_equal(feed_all(b), ST_OK);
    up = chain_up(&b->t.chain);
    assert_int_equal(up->count, 3);
    for (uint32_t n = 1; n <= 3; n++) {
        struct span *s = bufq_pop(up);
        assert_int_equal(s->len, n);
        assert_int_equal(s->peer.family, ADDR_NONE);
        span_free(b->t.pool, s);
    }
    out = chain_bottom_out(&b->t.chain);
    push_datagram(b, 0); /* would be the end */
    push_datagram(b, 8192 - 2 - 16 - 63 + 1);
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(out->count, 0);
    push_datagram(b, 8192 - 2 - 16 - 63);
    push_datagram(b, 1);
    assert_int_equal(run(b), ST_OK);
    assert_int_equal(out->count, 2);
    for (struct span *s = out->head; s != NULL; s = s->next) {
        assert_int_equal(s->peer.family, ADDR_NONE);
        assert_true(s->len <= 8192 + VMESS_ANSWER_LEN);
    }
}

static struct span *datagram_from(struct bench *b, const char *ip, uint16_t port, size_t n)
{
    struct span *s = span_new_for(b->t.pool, n);
    assert_non_null(s);
    memcpy(span_data(s), b->payload, n);
    s->len = (uint32_t)n;
    assert_int_equal(addr_parse_ip(&s->peer, ip, strlen(ip)), ST_OK);
    s->peer.port = port;
    return s;
}

static void datagrams_with_addresses(void **state)
{
    static const uint8_t wire[][20] = {
        {1, 1, 2, 3, 4, 0, 53, 'a', 'b'},
        {2, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 187, 'c'},
        {3, 1, 2, 3, 4, 0, 53, 'a', 'b'}, /* no such type */
        {1, 1, 2, 3, 4, 0},               /* cut off */
    };
    static const size_t lens[] = {9, 20, 9, 6};
    static const char *const peers[] = {"1.2.3.4:53", "[2001:db8::9]:443"};
    struct bench *b = *state;
    char text[ADDR_STRLEN];
    size_t n;
    bool ended;

    open_client(b, VMESS_AES_128_GCM, 0x0d, VMESS_UDP);
    assert_int_equal(
        target_set_host(&b->client.h.target, PACKETADDR_NAME, strlen(PACKETADDR_NAME), 0), ST_OK);
    b->len = test_vmess_hello(&b->client, b->users[0].uuid, UNIX_S, b->wire);
    for (unsigned i = 0; i < 4; i++)
        b->len += test_vmess_body(&b->client, wire[i], lens[i], 100, b->wire + b->len);
    assert_int_equal(feed_all(b), ST_OK);
    assert_true(b->t.ev.request.addressed);
    struct bufq *up = chain_up(&b->t.chain);
    assert_int_equal(up->count, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct span *s = bufq_pop(up);
        assert_string_equal(addr_str(&s->peer, text), peers[i]);
        assert_int_equal(s->len, 2 - i);
        span_free(b->t.pool, s);
    }

    bufq_push(chain_down(&b->t.chain), datagram_from(b, "1.2.3.4", 53, 0));
    bufq_push(chain_down(&b->t.chain), datagram_from(b, "2001:db8::9", 443, 2));
    bufq_push(chain_down(&b->t.chain), datagram_from(b, "1.2.3.4", 53, 8193)); /* too large */
    bufq_push(chain_down(&b->t.chain), datagram_from(b, "1.2.3.4", 53, 8190)); /* with its head */
    push_datagram(b, 5);
    chain_down(&b->t.chain)->tail->peer.family = ADDR_NAME;
    assert_int_equal(run(b), ST_OK);
    b->len = bufq_peek(chain_bottom_out(&b->t.chain), b->wire, WIRE_MAX);
    assert_true(test_vmess_answer(&b->client, b->wire, b->len, b->plain, &n, &ended));
    assert_int_equal(n, 7 + 19 + 2);
    assert_memory_equal(b->plain, wire[0], 7);
    assert_memory_equal(b->plain + 7, wire[1], 19);
    assert_memory_equal(b->plain + 26, b->payload, 2);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void is_configured_by_what_lies_below(void **state)
{
    struct arena *a = arena_new();
    struct conf_error err;

    (void)state;
    for (unsigned bare = 0; bare < 2; bare++) {
        const struct conf_context ctx = {.bare = bare != 0};
        const void *conf = NULL;
        assert_int_equal(proto_vmess.parse_conf(a, NULL, &ctx, &conf, &err), ST_OK);
        assert_int_equal(((const struct vmess_conf *)conf)->drain, bare != 0);
    }
    arena_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reports_what_is_asked),
        TEST(waits_for_the_whole_request),
        TEST(a_client_that_leaves_early),
        TEST(what_leaves_and_what_stays),
        TEST(strangers_are_drained),
        TEST(broken_headers_are_drained),
        TEST(replays_are_refused),
        TEST(late_and_early_requests_are_drained),
        TEST(a_user_removed_before_his_header_is_whole),
        TEST(wrong_headers_of_users_end_at_once),
        TEST(takes_chunks_of_any_size),
        TEST(seals_whole_blks_in_place),
        TEST(counts_past_65536_chunks),
        TEST(broken_chunks_end_the_connection),
        TEST(what_follows_the_end_means_nothing),
        TEST(a_chunk_is_a_datagram),
        TEST(datagrams_with_addresses),
        TEST(is_configured_by_what_lies_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
