#include "codec/http1.h"

#include <string.h>

#include "base/ascii.h"
#include "codec/percent.h"

/* Characters of a token (RFC 9110 section 5.6.2), as a bit set over 0..127. */
static bool is_token_char(char ch)
{
    unsigned char c = (unsigned char)ch;
    if (ascii_is_letter(ch) || ascii_is_digit(ch))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http1_str_is(struct http1_str s, const char *text)
{
    for (size_t i = 0; i < s.len; i++)
        if (text[i] == '\0' || ascii_lower(s.p[i]) != ascii_lower(text[i]))
            return false;
    return text[s.len] == '\0';
}

bool http1_str_equal(struct http1_str s, const char *text)
{
    return strlen(text) == s.len && (s.len == 0 || memcmp(s.p, text, s.len) == 0);
}

static struct http1_str trimmed(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct http1_str){p, (size_t)(end - p)};
}

static const char *find(const char *p, const char *end, char c)
{
    return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

/* ---- first lines ----------------------------------------------------------------------------- */

/* "HTTP/1.x" at @p..@end. */
static enum status parse_version(const char *p, const char *end, struct http1_head *h)
{
    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.' || p[5] < '0' || p[5] > '9' ||
        p[7] < '0' || p[7] > '9')
        return ST_E_PROTO;
    if (p[5] != '1') {
        h->minor = HTTP1_MINOR_OTHER;
        return ST_E_UNSUPPORTED;
    }
    h->minor =
        p[7] == '0' ? 0 : 1; /* a higher minor version is compatible (RFC 9110 section 2.5) */
    return ST_OK;
}

static bool is_visible(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f)
            return false;
    return true;
}

static void set_path(struct http1_head *h, const char *p, const char *end)
{
    const char *q = find(p, end, '?');
    h->path = (struct http1_str){p, (size_t)((q != NULL ? q : end) - p)};
    if (q != NULL)
        h->query = (struct http1_str){q + 1, (size_t)(end - q - 1)};
    else
        h->query = (struct http1_str){end, 0};
}

/* The four forms of RFC 9112 section 3.2. */
static enum status parse_target(struct http1_head *h)
{
    const char *p = h->target.p, *end = p + h->target.len;
    if (h->target.len == 0 || !is_visible(p, h->target.len))
        return ST_E_PROTO;
    if (http1_str_equal(h->method, "CONNECT")) {
        h->host = h->target;
        h->path = h->query = (struct http1_str){end, 0};
        return *p == '/' ? ST_E_PROTO : ST_OK;
    }
    if (*p == '/') {
        set_path(h, p, end);
        return ST_OK;
    }
    if (http1_str_equal(h->target, "*")) {
        h->path = h->target;
        h->query = (struct http1_str){end, 0};
        return http1_str_equal(h->method, "OPTIONS") ? ST_OK : ST_E_PROTO;
    }
    struct http1_str scheme = {p, 0};
    const char *colon = find(p, end, ':');
    if (colon == NULL || end - colon < 3 || memcmp(colon, "://", 3) != 0)
        return ST_E_PROTO;
    scheme.len = (size_t)(colon - p);
    if (!http1_str_is(scheme, "http") && !http1_str_is(scheme, "https") &&
        !http1_str_is(scheme, "ws") && !http1_str_is(scheme, "wss"))
        return ST_E_PROTO;
    const char *host = colon + 3, *rest = host;
    while (rest < end && *rest != '/' && *rest != '?')
        rest++;
    if (rest == host || find(host, rest, '@') != NULL)
        return ST_E_PROTO;
    h->host = (struct http1_str){host, (size_t)(rest - host)};
    set_path(h, rest, end);
    if (h->path.len == 0)
        h->path = (struct http1_str){"/", 1};
    return ST_OK;
}

static enum status parse_request_line(const char *p, const char *end, struct http1_head *h)
{
    const char *sp = find(p, end, ' ');
    if (sp == NULL || sp == p)
        return ST_E_PROTO;
    for (const char *c = p; c < sp; c++)
        if (!is_token_char(*c))
            return ST_E_PROTO;
    const char *last = find(sp + 1, end, ' ');
    if (last == NULL)
        return ST_E_PROTO;
    h->method = (struct http1_str){p, (size_t)(sp - p)};
    h->target = (struct http1_str){sp + 1, (size_t)(last - sp - 1)};
    enum status st = parse_version(last + 1, end, h);
    return st != ST_OK ? st : parse_target(h);
}

static enum status parse_status_line(const char *p, const char *end, struct http1_head *h)
{
    if (end - p < 12 || p[8] != ' ' || (end - p > 12 && p[12] != ' '))
        return ST_E_PROTO;
    enum status st = parse_version(p, p + 8, h);
    if (st != ST_OK)
        return st;
    unsigned status = 0;
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return ST_E_PROTO;
        status = status * 10 + (unsigned)(p[i] - '0');
    }
    if (status < 100 || status > 599)
        return ST_E_PROTO;
    h->status = (uint16_t)status;
    h->reason = end - p > 13 ? trimmed(p + 13, end) : (struct http1_str){end, 0};
    return ST_OK;
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* "name: value" with a token for a name and no control characters in the value (RFC 9112 section
 * 5). */
static bool field_is_valid(const char *p, const char *end)
{
    const char *colon = find(p, end, ':');
    if (colon == NULL || colon == p)
        return false;
    for (const char *c = p; c < colon; c++)
        if (!is_token_char(*c))
            return false;
    for (const char *c = colon + 1; c < end; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

bool http1_field_next(const struct http1_head *h, struct http1_field *f)
{
    const char *p = h->fields.p + f->next, *end = h->fields.p + h->fields.len;
    if (f->next >= h->fields.len)
        return false;
    /* Every line was judged by the parser: it has a colon and ends in CRLF. */
    const char *eol = find(p, end, '\n');
    const char *colon = find(p, eol, ':');
    f->name = (struct http1_str){p, (size_t)(colon - p)};
    f->value = trimmed(colon + 1, eol - 1);
    f->next = (size_t)(eol + 1 - h->fields.p);
    return true;
}

bool http1_field_get(const struct http1_head *h, const char *name, struct http1_str *value)
{
    struct http1_field f = {0};
    while (http1_field_next(h, &f)) {
        if (http1_str_is(f.name, name)) {
            *value = f.value;
            return true;
        }
    }
    return false;
}

bool http1_list_next(struct http1_str *list, struct http1_str *element)
{
    while (list->len > 0) {
        const char *end = list->p + list->len, *comma = find(list->p, end, ',');
        *element = trimmed(list->p, comma != NULL ? comma : end);
        const char *rest = comma != NULL ? comma + 1 : end;
        *list = (struct http1_str){rest, (size_t)(end - rest)};
        if (element->len > 0)
            return true;
    }
    return false;
}

bool http1_field_has_token(const struct http1_head *h, const char *name, const char *token)
{
    struct http1_field f = {0};
    while (http1_field_next(h, &f)) {
        struct http1_str element;
        if (!http1_str_is(f.name, name))
            continue;
        while (http1_list_next(&f.value, &element))
            if (http1_str_is(element, token))
                return true;
    }
    return false;
}

static bool parse_length(struct http1_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return true;
}

/* A host may be anything but what would end it or start something else. */
static bool host_is_valid(struct http1_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f ||
            strchr("/\\?#@<>\"{}^`|,", s.p[i]) != NULL)
            return false;
    return true;
}

/* What the fields say about host, body and connection. */
static enum status judge_fields(struct http1_head *h)
{
    struct http1_field f = {0};
    struct http1_str host = {h->fields.p, 0};
    unsigned hosts = 0, lengths = 0, codings = 0;
    bool chunked = false;

    while (http1_field_next(h, &f)) {
        if (http1_str_is(f.name, "host")) {
            hosts++;
            host = f.value;
        } else if (http1_str_is(f.name, "content-length")) {
            if (lengths++ > 0 || !parse_length(f.value, &h->content_length))
                return ST_E_PROTO;
            h->body = HTTP1_BODY_LENGTH;
        } else if (http1_str_is(f.name, "transfer-encoding")) {
            codings++;
            chunked = http1_str_is(f.value, "chunked");
        }
    }
    if (codings > 0) {
        if (lengths > 0 || codings > 1 || h->minor == 0)
            return ST_E_PROTO;
        if (!chunked)
            return ST_E_UNSUPPORTED;
        h->body = HTTP1_BODY_CHUNKED;
    }
    if (h->status == 0) {
        if (hosts > 1 || (hosts == 0 && h->minor > 0) || !host_is_valid(host))
            return ST_E_PROTO;
        if (h->host.len == 0)
            h->host = host;
    } else if (h->status < 200 || h->status == 204 || h->status == 304) {
        h->body = HTTP1_BODY_NONE;
    } else if (h->body == HTTP1_BODY_NONE) {
        h->body = HTTP1_BODY_CLOSE;
    }
    if (h->minor == 0)
        h->keep_alive = http1_field_has_token(h, "connection", "keep-alive");
    else
        h->keep_alive = !http1_field_has_token(h, "connection", "close");
    return ST_OK;
}

/* ---- the whole head -------------------------------------------------------------------------- */

typedef enum status first_line_fn(const char *p, const char *end, struct http1_head *h);

static enum status parse(const char *buf, size_t len, struct http1_scan *scan, struct http1_head *h,
                         first_line_fn *first_line)
{
    enum status st;
    memset(h, 0, sizeof(*h));
    if (len > HTTP1_HEAD_MAX)
        len = HTTP1_HEAD_MAX;
    for (;;) {
        const char *lf = find(buf + scan->pos, buf + len, '\n');
        if (lf == NULL) {
            scan->pos = len;
            return len == HTTP1_HEAD_MAX ? ST_E_LIMIT : ST_MORE;
        }
        const char *line = buf + scan->line, *end = lf - 1;
        if (lf == line || *end != '\r')
            return ST_E_PROTO;
        if (scan->line > 0 && end == line)
            break;
        if (scan->line == 0 && (st = first_line(line, end, h)) != ST_OK)
            return st;
        if (scan->line > 0 && !field_is_valid(line, end))
            return ST_E_PROTO;
        scan->line = scan->pos = (size_t)(lf + 1 - buf);
    }
    /* Texts of an earlier call may lie in a buffer that has moved since. */
    const char *first_end = memchr(buf, '\n', len);
    st = first_line(buf, first_end - 1, h);
    if (st != ST_OK)
        return st;
    h->fields = (struct http1_str){first_end + 1, (size_t)(buf + scan->line - first_end - 1)};
    h->size = scan->line + 2;
    return judge_fields(h);
}

enum status http1_parse_request(const char *buf, size_t len, struct http1_scan *scan,
                                struct http1_head *h)
{
    return parse(buf, len, scan, h, parse_request_line);
}

enum status http1_parse_response(const char *buf, size_t len, struct http1_scan *scan,
                                 struct http1_head *h)
{
    return parse(buf, len, scan, h, parse_status_line);
}

/* ---- paths and queries ----------------------------------------------------------------------- */

enum status http1_path_decode(const struct http1_head *h, char *dst, size_t *len)
{
    return percent_decode(dst, len, h->path.p, h->path.len, 0);
}

bool http1_query_next(struct http1_str *query, struct http1_str *key, struct http1_str *value)
{
    while (query->len > 0) {
        const char *p = query->p, *end = p + query->len, *amp = find(p, end, '&');
        const char *stop = amp != NULL ? amp : end, *eq = find(p, stop, '=');
        const char *rest = amp != NULL ? amp + 1 : end;
        *query = (struct http1_str){rest, (size_t)(end - rest)};
        if (stop == p)
            continue;
        *key = (struct http1_str){p, (size_t)((eq != NULL ? eq : stop) - p)};
        *value = eq != NULL ? (struct http1_str){eq + 1, (size_t)(stop - eq - 1)}
                            : (struct http1_str){stop, 0};
        return true;
    }
    return false;
}

/* Whether an encoded key means @key. */
static bool key_is(struct http1_str encoded, const char *key)
{
    char buf[128];
    size_t len;
    if (encoded.len >= sizeof(buf))
        return false;
    return percent_decode(buf, &len, encoded.p, encoded.len, PERCENT_FORM) == ST_OK &&
           http1_str_equal((struct http1_str){buf, len}, key);
}

enum status http1_query_get(struct http1_str query, const char *key, char *dst, size_t cap)
{
    struct http1_str k, v;
    while (http1_query_next(&query, &k, &v)) {
        size_t len;
        if (!key_is(k, key))
            continue;
        if (v.len >= cap) /* its encoded length: three times too careful at worst */
            return ST_E_LIMIT;
        if (percent_decode(dst, &len, v.p, v.len, PERCENT_FORM) != ST_OK || strlen(dst) != len)
            return ST_E_PROTO;
        return ST_OK;
    }
    return ST_E_NOTFOUND;
}
