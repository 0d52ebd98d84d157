/* RealityConfig: what of a REALITY listener is written locally. (docs/configuration.md, "REALITY";
 * names and ranges as in Xray-core 25.12.1 infra/conf/transport_internet.go.) */
#include "control/config/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/mem.h"
#include "transport/reality/reality_conf.h"

#define KEY_LEN      32u
#define KEY_TEXT_MAX 64u
#define LIMIT_MAX    ((uint64_t)1 << 50)

/* The text of a string, or of a whole number: people write 443 and 1.8 without quotes. */
static bool read_text(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      const char **out)
{
    int64_t number;
    char text[24];
    if (json_is_string(v) || json_is_object(v) || json_is_array(v) ||
        json_to_int(v, 0, &number) != ST_OK)
        return config_text(r, at, v, out);
    snprintf(text, sizeof(text), "%lld", (long long)number);
    *out = config_copy(r, text);
    return true;
}

static bool read_dest(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      void *dst)
{
    struct config_reality *c = dst;
    struct aux_dest dest;
    const char *s;
    if (!read_text(r, at, v, &s))
        return false;
    if (*s != '\0' && reality_dest_parse(r->a, s, 443, &dest) != ST_OK) {
        config_report(r, CONFIG_ERROR, at,
                      "\"%.64s\" cannot be used: host:port, a port, /path/of/unix.sock or "
                      "@abstract is needed",
                      s);
        return false;
    }
    c->dest = s;
    return true;
}

static bool read_xver(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      void *dst)
{
    struct config_reality *c = dst;
    uint64_t n = 0;
    if (!config_number(r, at, v, 0, 2, &n))
        return false;
    c->xver = (uint8_t)n;
    c->has_xver = true;
    return true;
}

static bool read_names(struct config_reader *r, const struct config_path *at,
                       const struct json_t *v, void *dst)
{
    struct config_reality *c = dst;
    const char *const *list;
    size_t n;
    if (!config_list(r, at, v, REALITY_LIST_MAX, &list, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strlen(list[i]) > TARGET_HOST_MAX || strpbrk(list[i], "*/: \t") != NULL) {
            config_report(r, CONFIG_ERROR, at,
                          "\"%.64s\" is no server name: plain host names, without \"*\" and port",
                          list[i]);
            return false;
        }
    }
    c->server_names = list;
    c->server_name_count = n;
    return true;
}

static bool read_short_ids(struct config_reader *r, const struct config_path *at,
                           const struct json_t *v, void *dst)
{
    struct config_reality *c = dst;
    uint8_t id[REALITY_SHORT_ID_LEN];
    const char *const *list;
    size_t n;
    if (!config_list(r, at, v, REALITY_LIST_MAX, &list, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(list[i]);
        if (len > 2 * REALITY_SHORT_ID_LEN || hex_decode(id, list[i], len) != ST_OK) {
            config_report(r, CONFIG_ERROR, at,
                          "\"%.32s\" is no short id: an even number of hex digits, 16 at most",
                          list[i]);
            return false;
        }
    }
    /* config_list leaves empty items out, but "" among the items means: clients without one. */
    bool empty = false;
    for (size_t i = 0; i < json_array_len(v); i++)
        empty = empty || *json_str(json_at(v, i)) == '\0';
    const char **all = config_alloc(r, (n + 1) * sizeof(*all));
    if (all == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        all[i] = list[i];
    all[n] = "";
    c->short_ids = all;
    c->short_id_count = n + empty;
    return true;
}

/* Secrets are not repeated in what is reported. */
static bool read_key_text(struct config_reader *r, const struct config_path *at,
                          const struct json_t *v, const char **out)
{
    uint8_t raw[BASE64_DECODED_MAX(KEY_TEXT_MAX)];
    const char *s;
    size_t n = 0;
    if (!config_text(r, at, v, &s))
        return false;
    if (strstr(s, "****") != NULL) {
        config_report(r, CONFIG_WARNING, at,
                      "is masked, as v2sp config show prints it; not used: the panel's counts");
        return true;
    }
    size_t len = strlen(s);
    enum status st = ST_E_CONFIG;
    for (unsigned flags = 0; st != ST_OK && flags < 4 && len > 0 && len <= KEY_TEXT_MAX; flags++)
        st = base64_decode(raw, &n, s, len, flags | BASE64_ANY_TAIL);
    crypto_wipe(raw, sizeof(raw));
    if (len > 0 && (st != ST_OK || n != KEY_LEN)) {
        config_report(r, CONFIG_ERROR, at,
                      "must be 32 bytes in base64url, 43 characters, as v2sp reality and v2sp "
                      "mldsa65 print them");
        return false;
    }
    *out = s;
    return true;
}

static bool read_private_key(struct config_reader *r, const struct config_path *at,
                             const struct json_t *v, void *dst)
{
    struct config_reality *c = dst;
    return read_key_text(r, at, v, &c->private_key);
}

static bool read_seed(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      void *dst)
{
    struct config_reality *c = dst;
    if (!read_key_text(r, at, v, &c->mldsa65_seed))
        return false;
    if (c->mldsa65_seed[0] == '\0' || mldsa_available())
        return true;
    config_report(r, CONFIG_ERROR, at, "%s", MLDSA_UNAVAILABLE_TEXT);
    return false;
}

static bool read_version(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, const char **out)
{
    uint32_t version;
    const char *s;
    if (!read_text(r, at, v, &s))
        return false;
    if (*s != '\0' && reality_version_parse(s, &version) != ST_OK) {
        config_report(r, CONFIG_ERROR, at, "must be x.y.z, such as \"25.1.1\"");
        return false;
    }
    *out = s;
    return true;
}

static bool read_min_version(struct config_reader *r, const struct config_path *at,
                             const struct json_t *v, void *dst)
{
    struct config_reality *c = dst;
    return read_version(r, at, v, &c->min_client_ver);
}

static bool read_max_version(struct config_reader *r, const struct config_path *at,
                             const struct json_t *v, void *dst)
{
    struct config_reality *c = dst;
    return read_version(r, at, v, &c->max_client_ver);
}

static bool read_time_diff(struct config_reader *r, const struct config_path *at,
                           const struct json_t *v, void *dst)
{
    struct config_reality *c = dst;
    uint64_t ms;
    const char *s;
    if (!read_text(r, at, v, &s))
        return false;
    if (*s != '\0' && reality_ms_parse(s, &ms) != ST_OK) {
        config_report(r, CONFIG_ERROR, at,
                      "must be milliseconds, or a number with ms, s, m or h behind it");
        return false;
    }
    c->max_time_diff = s;
    return true;
}

#define AMOUNT(field)                                                                              \
    .kind = KIND_BYTES, .state = KEY_WORKS, .unit = 1, .max = LIMIT_MAX,                           \
    .offset = offsetof(struct config_reality_limit, field)

static const struct config_key limit_keys[] = {
    {"AfterBytes", AMOUNT(after)},
    {"BytesPerSec", AMOUNT(rate)},
    {"BurstBytesPerSec", AMOUNT(burst)},
};
static const struct config_scope limit_scope = {
    "LimitFallback", limit_keys, sizeof(limit_keys) / sizeof(limit_keys[0]), CONFIG_NO_BITS};

static bool read_limit(struct config_reader *r, const struct config_path *at,
                       const struct json_t *v, struct config_reality_limit *l)
{
    if (!json_is_object(v)) {
        if (config_is_neutral(v))
            return true;
        config_report(r, CONFIG_ERROR, at,
                      "must be an object with AfterBytes, BytesPerSec and BurstBytesPerSec");
        return false;
    }
    l->given = true;
    config_walk(r, at, v, &limit_scope, ~0u, l);
    return true;
}

static bool read_limit_up(struct config_reader *r, const struct config_path *at,
                          const struct json_t *v, void *dst)
{
    return read_limit(r, at, v, &((struct config_reality *)dst)->up);
}

static bool read_limit_down(struct config_reader *r, const struct config_path *at,
                            const struct json_t *v, void *dst)
{
    return read_limit(r, at, v, &((struct config_reality *)dst)->down);
}

#define W(fn) .kind = KIND_CUSTOM, .state = KEY_WORKS, .read = (fn)

static const struct config_key reality_keys[] = {
    {"Show", .kind = KIND_NONE, .state = KEY_IGNORED, .why = "Log.Level says what is logged"},
    {"Dest", .alias = "Target", W(read_dest)},
    {"ProxyProtocolVer", .alias = "Xver", W(read_xver)},
    {"ServerNames", .alias = "ServerName", W(read_names)},
    {"PrivateKey", W(read_private_key)},
    {"MinClientVer", W(read_min_version)},
    {"MaxClientVer", W(read_max_version)},
    {"MaxTimeDiff", W(read_time_diff)},
    {"ShortIds", .alias = "ShortId", W(read_short_ids)},
    {"mldsa65Seed", W(read_seed)},
    {"LimitFallbackUpload", W(read_limit_up)},
    {"LimitFallbackDownload", W(read_limit_down)},
};
const struct config_scope config_scope_reality = {
    "RealityConfig", reality_keys, sizeof(reality_keys) / sizeof(reality_keys[0]), CONFIG_NO_BITS};

bool config_read_reality(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    if (!json_is_object(v)) {
        if (config_is_neutral(v))
            return true;
        config_report(r, CONFIG_ERROR, at, "must be an object in braces { }");
        return false;
    }
    /* XrayR's sample file has an example of it, switched off. */
    if (!d->reality_off)
        config_walk(r, at, v, &config_scope_reality, ~0u, &d->opt.reality);
    return true;
}

/* ---- for the transport ---- */

static void put_key(FILE *to, bool *first, const char *key)
{
    fprintf(to, "%s\"%s\":", *first ? "" : ",", key);
    *first = false;
}

/* Control characters were refused when the text was read. */
static void put_value(FILE *to, const char *s)
{
    fputc('"', to);
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            fputc('\\', to);
        fputc(*s, to);
    }
    fputc('"', to);
}

static void put_text(FILE *to, bool *first, const char *key, const char *s)
{
    if (*s == '\0')
        return;
    put_key(to, first, key);
    put_value(to, s);
}

static void put_list(FILE *to, bool *first, const char *key, const char *const *list, size_t n)
{
    if (n == 0)
        return;
    put_key(to, first, key);
    fputc('[', to);
    for (size_t i = 0; i < n; i++) {
        fputs(i > 0 ? "," : "", to);
        put_value(to, list[i]);
    }
    fputc(']', to);
}

static void put_limit(FILE *to, bool *first, const char *key, const struct config_reality_limit *l)
{
    if (!l->given)
        return;
    put_key(to, first, key);
    fprintf(to, "{\"afterBytes\":%llu,\"bytesPerSec\":%llu,\"burstBytesPerSec\":%llu}",
            (unsigned long long)l->after, (unsigned long long)l->rate,
            (unsigned long long)l->burst);
}

enum status config_reality_json(const struct config_reality *c, struct json_t **out)
{
    char *text = NULL;
    size_t len = 0;
    bool first = true;
    FILE *to = open_memstream(&text, &len);
    *out = NULL;
    if (to == NULL)
        return ST_E_NOMEM;
    fputc('{', to);
    put_text(to, &first, "dest", c->dest);
    if (c->has_xver) {
        put_key(to, &first, "xver");
        fprintf(to, "%u", c->xver);
    }
    put_list(to, &first, "serverNames", c->server_names, c->server_name_count);
    put_text(to, &first, "privateKey", c->private_key);
    put_text(to, &first, "minClientVer", c->min_client_ver);
    put_text(to, &first, "maxClientVer", c->max_client_ver);
    put_text(to, &first, "maxTimeDiff", c->max_time_diff);
    put_list(to, &first, "shortIds", c->short_ids, c->short_id_count);
    put_text(to, &first, "mldsa65Seed", c->mldsa65_seed);
    put_limit(to, &first, "limitFallbackUpload", &c->up);
    put_limit(to, &first, "limitFallbackDownload", &c->down);
    fputc('}', to);
    enum status st = ST_E_NOMEM;
    if (fclose(to) == 0 && !first)
        st = json_parse(text, len, out, NULL) == ST_OK ? ST_OK : ST_E_NOMEM;
    else if (first && text != NULL)
        st = ST_OK;
    if (text != NULL)
        crypto_wipe(text, len);
    free(text);
    return st;
}
