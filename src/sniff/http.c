/* HTTP/1: the request line, then field lines up to Host. Lenient where servers differ (a bare LF,
 * blanks before the colon, any case of the method, empty lines before the request, "HTTP/1.10"),
 * for what a server might accept must be found; codec/http1.h, which serves clients, is strict. */
#include <string.h>

#include "base/ascii.h"
#include "sniff/sniff.h"

/* A borrowed piece of the head. */
struct text {
    const uint8_t *p;
    size_t len;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_line_end(uint8_t c)
{
    return c == '\r' || c == '\n';
}

static uint8_t upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c - ('a' - 'A')) : c;
}

/* Compares the first @n characters in any case. */
static bool same_text(const uint8_t *p, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (upper(p[i]) != upper((uint8_t)word[i]))
            return false;
    return true;
}

static struct text trim(struct text t)
{
    while (t.len > 0 && is_blank(t.p[0])) {
        t.p++;
        t.len--;
    }
    while (t.len > 0 && is_blank(t.p[t.len - 1]))
        t.len--;
    return t;
}

/* ST_OK: @p begins with a method and its blank; *@len, the method's. ST_MORE, ST_E_NOTFOUND. */
static enum status read_method(const uint8_t *p, size_t n, size_t *len)
{
    static const char *const methods[] = {"GET",     "POST",    "HEAD",  "PUT",  "DELETE",
                                          "OPTIONS", "CONNECT", "PATCH", "TRACE"};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        size_t want = strlen(methods[i]), have = n < want ? n : want;
        if (!same_text(p, methods[i], have))
            continue;
        if (n <= want)
            return ST_MORE; /* no method begins with another */
        *len = want;
        return p[want] == ' ' ? ST_OK : ST_E_NOTFOUND;
    }
    return ST_E_NOTFOUND;
}

/* Cuts the next line off @rest, without its end. False: its end has not come. */
static bool next_line(struct text *rest, struct text *line)
{
    const uint8_t *end = memchr(rest->p, '\n', rest->len);

    if (end == NULL)
        return false;
    *line = (struct text){rest->p, (size_t)(end - rest->p)};
    rest->len -= line->len + 1;
    rest->p = end + 1;
    if (line->len > 0 && line->p[line->len - 1] == '\r')
        line->len--;
    return true;
}

static bool has_control(struct text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.p[i] < ' ' && t.p[i] != '\r')
            return true;
    return false;
}

/* What stands between the method and " HTTP/1.x". False: this is another protocol. */
static bool read_target(struct text line, size_t method, struct text *target)
{
    static const char version[] = " HTTP/1.";
    size_t tail = sizeof(version) - 1;

    line = trim(line);
    size_t end = line.len;
    while (end > method && ascii_is_digit((char)line.p[end - 1]))
        end--;
    if (end == line.len || end < method + tail || !same_text(line.p + end - tail, version, tail))
        return false;
    *target = trim((struct text){line.p + method, end - method - tail});
    return true;
}

/* A target that names the server outranks Host (RFC 9112 sections 3.2.2, 3.2.3). */
static bool take_authority(struct text target, bool connect, struct sniff *out)
{
    if (!connect) {
        const uint8_t *slash = memchr(target.p, '/', target.len);
        if (slash == NULL || slash == target.p || slash[-1] != ':')
            return false;
        target.len -= (size_t)(slash - target.p);
        target.p = slash;
        if (target.len < 2 || target.p[1] != '/')
            return false;
        target.p += 2;
        target.len -= 2;
    }
    for (size_t i = 0; i < target.len; i++)
        if (strchr("/?#", target.p[i]) != NULL)
            target.len = i;
    const uint8_t *at = memchr(target.p, '@', target.len);
    if (at != NULL) {
        target.len -= (size_t)(at + 1 - target.p);
        target.p = at + 1;
    }
    sniff_set_authority(out, target.p, target.len);
    return out->host[0] != '\0';
}

static bool is_host(struct text line, struct text *value)
{
    const uint8_t *colon = memchr(line.p, ':', line.len);

    if (colon == NULL || is_blank(line.p[0])) /* a folded line goes on with the field before it */
        return false;
    struct text name = trim((struct text){line.p, (size_t)(colon - line.p)});
    *value = trim((struct text){colon + 1, line.len - (size_t)(colon + 1 - line.p)});
    return name.len == 4 && same_text(name.p, "host", 4);
}

/* Field lines up to Host, the first one, or the end of the head: a body may say what it likes. */
static enum status find_host(struct text rest, struct sniff *out)
{
    struct text line, value;

    while (next_line(&rest, &line)) {
        if (line.len == 0)
            return ST_OK;
        if (!is_host(line, &value))
            continue;
        /* Obsolete, but Apache takes it: the value may stand on the line that goes on with it. */
        while (value.len == 0) {
            if (rest.len == 0)
                return ST_MORE;
            if (!is_blank(rest.p[0]))
                return ST_OK;
            if (!next_line(&rest, &line))
                return ST_MORE;
            value = trim(line);
        }
        sniff_set_authority(out, value.p, value.len);
        return ST_OK;
    }
    return ST_MORE;
}

/* The server's name: from the target, else from Host; where they differ, both. */
static enum status find_names(struct text target, bool connect, struct text rest, struct sniff *out)
{
    enum status st = find_host(rest, out);

    memcpy(out->other, out->host, sizeof(out->other));
    if (take_authority(target, connect, out) && strcmp(out->host, out->other) != 0)
        return st;
    memcpy(out->host, out->other, sizeof(out->host));
    out->other[0] = '\0';
    return st;
}

/* Before a request servers skip empty lines (RFC 9112 section 2.2). */
static void skip_empty_lines(struct text *rest)
{
    while (rest->len > 0 && is_line_end(rest->p[0])) {
        rest->p++;
        rest->len--;
    }
}

enum status sniff_http(const struct bufq *in, struct sniff *out)
{
    uint8_t head[SNIFF_STREAM_MAX];
    size_t n = bufq_peek(in, head, 8), method = 0;
    enum status st = is_line_end(head[0]) ? ST_OK : read_method(head, n, &method);

    if (st != ST_OK)
        return st; /* as most of what is no HTTP, without a look at the rest */
    struct text rest = {head, bufq_peek(in, head, sizeof(head))}, line, target;
    skip_empty_lines(&rest);
    st = rest.len > 0 ? read_method(rest.p, rest.len, &method) : ST_MORE;
    if (st != ST_OK)
        return st;
    bool connect = upper(rest.p[0]) == 'C';
    if (!next_line(&rest, &line))
        return has_control(rest) ? ST_E_NOTFOUND : ST_MORE;
    if (has_control(line) || !read_target(line, method, &target))
        return ST_E_NOTFOUND;
    out->protocol = SNIFF_HTTP1;
    return find_names(target, connect, rest, out);
}
