#include "http/host_path.h"

#include <string.h>

#include "codec/percent.h"

static const char *find_last(struct http1_str s, char c)
{
    for (size_t i = s.len; i-- > 0;)
        if (s.p[i] == c)
            return s.p + i;
    return NULL;
}

/* "host:port" and "[host]:port" as Go's net.SplitHostPort takes them apart; empty when it would
 * not. */
static struct http1_str without_port(struct http1_str s)
{
    const struct http1_str none = {s.p, 0};
    const char *end = s.p + s.len, *colon = find_last(s, ':');
    if (s.p[0] == '[') {
        const char *close = memchr(s.p, ']', s.len);
        if (close == NULL || close + 1 == end || close + 1 != colon)
            return none;
        return (struct http1_str){s.p + 1, (size_t)(close - s.p - 1)};
    }
    if (memchr(s.p, ':', s.len) != colon)
        return none;
    return (struct http1_str){s.p, (size_t)(colon - s.p)};
}

bool http_host_matches(const char *configured, struct http1_str host)
{
    if (host.len > 0 && memchr(host.p, ':', host.len) != NULL)
        host = without_port(host);
    return http1_str_is(host, configured);
}

static bool is_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9')
            return false;
    return true;
}

static uint32_t number(struct http1_str s)
{
    uint64_t v = 0;
    if (!is_digits(s.p, s.len))
        return 0;
    for (size_t i = 0; i < s.len && v <= UINT32_MAX; i++)
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    return v <= UINT32_MAX ? (uint32_t)v : 0;
}

/* Copies @query to @dst without its "ed" parameters; returns the length, and in *@ed the first of
 * their values. */
static size_t cut_ed(char *dst, struct http1_str query, uint32_t *ed)
{
    struct http1_str key, value;
    size_t len = 0;
    *ed = 0;
    while (http1_query_next(&query, &key, &value)) {
        if (http1_str_equal(key, "ed")) {
            *ed = *ed == 0 ? number(value) : *ed;
            continue;
        }
        if (len > 0)
            dst[len++] = '&';
        /* Key and value lie side by side in the query. */
        size_t pair = (size_t)(value.p + value.len - key.p);
        memcpy(dst + len, key.p, pair);
        len += pair;
    }
    return len;
}

/* Whether the query has an "ed" with a value: an empty one leaves the path as it is, as in
 * Xray-core. */
static bool has_ed(struct http1_str query)
{
    struct http1_str key, value;
    while (http1_query_next(&query, &key, &value))
        if (http1_str_equal(key, "ed"))
            return value.len > 0;
    return false;
}

enum status http_path_parse(struct arena *a, const char *configured, struct http_path *out)
{
    if (configured == NULL)
        configured = "";
    size_t len = strlen(configured);
    char *text = arena_alloc(a, len + 2), *decoded = arena_alloc(a, len + 2);
    if (text == NULL || decoded == NULL)
        return ST_E_NOMEM;
    *out = (struct http_path){.text = text, .decoded = decoded};

    size_t at = 0;
    const char *mark = strchr(configured, '?');
    struct http1_str query = {mark, 0};
    if (mark != NULL) {
        query.p++;
        query.len = strlen(mark + 1);
    }
    if (configured[0] != '/')
        text[at++] = '/';
    if (mark != NULL && has_ed(query)) {
        size_t path = (size_t)(mark - configured);
        memcpy(text + at, configured, path);
        at += path;
        size_t rest = cut_ed(text + at + 1, query, &out->early_data);
        if (rest > 0) {
            text[at] = '?';
            at += rest + 1;
        }
    } else {
        memcpy(text + at, configured, len);
        at += len;
    }
    text[at] = '\0';
    out->text_len = at;
    if (percent_decode(decoded, &out->decoded_len, text, at, 0) != ST_OK) {
        memcpy(decoded, text, at + 1);
        out->decoded_len = at;
    }
    return ST_OK;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool matches(const struct http_path *p, const char *path, size_t len)
{
    return same(p->text, p->text_len, path, len) || same(p->decoded, p->decoded_len, path, len);
}

bool http_path_matches(const struct http_path *p, const char *decoded, size_t len)
{
    if (matches(p, decoded, len))
        return true;
    const char *mark = find_last((struct http1_str){decoded, len}, '?');
    if (mark == NULL)
        return false;
    size_t path = (size_t)(mark - decoded), tail = len - path;
    return tail > 4 && memcmp(mark, "?ed=", 4) == 0 && is_digits(mark + 4, tail - 4) &&
           matches(p, decoded, path);
}
