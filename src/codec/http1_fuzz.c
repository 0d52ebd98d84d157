/* A head means the same however it is cut, its parts lie inside it, and a chunked body ends or is
 * refused whatever its cuts. The first byte chooses what is parsed. */
#include <stdlib.h>
#include <string.h>

#include "codec/http1.h"
#include "codec/http1_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void inside(const char *buf, const struct http1_head *h, struct http1_str s)
{
    static const char slash[] = "/";
    check(s.len == 0 || (s.p >= buf && s.p + s.len <= buf + h->size) ||
          (s.len == 1 && *s.p == *slash));
}

static void walk(const char *buf, const struct http1_head *h)
{
    static char path[HTTP1_HEAD_MAX + 1];
    struct http1_field f = {0};
    struct http1_str query = h->query, key, value;
    char out[64];
    size_t len, fields = 0;
    inside(buf, h, h->method);
    inside(buf, h, h->host);
    inside(buf, h, h->path);
    inside(buf, h, h->query);
    while (http1_field_next(h, &f)) {
        inside(buf, h, f.name);
        inside(buf, h, f.value);
        struct http1_str list = f.value, element;
        while (http1_list_next(&list, &element))
            inside(buf, h, element);
        check(++fields < HTTP1_HEAD_MAX);
    }
    while (http1_query_next(&query, &key, &value)) {
        inside(buf, h, key);
        inside(buf, h, value);
    }
    if (http1_path_decode(h, path, &len) == ST_OK)
        check(len <= h->path.len);
    (void)!http1_query_get(h->query, "action", out, sizeof(out));
    (void)http1_field_has_token(h, "connection", "upgrade");
}

static void fuzz_head(const char *buf, size_t len, bool response)
{
    enum status (*parse)(const char *, size_t, struct http1_scan *, struct http1_head *) =
        response ? http1_parse_response : http1_parse_request;
    struct http1_scan scan = {0}, steps = {0};
    struct http1_head h, again;
    enum status st = parse(buf, len, &scan, &h), step = ST_MORE;
    for (size_t n = 0; n <= len && step == ST_MORE; n++)
        step = parse(buf, n, &steps, &again);
    check(step == st);
    if (st != ST_OK)
        return;
    check(h.size == again.size && h.size <= len && h.body == again.body &&
          h.content_length == again.content_length && h.keep_alive == again.keep_alive);
    walk(buf, &h);
}

/* Decodes in steps of @step bytes; the body's length and end must not depend on it. */
static enum status decode(const uint8_t *in, size_t len, size_t step, size_t *body, size_t *end)
{
    struct http1_chunked c = {0};
    size_t at = 0, have = 0;
    enum status st = ST_MORE;
    *body = 0;
    while (st == ST_MORE && have < len) {
        have = len - have < step ? len : have + step;
        do {
            size_t used, n;
            const uint8_t *data;
            st = http1_chunked_read(&c, in + at, have - at, &used, &data, &n);
            check(used <= have - at && (n == 0 || (data >= in + at && data + n <= in + have)));
            at += used;
            *body += n;
        } while (st == ST_OK);
    }
    *end = at;
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] != 'C') {
        fuzz_head((const char *)data + 1, size - 1, data[0] == 'R');
        return 0;
    }
    size_t body[2], end[2];
    enum status a = decode(data + 1, size - 1, size, &body[0], &end[0]);
    enum status b = decode(data + 1, size - 1, 1, &body[1], &end[1]);
    check(a == b && body[0] == body[1] && (a < 0 || end[0] == end[1]));
    return 0;
}
