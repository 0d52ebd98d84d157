/* Whatever the bytes, parsing ends, and an error has a place and a text. */
#include <stdlib.h>

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const struct json_t *v)
{
    int64_t n;
    bool b;
    if (json_to_int(v, 0, &n) != ST_OK || json_to_bool(v, false, &b) != ST_OK)
        b = json_is_object(v);
    for (void *it = json_first(v); it != NULL; it = json_next(v, it))
        touch(json_iter_value(it));
    for (size_t i = 0; i < json_array_len(v); i++)
        touch(json_at(v, i));
    (void)json_get(v, "nodes");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_t *v;
    struct json_error err = {0};
    enum status st = json_parse((const char *)data, size, &v, &err);
    if (st == ST_OK)
        touch(v);
    else if (v != NULL || err.line < 1 || err.column < 1 || err.text[0] == '\0')
        abort();
    json_unref(v);
    return 0;
}
