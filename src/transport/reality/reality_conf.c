#include "transport/reality/reality_conf.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "crypto/rng.h"

#define DEFAULT_PORT 443
#define KEY_TEXT_MAX 64u

/* Where settings are looked for: the local object counts before the panel's. */
struct sources {
    const struct json_t *local, *panel;
    const struct conf_context *ctx;
};

static enum status fail(struct conf_error *err, const char *field, const char *text)
{
    snprintf(err->text, sizeof(err->text), "REALITY %s: %.150s", field, text);
    return ST_E_CONFIG;
}

/* Panels and people write "" and [] where they mean nothing. */
static bool says_something(const struct json_t *v)
{
    const char *text = json_str(v);

    if (v == NULL || json_is_null(v) || (text != NULL && text[0] == '\0'))
        return false;
    return !json_is_array(v) || json_array_len(v) > 0;
}

/* The value under the first of the names (NULL-ended) that has one. */
static const struct json_t *find_in(const struct json_t *obj, const char *const *names)
{
    for (; *names != NULL; names++) {
        const struct json_t *v = json_get(obj, *names);
        if (says_something(v))
            return v;
    }
    return NULL;
}

static const struct json_t *find(const struct sources *src, const char *const *names)
{
    const struct json_t *v = find_in(src->local, names);

    return v != NULL ? v : find_in(src->panel, names);
}

/* Text of a string or a whole number; NULL for anything else. */
static const char *text_or_number(const struct json_t *v, char buf[24])
{
    int64_t number;

    if (v == NULL || json_str(v) != NULL)
        return json_str(v);
    if (json_is_array(v) || json_is_object(v) || json_to_int(v, 0, &number) != ST_OK)
        return NULL;
    snprintf(buf, 24, "%lld", (long long)number);
    return buf;
}

/* ---- lists: arrays, or one text with commas ------------------------------------------------- */

struct list_reader {
    const struct json_t *v;
    size_t at;
    const char *rest; /* of a text with commas */
    bool empty_too;   /* "" is an item */
};

/* The next item without blanks around it. ST_OK, ST_EOF, ST_E_CONFIG (no text). */
static enum status next_item(struct list_reader *r, const char **item, size_t *len)
{
    if (r->rest == NULL) {
        const struct json_t *v = r->v;
        if (json_is_array(v))
            v = json_at(v, r->at);
        else if (r->at > 0)
            v = NULL;
        if (v == NULL)
            return ST_EOF;
        r->at++;
        r->rest = json_str(v);
        if (r->rest == NULL)
            return ST_E_CONFIG;
    }
    size_t n = strcspn(r->rest, ",");
    *item = r->rest;
    *len = n;
    r->rest = r->rest[n] == ',' ? r->rest + n + 1 : NULL;
    for (; *len > 0 && (**item == ' ' || **item == '\t'); (*item)++)
        (*len)--;
    while (*len > 0 && ((*item)[*len - 1] == ' ' || (*item)[*len - 1] == '\t'))
        (*len)--;
    return ST_OK;
}

static enum status count_items(const struct json_t *v, size_t *count)
{
    struct list_reader r = {.v = v};
    const char *item;
    size_t len;
    enum status st;

    for (*count = 0; (st = next_item(&r, &item, &len)) == ST_OK; (*count)++) {
        if (*count == REALITY_LIST_MAX)
            return ST_E_LIMIT;
    }
    return st == ST_EOF ? ST_OK : st;
}

static enum status read_names(struct arena *a, const struct sources *src, struct reality_conf *c,
                              struct conf_error *err)
{
    static const char *const keys[] = {"serverNames", "server_names", "serverName", "server_name",
                                       NULL};
    struct list_reader r = {.v = find(src, keys)};
    const char *item;
    size_t len, count;

    if (r.v == NULL && src->ctx->server_name != NULL)
        r.rest = src->ctx->server_name;
    enum status st = r.v != NULL ? count_items(r.v, &count) : ST_OK;
    if (st != ST_OK)
        return fail(err, "serverNames", "must be a list of names, not too long");
    if (r.v == NULL)
        count = r.rest != NULL && r.rest[0] != '\0' ? strlen(r.rest) : 0;
    if (count == 0)
        return fail(err, "serverNames", "is missing: at least one name");
    struct reality_name *names = arena_alloc(a, count * sizeof(*names));
    if (names == NULL)
        return ST_E_NOMEM;
    for (c->name_count = 0; c->name_count < count; c->name_count++) {
        st = next_item(&r, &item, &len);
        if (st != ST_OK)
            break;
        if (len > TARGET_HOST_MAX || memchr(item, '*', len) != NULL)
            return fail(err, "serverNames", "must be plain host names, without \"*\"");
        names[c->name_count].text = arena_strndup(a, item, len);
        names[c->name_count].len = (uint8_t)len;
        if (names[c->name_count].text == NULL)
            return ST_E_NOMEM;
    }
    c->names = names;
    return ST_OK;
}

static enum status read_short_ids(struct arena *a, const struct sources *src,
                                  struct reality_conf *c, struct conf_error *err)
{
    static const char *const keys[] = {"shortIds", "short_ids", "shortId", "short_id", NULL};
    struct list_reader r = {.v = find(src, keys)};
    const char *item;
    size_t len, count = 1;

    /* Nothing given stands for the one short id "". */
    if (r.v != NULL && count_items(r.v, &count) != ST_OK)
        return fail(err, "shortIds", "must be a list of texts, not too long");
    uint8_t(*ids)[REALITY_SHORT_ID_LEN] = arena_alloc(a, count * sizeof(*ids));
    if (ids == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; r.v != NULL && next_item(&r, &item, &len) == ST_OK; i++) {
        if (len > 2 * REALITY_SHORT_ID_LEN || hex_decode(ids[i], item, len) != ST_OK)
            return fail(err, "shortIds", "must be an even number of hex digits, 16 at most, each");
    }
    c->short_ids = (const uint8_t(*)[REALITY_SHORT_ID_LEN])ids;
    c->short_id_count = count;
    return ST_OK;
}

/* ---- single values -------------------------------------------------------------------------- */

static enum status read_key(const struct json_t *v, uint8_t out[32], const char *field,
                            struct conf_error *err)
{
    const char *text = json_str(v);
    uint8_t raw[BASE64_DECODED_MAX(KEY_TEXT_MAX)];
    size_t len = text != NULL ? strlen(text) : 0, n = 0;

    /* Panels also store the padded and the other alphabet's form. */
    enum status st = ST_E_CONFIG;
    for (unsigned flags = 0; st != ST_OK && flags < 4 && len > 0 && len <= KEY_TEXT_MAX; flags++)
        st = base64_decode(raw, &n, text, len, flags | BASE64_ANY_TAIL);
    bool good = st == ST_OK && n == 32;
    if (good)
        memcpy(out, raw, 32);
    crypto_wipe(raw, sizeof(raw));
    return good ? ST_OK : fail(err, field, "must be 32 bytes in base64url");
}

static enum status read_mldsa(const struct sources *src, struct reality_conf *c,
                              const uint8_t private_key[X25519_LEN], struct conf_error *err)
{
    static const char *const keys[] = {"mldsa65Seed", "mldsa65_seed", NULL};
    const struct json_t *v = find(src, keys);

    if (v == NULL)
        return ST_OK;
    enum status st = read_key(v, c->identity.mldsa_seed, "mldsa65Seed", err);
    if (st != ST_OK)
        return st;
    if (crypto_ct_equal(c->identity.mldsa_seed, private_key, X25519_LEN))
        return fail(err, "mldsa65Seed", "must not be the private key");
    if (!mldsa_available())
        return fail(err, "mldsa65Seed", MLDSA_UNAVAILABLE_TEXT);
    c->identity.mldsa = true;
    return ST_OK;
}

/* A fresh key for the certificate, as a new target would have one. */
static enum status make_identity(struct reality_conf *c)
{
    uint8_t seed[ED25519_SEED_LEN];
    struct rng rng;
    enum status st = rng_init(&rng);

    if (st != ST_OK)
        return st;
    rng_bytes(&rng, seed, sizeof(seed));
    st = flight_identity_init(&c->identity, seed);
    crypto_wipe(seed, sizeof(seed));
    rng_fini(&rng);
    return st;
}

static enum status read_keys(const struct sources *src, struct reality_conf *c,
                             struct conf_error *err)
{
    static const char *const keys[] = {"privateKey", "private_key", NULL};
    const struct json_t *v = find(src, keys);
    uint8_t private_key[X25519_LEN];

    if (v == NULL)
        return fail(err, "privateKey", "is missing");
    enum status st = read_key(v, private_key, "privateKey", err);
    if (st == ST_OK)
        st = x25519_key_new(private_key, &c->key);
    if (st == ST_OK)
        st = make_identity(c);
    if (st == ST_OK)
        st = read_mldsa(src, c, private_key, err);
    crypto_wipe(private_key, sizeof(private_key));
    return st;
}

static enum status read_dest(struct arena *a, const struct sources *src, struct reality_conf *c,
                             struct conf_error *err)
{
    static const char *const keys[] = {"dest", "target", NULL};
    static const char *const names[] = {"server_name", "serverName", NULL};
    static const char *const ports[] = {"server_port", "serverPort", NULL};
    static const char *const xvers[] = {"xver", "ProxyProtocolVer", "proxy_protocol_ver", NULL};
    char buf[24];
    int64_t port, xver;

    if (json_to_int(find(src, ports), DEFAULT_PORT, &port) != ST_OK || port < 1 || port > 65535)
        return fail(err, "server_port", "must be a port");
    const struct json_t *v = find(src, keys);
    const char *text = text_or_number(v != NULL ? v : find(src, names), buf);
    if (text == NULL && v == NULL && c->name_count > 0)
        text = c->names[0].text;
    if (text == NULL || text[0] == '\0')
        return fail(err, "dest", "is missing: host:port, a port or a Unix socket");
    enum status st = reality_dest_parse(a, text, (uint16_t)port, &c->dest);
    if (st == ST_E_CONFIG)
        return fail(err, "dest", "must be host:port, a port or a Unix socket");
    if (json_to_int(find(src, xvers), 0, &xver) != ST_OK || xver < 0 || xver > 2)
        return fail(err, "xver", "must be 0, 1 or 2");
    c->dest.xver = (uint8_t)xver;
    return st;
}

static enum status read_versions(const struct sources *src, struct reality_conf *c,
                                 struct conf_error *err)
{
    static const char *const mins[] = {"minClientVer", "min_client_ver", NULL};
    static const char *const maxs[] = {"maxClientVer", "max_client_ver", NULL};
    const struct json_t *min = find(src, mins), *max = find(src, maxs);
    char buf[24];
    const char *text = text_or_number(min, buf);

    c->has_min = min != NULL;
    c->has_max = max != NULL;
    if (min != NULL && (text == NULL || reality_version_parse(text, &c->min_version) != ST_OK))
        return fail(err, "minClientVer", "must be x.y.z");
    text = text_or_number(max, buf);
    if (max != NULL && (text == NULL || reality_version_parse(text, &c->max_version) != ST_OK))
        return fail(err, "maxClientVer", "must be x.y.z");
    if (c->has_min && c->has_max && c->min_version > c->max_version)
        return fail(err, "minClientVer", "is above maxClientVer");
    return ST_OK;
}

static enum status read_time_diff(const struct sources *src, struct reality_conf *c,
                                  struct conf_error *err)
{
    static const char *const keys[] = {"maxTimeDiff", "max_time_diff", NULL};
    const struct json_t *v = find(src, keys);
    char buf[24];
    const char *text = text_or_number(v, buf);

    if (v != NULL && (text == NULL || reality_ms_parse(text, &c->max_time_diff_ms) != ST_OK))
        return fail(err, "maxTimeDiff", "must be milliseconds, or a number with ms, s, m or h");
    return ST_OK;
}

static enum status read_limit(const struct sources *src, const char *const *keys,
                              struct aux_limit *l, struct conf_error *err)
{
    const struct json_t *v = find(src, keys);
    int64_t after, rate, burst;

    if (json_to_int(json_get(v, "afterBytes"), 0, &after) != ST_OK || after < 0 ||
        json_to_int(json_get(v, "bytesPerSec"), 0, &rate) != ST_OK || rate < 0 ||
        json_to_int(json_get(v, "burstBytesPerSec"), 0, &burst) != ST_OK || burst < 0)
        return fail(err, keys[0], "must hold afterBytes, bytesPerSec and burstBytesPerSec");
    l->after = (uint64_t)after;
    l->rate = (uint64_t)rate;
    l->burst = (uint64_t)(burst > rate ? burst : rate);
    return ST_OK;
}

enum status reality_conf_parse(struct arena *a, const struct json_t *settings,
                               const struct conf_context *ctx, const void **conf,
                               struct conf_error *err)
{
    static const char *const up[] = {"limitFallbackUpload", "limit_fallback_upload", NULL};
    static const char *const down[] = {"limitFallbackDownload", "limit_fallback_download", NULL};
    const struct sources src = {.local = ctx->reality, .panel = settings, .ctx = ctx};
    struct reality_conf *c = arena_alloc(a, sizeof(*c));

    *conf = NULL;
    err->text[0] = '\0';
    if (c == NULL)
        return ST_E_NOMEM;
    c->tails = arena_alloc(a, sizeof(*c->tails));
    if (c->tails == NULL)
        return ST_E_NOMEM;
    enum status st = read_keys(&src, c, err);
    if (st == ST_OK)
        st = read_names(a, &src, c, err);
    if (st == ST_OK)
        st = read_dest(a, &src, c, err);
    if (st == ST_OK)
        st = read_short_ids(a, &src, c, err);
    if (st == ST_OK)
        st = read_versions(&src, c, err);
    if (st == ST_OK)
        st = read_time_diff(&src, c, err);
    if (st == ST_OK)
        st = read_limit(&src, up, &c->dest.up, err);
    if (st == ST_OK)
        st = read_limit(&src, down, &c->dest.down, err);
    if (st == ST_OK)
        *conf = c;
    else
        reality_conf_free(c);
    return st;
}

void reality_conf_free(const void *conf)
{
    if (conf == NULL)
        return;
    /* The configuration was made writable by reality_conf_parse and nobody uses it any more. */
    struct reality_conf *c = (struct reality_conf *)(uintptr_t)conf;
    x25519_key_free(c->key);
    c->key = NULL;
    flight_identity_fini(&c->identity);
}
