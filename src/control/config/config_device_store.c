#include "control/config/config_device_store.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"
#include "control/config/config_keys.h"

#define PORT_DEFAULT 6379u
#define HOST_MAX     255u

void config_device_store_init(struct config_device_store *s)
{
    *s = (struct config_device_store){.address = "",
                                      .path = "",
                                      .host = "",
                                      .username = "",
                                      .password = "",
                                      .ca = "",
                                      .server_name = "",
                                      .cert_file = "",
                                      .key_file = "",
                                      .prefix = "v2sp:dev:",
                                      .expiry_s = 60,
                                      .timeout_ms = 5000};
}

bool config_device_store_equal(const struct config_device_store *a,
                               const struct config_device_store *b)
{
    return a->on == b->on && strcmp(a->path, b->path) == 0 && strcmp(a->host, b->host) == 0 &&
           a->port == b->port && strcmp(a->username, b->username) == 0 &&
           strcmp(a->password, b->password) == 0 && a->tls == b->tls &&
           a->insecure == b->insecure && strcmp(a->ca, b->ca) == 0 &&
           strcmp(a->server_name, b->server_name) == 0 && strcmp(a->cert_file, b->cert_file) == 0 &&
           strcmp(a->key_file, b->key_file) == 0 && a->db == b->db &&
           strcmp(a->prefix, b->prefix) == 0 && a->expiry_s == b->expiry_s &&
           a->timeout_ms == b->timeout_ms;
}

/* What is read, before it is known whether it is meant. */
struct draft {
    struct config_device_store store;
    bool enable;
    bool is_unix; /* RedisNetwork */
};

static bool read_type(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                      void *dst)
{
    struct draft *d = dst;
    const char *s = json_str(v);

    if (s != NULL && (*s == '\0' || strcasecmp(s, "none") == 0)) {
        d->enable = false;
        return true;
    }
    if (s != NULL && strcasecmp(s, "redis") == 0)
        return true;
    config_report(r, CONFIG_ERROR, at, "must be redis, or none");
    return false;
}

static bool read_network(struct config_reader *r, const struct config_path *at,
                         const struct json_t *v, void *dst)
{
    struct draft *d = dst;
    const char *s = json_str(v);

    if (s == NULL || (strcasecmp(s, "tcp") != 0 && strcasecmp(s, "unix") != 0)) {
        config_report(r, CONFIG_ERROR, at, "must be tcp or unix");
        return false;
    }
    d->is_unix = strcasecmp(s, "unix") == 0;
    return true;
}

#define STORE(m) .state = KEY_WORKS, .offset = offsetof(struct draft, store.m)

static const struct config_key store_keys[] = {
    {"Enable", .state = KEY_WORKS, .kind = KIND_BOOL, .offset = offsetof(struct draft, enable)},
    {"Type", .state = KEY_WORKS, .kind = KIND_CUSTOM, .read = read_type},
    {"Network", .alias = "RedisNetwork", .state = KEY_WORKS, .kind = KIND_CUSTOM,
     .read = read_network},
    {"Address", .alias = "RedisAddr", STORE(address), .kind = KIND_TEXT},
    {"Username", .alias = "RedisUsername", STORE(username), .kind = KIND_TEXT},
    {"Password", .alias = "RedisPassword", STORE(password), .kind = KIND_TEXT},
    {"TLS", STORE(tls), .kind = KIND_BOOL},
    {"CA", STORE(ca), .kind = KIND_TEXT},
    {"ServerName", STORE(server_name), .kind = KIND_TEXT},
    {"CertFile", STORE(cert_file), .kind = KIND_TEXT},
    {"KeyFile", STORE(key_file), .kind = KIND_TEXT},
    {"Insecure", STORE(insecure), .kind = KIND_BOOL},
    {"DB", .alias = "RedisDB", STORE(db), .kind = KIND_U32, .max = 1u << 20},
    {"Prefix", STORE(prefix), .kind = KIND_TEXT},
    {"Expiry", STORE(expiry_s), .kind = KIND_SECONDS, .unit = 1000, .min = 3000, .max = 86400000},
    {"Timeout", STORE(timeout_ms), .kind = KIND_MS, .unit = 1000, .min = 100, .max = 60000},
};
static const struct config_scope store_scope = {
    "DeviceStore", store_keys, sizeof(store_keys) / sizeof(store_keys[0]), CONFIG_NO_BITS};

static bool parse_port(const char *text, uint16_t *out)
{
    char *end = NULL;
    unsigned long n = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;

    if (n == 0 || n > 65535 || *end != '\0')
        return false;
    *out = (uint16_t)n;
    return true;
}

/* "host", "host:port", "1.2.3.4:6379", "[::1]:6379", "::1" */
static bool parse_host(struct config_reader *r, const char *text, struct config_device_store *s)
{
    const char *first = strchr(text, ':'), *last = strrchr(text, ':'), *close = strchr(text, ']');
    const char *port = NULL;
    size_t len = strlen(text);

    if (text[0] == '[') {
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return false;
        port = close[1] == ':' ? close + 2 : NULL;
        len = (size_t)(close - ++text);
    } else if (first != NULL && first == last) {
        port = first + 1;
        len = (size_t)(first - text);
    }
    s->port = PORT_DEFAULT;
    if (len == 0 || len > HOST_MAX || strcspn(text, "/@ \t") < len ||
        (port != NULL && !parse_port(port, &s->port)))
        return false;
    s->host = config_copy_part(r, text, len);
    return true;
}

static bool parse_address(struct config_reader *r, const struct config_path *at, struct draft *d)
{
    struct config_device_store *s = &d->store;
    const char *path = strncasecmp(s->address, "unix:", 5) == 0 ? s->address + 5 : s->address;

    if (s->address[0] == '\0') {
        config_report(r, CONFIG_ERROR, at, "Address is missing: host:port, or unix:/path");
        return false;
    }
    if (strncmp(path, "///", 3) == 0) /* as a URL */
        path += 2;
    if (d->is_unix || path[0] == '/') {
        s->path = path;
        if (path[0] == '/' && strlen(path) <= CONFIG_STORE_PATH_MAX)
            return true;
    } else if (path == s->address && parse_host(r, path, s)) {
        return true;
    }
    /* What stands in it may be a URL with a password. */
    config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "Address"),
                  "cannot be used: host:port, or unix:/path is needed; a password goes into "
                  "Password");
    return false;
}

static bool check_tls(struct config_reader *r, const struct config_path *at,
                      const struct config_device_store *s)
{
    const char *const texts[] = {s->ca, s->server_name, s->cert_file, s->key_file};
    bool given = s->insecure;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        given |= texts[i][0] != '\0';
    if (!s->tls) {
        if (given)
            config_report(r, CONFIG_WARNING, at,
                          "CA, ServerName, CertFile, KeyFile and Insecure have no effect without "
                          "TLS");
        return true;
    }
    if (s->path[0] != '\0')
        config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "TLS"), "is for TCP, not for a unix socket");
    else if ((s->cert_file[0] == '\0') != (s->key_file[0] == '\0'))
        config_report(r, CONFIG_ERROR, at, "CertFile and KeyFile belong together");
    else if (strlen(s->server_name) > HOST_MAX)
        config_report(r, CONFIG_ERROR, CONFIG_KEY(at, "ServerName"), "is too long");
    else
        return true;
    return false;
}

static bool read_store(struct config_reader *r, const struct config_path *at,
                       const struct json_t *v, bool enabled, struct config_device_store *out)
{
    struct draft d = {.enable = enabled};

    config_device_store_init(&d.store);
    if (!json_is_object(v) || json_is_array(v)) {
        if (!config_is_neutral(v)) {
            config_report(r, CONFIG_ERROR, at, "must be an object in braces { }");
            return false;
        }
        d.enable = false;
    } else {
        config_walk(r, at, v, &store_scope, ~0u, &d);
    }
    if (d.enable && (!parse_address(r, at, &d) || !check_tls(r, at, &d.store)))
        return false;
    d.store.given = true;
    d.store.on = d.enable;
    *out = d.store;
    return true;
}

bool config_read_device_store(struct config_reader *r, const struct config_path *at,
                              const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    return read_store(r, at, v, true, &d->opt.device_store);
}

/* XrayR's is off unless it says Enable. */
bool config_read_global_device_limit(struct config_reader *r, const struct config_path *at,
                                     const struct json_t *v, void *dst)
{
    struct config_draft *d = dst;
    struct config_device_store s;

    if (!read_store(r, at, v, false, &s))
        return false;
    if (s.on || !d->opt.device_store.given)
        d->opt.device_store = s;
    return true;
}

bool config_read_top_device_store(struct config_reader *r, const struct config_path *at,
                                  const struct json_t *v, void *dst)
{
    struct config *cfg = dst;
    return read_store(r, at, v, true, &cfg->device_store);
}
