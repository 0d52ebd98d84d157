#include "proto/shadowsocks/test_shadowsocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/xchacha.h"

bool test_node_open(struct test_node *n, const char *method, const char *server_key, bool identity)
{
    uint8_t key[SS_KEY_MAX] = {0};
    const struct ss_method *m = ss_method_find(method);

    memset(n, 0, sizeof(*n));
    n->pool = pool_new(0);
    if (m == NULL || n->pool == NULL || rng_init(&n->rng) != ST_OK ||
        crypto_ctx_init(&n->cc) != ST_OK)
        return false;
    if (m->family == SS_2022 && ss2022_read_key(m, server_key, key) != ST_OK)
        return false;
    ss_conf_init(&n->conf, m, key, identity);
    if (proto_shadowsocks.shared_init(&n->shared, 3) != ST_OK)
        return false;
    for (unsigned i = 0; i < TEST_USERS; i++) {
        snprintf(n->secrets[i], sizeof(n->secrets[i]), "%08x-0000-4000-8000-000000000001", i);
        n->users[i].uid = 100 + i;
        n->users[i].secret = i == TEST_USER ? TEST_UUID : n->secrets[i];
        n->list[i] = &n->users[i];
    }
    const struct user_index_build b = {
        .conf = &n->conf, .users = n->list, .count = TEST_USERS, .seed = 5};
    if (ss_index_ops.build(&b, &n->index) != ST_OK)
        return false;
    n->info.peer = (struct addr){.family = ADDR_IP4, .port = 999, .ip = {192, 0, 2, 1}};
    n->env = (struct env){.pool = n->pool,
                          .rng = &n->rng,
                          .crypto = &n->cc,
                          .users = n->index,
                          .shared = &n->shared,
                          .info = &n->info};
    return true;
}

struct test_node *test_node_kept(unsigned kind)
{
    static const struct {
        const char *method, *server_key;
    } kinds[8] = {
        {"aes-128-gcm", NULL},
        {"aes-256-gcm", NULL},
        {"chacha20-poly1305", NULL},
        {"xchacha20-poly1305", NULL},
        {"none", NULL},
        {"2022-blake3-aes-128-gcm", "MDEyMzQ1Njc4OWFiY2RlZg=="},
        {"2022-blake3-aes-256-gcm", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
        {"2022-blake3-chacha20-poly1305", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="},
    };
    static struct test_node kept[8];
    struct test_node *n = &kept[kind];

    if (n->pool == NULL && !test_node_open(n, kinds[kind].method, kinds[kind].server_key,
                                           ss_method_find(kinds[kind].method)->identity))
        abort();
    seen_fini(&n->shared.salts);
    seen_init(&n->shared.salts, (const uint8_t *)"sixteen bytes...");
    return n;
}

void test_node_close(struct test_node *n)
{
    user_index_free(n->index);
    proto_shadowsocks.shared_fini(&n->shared);
    crypto_ctx_fini(&n->cc);
    rng_fini(&n->rng);
    if (pool_used(n->pool) != 0)
        abort();
    pool_free(n->pool);
}

void test_client_init(struct test_client *c, struct test_node *n, unsigned i, uint8_t salt)
{
    const struct ss_method *m = n->conf.method;
    const char *secret = i < TEST_USERS ? n->users[i].secret : "nobody-at-all-nobody-at-all-nobody";

    memset(c, 0, sizeof(*c));
    c->m = m;
    c->cc = &n->cc;
    c->unix_s = TEST_TIME;
    c->identity = n->conf.identity;
    memcpy(c->server_key, n->conf.key, sizeof(c->server_key));
    if (m->family == SS_AEAD)
        ss_master_key(m, secret, c->key);
    else if (n->conf.identity)
        (void)ss2022_user_key(m, secret, c->key);
    else
        memcpy(c->key, c->server_key, sizeof(c->key));
    memset(c->salt, salt, sizeof(c->salt));
    memset(c->session, salt, sizeof(c->session));
}

static void subkey(const struct test_client *c, const uint8_t *salt, struct ss_cipher *out)
{
    uint8_t key[SS_KEY_MAX];

    if (c->m->family == SS_AEAD)
        ss_subkey(c->m, c->key, salt, key);
    else
        ss2022_subkey(c->m, c->key, salt, c->m->key_len, key);
    ss_cipher_init(out, c->m, key);
}

static size_t sealed(struct test_client *c, const void *data, size_t len, uint8_t *out)
{
    if (len > 0)
        memmove(out, data, len);
    if (ss_cipher_seal(&c->tx, c->cc, out, len) != ST_OK)
        abort();
    return len + SS_TAG;
}

size_t test_client_chunk(struct test_client *c, const void *payload, size_t len, uint8_t *out)
{
    uint8_t n[2] = {(uint8_t)(len >> 8), (uint8_t)len};

    if (c->m->family == SS_PLAIN) {
        memcpy(out, payload, len);
        return len;
    }
    size_t at = sealed(c, n, 2, out);
    return at + sealed(c, payload, len, out + at);
}

static size_t identity_header(struct test_client *c, const uint8_t *mask, const uint8_t *key,
                              uint8_t *out)
{
    uint8_t name[SS2022_NAME_LEN];
    struct aes_block aes;

    ss2022_user_name(c->m, c->key, name);
    for (unsigned i = 0; mask != NULL && i < sizeof(name); i++)
        name[i] ^= mask[i];
    aes_block_init(&aes, key, c->m->key_len, false);
    if (aes_block_run(&aes, name, out) != ST_OK)
        abort();
    return SS2022_NAME_LEN;
}

static size_t begin_2022(struct test_client *c, const void *address, size_t len,
                         const void *payload, size_t payload_len, uint8_t *out)
{
    size_t at = 0, padding = payload_len > 0 ? 0 : 5;
    uint8_t fixed[11] = {0}, key[SS_KEY_MAX], *variable = malloc(len + 2 + padding + payload_len);

    if (variable == NULL)
        abort();
    if (c->identity) {
        ss2022_identity_key(c->m, c->server_key, c->salt, key);
        at += identity_header(c, NULL, key, out);
    }
    put_be64(fixed + 1, (uint64_t)c->unix_s);
    put_be16(fixed + 9, (uint16_t)(len + 2 + padding + payload_len));
    at += sealed(c, fixed, sizeof(fixed), out + at);
    memcpy(variable, address, len);
    put_be16(variable + len, (uint16_t)padding);
    memset(variable + len + 2, 0, padding);
    if (payload_len > 0)
        memcpy(variable + len + 2 + padding, payload, payload_len);
    at += sealed(c, variable, len + 2 + padding + payload_len, out + at);
    free(variable);
    return at;
}

size_t test_client_begin(struct test_client *c, const void *address, size_t len,
                         const void *payload, size_t payload_len, uint8_t *out)
{
    size_t at = c->m->key_len;

    if (c->m->family == SS_PLAIN) {
        memcpy(out, address, len);
        memcpy(out + len, payload, payload_len);
        return len + payload_len;
    }
    memcpy(out, c->salt, at);
    subkey(c, c->salt, &c->tx);
    if (c->m->family == SS_2022)
        return at + begin_2022(c, address, len, payload, payload_len, out + at);
    at += test_client_chunk(c, address, len, out + at);
    if (payload_len > 0)
        at += test_client_chunk(c, payload, payload_len, out + at);
    return at;
}

/* Opens @len bytes behind *@at in a copy. */
static bool open_next(struct test_client *c, uint8_t *wire, size_t wire_len, size_t *at, size_t len)
{
    if (wire_len - *at < len + SS_TAG || ss_cipher_open(&c->rx, c->cc, wire + *at, len) != ST_OK)
        return false;
    *at += len + SS_TAG;
    return true;
}

static bool read_chunks(struct test_client *c, uint8_t *wire, size_t len, uint8_t *plain,
                        size_t *plain_len)
{
    size_t at = 0, next = 0, k = c->m->key_len;

    if (!c->answered && len > 0) {
        if (len < k)
            return false;
        subkey(c, wire, &c->rx);
        c->answered = true;
        at = k;
        if (c->m->family == SS_2022) {
            uint8_t *fixed = wire + at;
            if (!open_next(c, wire, len, &at, 11 + k) || fixed[0] != 1 ||
                get_be64(fixed + 1) != (uint64_t)c->unix_s || memcmp(fixed + 9, c->salt, k) != 0)
                return false;
            next = get_be16(fixed + 9 + k);
            if (next == 0)
                return false;
        }
    }
    while (at < len) {
        if (next == 0) {
            if (!open_next(c, wire, len, &at, 2))
                return false;
            next = get_be16(wire + at - SS_TAG - 2);
        }
        if (next == 0 || next > SS_CHUNK_MAX || !open_next(c, wire, len, &at, next))
            return false;
        memcpy(plain + *plain_len, wire + at - SS_TAG - next, next);
        *plain_len += next;
        next = 0;
    }
    return next == 0;
}

bool test_client_read(struct test_client *c, const uint8_t *wire, size_t len, uint8_t *plain,
                      size_t *plain_len)
{
    uint8_t *copy = malloc(len + 1);

    if (copy == NULL)
        abort();
    memcpy(copy, wire, len);
    bool good = true;
    if (c->m->family == SS_PLAIN) {
        memcpy(plain + *plain_len, copy, len);
        *plain_len += len;
    } else {
        good = read_chunks(c, copy, len, plain, plain_len);
    }
    free(copy);
    return good;
}

static size_t packet_2022(struct test_client *c, uint64_t number, const void *address, size_t len,
                          const void *payload, size_t payload_len, uint8_t *out)
{
    uint8_t header[16], key[SS_KEY_MAX], iv[12];
    size_t at = c->m->wide ? 24 : 0, body;
    struct aes_block aes;

    memcpy(header, c->session, 8);
    put_be64(header + 8, number);
    memset(out, 7, at);
    memcpy(out + at, header, 16);
    at += 16;
    if (c->identity)
        at += identity_header(c, header, c->server_key, out + at);
    body = at;
    out[at++] = 0;
    put_be64(out + at, (uint64_t)c->unix_s);
    at += 8;
    put_be16(out + at, 3);
    at += 2;
    memset(out + at, 0, 3);
    at += 3;
    memcpy(out + at, address, len);
    memcpy(out + at + len, payload, payload_len);
    at += len + payload_len;
    if (c->m->wide) {
        xchacha_begin(c->server_key, out, key, iv);
        if (aead_seal(c->cc, c->m->alg, key, iv, NULL, 0, out + 24, at - 24, out + at) != ST_OK)
            abort();
        return at + SS_TAG;
    }
    ss2022_subkey(c->m, c->key, c->session, 8, key);
    aes_block_init(&aes, c->server_key, c->m->key_len, false);
    if (aead_seal(c->cc, c->m->alg, key, header + 4, NULL, 0, out + body, at - body, out + at) !=
            ST_OK ||
        aes_block_run(&aes, out, out) != ST_OK)
        abort();
    return at + SS_TAG;
}

size_t test_client_packet(struct test_client *c, uint64_t number, const void *address, size_t len,
                          const void *payload, size_t payload_len, uint8_t *out)
{
    size_t at = c->m->key_len;

    if (c->m->family == SS_2022)
        return packet_2022(c, number, address, len, payload, payload_len, out);
    memcpy(out, c->salt, at);
    memcpy(out + at, address, len);
    memcpy(out + at + len, payload, payload_len);
    if (c->m->family == SS_PLAIN)
        return len + payload_len;
    subkey(c, c->salt, &c->tx);
    return at + sealed(c, out + at, len + payload_len, out + at);
}
