#include "proto/shadowsocks/conf.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "crypto/siphash.h"
#include "proto/shadowsocks/index.h"
#include "proto/shadowsocks/packets.h"
#include "proto/shadowsocks/shadowsocks.h"
#include "proto/shadowsocks/shared.h"

void ss_conf_init(struct ss_conf *c, const struct ss_method *m, const uint8_t *key, bool identity)
{
    memset(c, 0, sizeof(*c));
    c->method = m;
    if (m->family != SS_2022)
        return;
    c->identity = identity;
    memcpy(c->key, key, m->key_len);
    if (!m->wide) {
        aes_block_init(&c->opens, key, m->key_len, true);
        aes_block_init(&c->seals, key, m->key_len, false);
    }
}

static enum status refuse(struct conf_error *err, const char *text)
{
    snprintf(err->text, sizeof(err->text), "%s", text);
    return ST_E_CONFIG;
}

/* What clients would speak below Shadowsocks and this server does not must stop the node: they
 * would all be turned away without a word. */
static enum status refuse_extras(const struct json_t *node, struct conf_error *err)
{
    static const char *const keys[] = {"obfs", "plugin"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *word = json_get_str(node, keys[i], "");
        if (word[0] == '\0' || strcmp(word, "none") == 0)
            continue;
        snprintf(err->text, sizeof(err->text), "shadowsocks %s: %.64s is not supported", keys[i],
                 word);
        return ST_E_CONFIG;
    }
    return ST_OK;
}

static enum status parse_conf(struct arena *a, const struct json_t *node,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err)
{
    const char *cipher = json_get_str(node, "cipher", "");
    const char *server_key = json_get_str(node, "server_key", "");
    const struct ss_method *m = ss_method_find(cipher);
    uint8_t key[SS_KEY_MAX] = {0};
    struct ss_conf *c;

    (void)ctx;
    if (m == NULL) {
        snprintf(err->text, sizeof(err->text), "shadowsocks cipher: %s%.64s",
                 cipher[0] == '\0' ? "missing" : "unknown: ", cipher);
        return ST_E_CONFIG;
    }
    if (refuse_extras(node, err) != ST_OK)
        return ST_E_CONFIG;
    if (m->family == SS_2022 && server_key[0] == '\0')
        return refuse(err, "shadowsocks server_key: missing, and the cipher needs it");
    if (m->family == SS_2022 && ss2022_read_key(m, server_key, key) != ST_OK)
        return refuse(err, "shadowsocks server_key: must be base64 of a key as long as the "
                           "cipher's");
    c = arena_alloc(a, sizeof(*c));
    if (c == NULL)
        return ST_E_NOMEM;
    ss_conf_init(c, m, key, m->identity);
    crypto_wipe(key, sizeof(key));
    if (m->family == SS_PLAIN)
        snprintf(err->text, sizeof(err->text),
                 "shadowsocks cipher %s: nothing is encrypted, and whoever finds the port uses it "
                 "as the first user",
                 m->name);
    *conf = c;
    return ST_OK;
}

static void free_conf(const void *conf)
{
    struct ss_conf *c = (struct ss_conf *)(uintptr_t)conf;

    crypto_wipe(c, sizeof(*c));
}

static enum status shared_init(void *shared, uint64_t seed)
{
    struct ss_shared *s = shared;
    uint8_t key[SIPHASH_KEY_LEN];

    s->seed = seed;
    siphash_derive(seed, 1, key);
    seen_init(&s->salts, key);
    siphash_derive(seed, 2, key);
    sources_init(&s->sources, key);
    crypto_wipe(key, sizeof(key));
    return ST_OK;
}

static void shared_fini(void *shared)
{
    struct ss_shared *s = shared;

    seen_fini(&s->salts);
    sources_fini(&s->sources);
}

static const char *const aliases[] = {"ss", NULL};

const struct proto proto_shadowsocks = {
    .name = "shadowsocks",
    .aliases = aliases,
    .parse_conf = parse_conf,
    .free_conf = free_conf,
    .server = &ss_server_ops,
    .users = &ss_index_ops,
    .shared_size = sizeof(struct ss_shared),
    .shared_init = shared_init,
    .shared_fini = shared_fini,
    .packets = &ss_packet_ops,
};
