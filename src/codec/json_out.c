#include "codec/json_out.h"

#include <inttypes.h>
#include <stddef.h>

static void begin(struct json_out *o, const char *key)
{
    if (o->more)
        textbuf_put(o->t, ",", 1);
    o->more = true;
    if (key == NULL)
        return;
    textbuf_json(o->t, key);
    textbuf_put(o->t, ":", 1);
}

void json_out_object(struct json_out *o, const char *key)
{
    begin(o, key);
    textbuf_put(o->t, "{", 1);
    o->more = false;
}

void json_out_array(struct json_out *o, const char *key)
{
    begin(o, key);
    textbuf_put(o->t, "[", 1);
    o->more = false;
}

void json_out_end_object(struct json_out *o)
{
    textbuf_put(o->t, "}", 1);
    o->more = true;
}

void json_out_end_array(struct json_out *o)
{
    textbuf_put(o->t, "]", 1);
    o->more = true;
}

void json_out_str(struct json_out *o, const char *key, const char *text)
{
    begin(o, key);
    if (text != NULL)
        textbuf_json(o->t, text);
    else
        textbuf_puts(o->t, "null");
}

void json_out_num(struct json_out *o, const char *key, uint64_t v)
{
    begin(o, key);
    textbuf_printf(o->t, "%" PRIu64, v);
}

void json_out_milli(struct json_out *o, const char *key, uint64_t milli)
{
    begin(o, key);
    textbuf_printf(o->t, "%" PRIu64, milli / 1000);
    if (milli % 1000 != 0)
        textbuf_printf(o->t, ".%03u", (unsigned)(milli % 1000));
}

void json_out_int(struct json_out *o, const char *key, int64_t v)
{
    begin(o, key);
    textbuf_int(o->t, v);
}

void json_out_bool(struct json_out *o, const char *key, bool v)
{
    begin(o, key);
    textbuf_puts(o->t, v ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *key)
{
    begin(o, key);
    textbuf_puts(o->t, "null");
}
