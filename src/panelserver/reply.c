#include "panelserver/reply.h"

#include <string.h>

static void set(struct reply *r, unsigned status, struct textbuf *t)
{
    r->status = status;
    if (body_new(t, &r->body) != ST_OK)
        r->body = NULL;
}

void reply_error(struct reply *r, unsigned status, const char *code, const char *message,
                 const char *parameter)
{
    struct textbuf t;
    textbuf_init(&t);
    textbuf_puts(&t, "{\"message\":");
    textbuf_json(&t, message);
    textbuf_puts(&t, ",\"code\":");
    textbuf_json(&t, code);
    textbuf_puts(&t, ",\"details\":{");
    if (parameter != NULL) {
        textbuf_puts(&t, "\"parameter\":");
        textbuf_json(&t, parameter);
    }
    textbuf_puts(&t, "}}");
    set(r, status, &t);
}

void reply_ok(struct reply *r)
{
    struct textbuf t;
    textbuf_init(&t);
    textbuf_puts(&t, "{\"message\":\"ok\"}");
    set(r, 200, &t);
}

void reply_take(struct reply *r, struct textbuf *t)
{
    set(r, 200, t);
    r->tagged = r->body != NULL;
    if (r->body == NULL)
        r->status = 500;
}

void reply_fini(struct reply *r)
{
    body_unref(r->body);
    memset(r, 0, sizeof *r);
}
