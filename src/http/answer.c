#include "http/answer.h"

#include <stdio.h>
#include <string.h>

#include "codec/http1_write.h"

static enum status put_span(struct bufq *out, struct pool *p, const char *text, size_t n)
{
    struct span *s = span_new_for(p, n);
    if (s == NULL)
        return ST_E_NOMEM;
    memcpy(span_data(s), text, n);
    s->len = (uint32_t)n;
    s->flags = SPAN_EDGE;
    bufq_push(out, s);
    return ST_OK;
}

enum status http_refuse(struct bufq *out, struct pool *p, const struct http_refusal *r,
                        int64_t unix_s)
{
    char buf[512];
    struct http1_writer w;
    size_t body = r->text != NULL ? strlen(r->text) : 0;

    /* The order of Go: own fields by name, then Date, Content-Length, Connection. */
    http1_begin_response(&w, buf, sizeof(buf) - 64, r->status, NULL);
    if (body > 0)
        http1_add_field(&w, "Content-Type", "text/plain; charset=utf-8");
    if (r->field != NULL)
        http1_add_field(&w, r->field, r->field_value);
    if (body > 0)
        http1_add_field(&w, "X-Content-Type-Options", "nosniff");
    http1_add_date(&w, unix_s);
    http1_add_number(&w, "Content-Length", body);
    if (r->close)
        http1_add_field(&w, "Connection", "close");
    BUG_ON(http1_end(&w) != ST_OK || body > 64);
    if (body > 0 && !r->head) {
        memcpy(buf + w.len, r->text, body);
        w.len += body;
    }
    return put_span(out, p, buf, w.len);
}

enum status http_refuse_bytes(struct bufq *out, struct pool *p, enum status st,
                              const struct http1_head *h)
{
    static const char fields[] =
        "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n";
    const char *line = "400 Bad Request", *body = line;
    if (st == ST_E_LIMIT) {
        line = body = "431 Request Header Fields Too Large";
    } else if (st == ST_E_UNSUPPORTED && h->minor == HTTP1_MINOR_OTHER) {
        line = body = "505 HTTP Version Not Supported: unsupported protocol version";
    } else if (st == ST_E_UNSUPPORTED) {
        line = "501 Not Implemented";
        body = "Unsupported transfer encoding";
    }
    char buf[320];
    int n = snprintf(buf, sizeof(buf), "HTTP/1.1 %s\r\n%s%s", line, fields, body);
    return put_span(out, p, buf, (size_t)n);
}
