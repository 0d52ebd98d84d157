/* Cut anywhere, the events stay the same; and what jansson takes, the reader takes. */
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/json_lax.h"
#include "codec/json_pull.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (const uint8_t *b = p; n != 0; n--, b++)
        h = (h ^ *b) * 0x100000001B3u;
    return h;
}

/* A digest of all events and of how it ended. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t cut, enum status *end)
{
    struct json_pull p;
    uint64_t h = 0xCBF29CE484222325u;
    size_t at = 0;
    enum status st;
    json_pull_init(&p);
    while ((st = json_pull_next(&p)) != ST_EOF && !status_is_error(st)) {
        if (st == ST_MORE) {
            size_t n = size - at < cut ? size - at : cut;
            json_pull_feed(&p, data + at, n);
            at += n;
            if (n == 0)
                json_pull_end(&p);
            continue;
        }
        if (strlen(p.text) != p.text_len || p.depth > JSON_PULL_DEPTH)
            abort();
        h = mix(h, &p.event, sizeof(p.event));
        h = mix(h, p.text, p.text_len);
        h = mix(h, &p.offset, sizeof(p.offset));
    }
    h = mix(h, &p.offset, sizeof(p.offset));
    *end = st;
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum status whole, cut, bytes;
    uint64_t h = read_all(data, size, size != 0 ? size : 1, &whole);
    if (h != read_all(data, size, size != 0 ? data[0] % 7u + 1u : 1, &cut) || whole != cut)
        abort();
    if (h != read_all(data, size, 1, &bytes) || whole != bytes)
        abort();

    /* Comments make jansson's side more lenient, bad UTF-8 and huge numbers ours. */
    struct json_t *v;
    if (memchr(data, '/', size) == NULL && memchr(data, ',', size) == NULL) {
        enum status st = json_parse((const char *)data, size, &v, NULL);
        if (st == ST_OK && whole != ST_EOF)
            abort();
        json_unref(v);
    }
    return 0;
}
