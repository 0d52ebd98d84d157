/* ClientHellos in records, cut as the first byte says; then the same bytes as a bare message. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const uint8_t *msg, size_t len)
{
    struct hello h;

    if (hello_parse(msg, len, &h) != ST_OK)
        return;
    (void)hello_has_u16(h.ciphers, 0x1301);
    (void)hello_has_u16(h.versions, 0x0304);
    (void)hello_has_alpn(&h, "h2");
    struct reader key = hello_key_share(&h, 29);
    if (!key.bad && (key.p < msg || key.end > msg + len))
        abort();
    if (h.sni.p < msg || h.sni.end > msg + len || h.random < msg || h.random + 32 > msg + len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *p = pool_new(0);
    struct bufq in;
    size_t wire, msg, cut;

    if (size < 1)
        goto out;
    cut = data[0] == 0 ? BLK_DATA : data[0];
    look(data + 1, size - 1);
    bufq_init(&in, UINT32_MAX);
    for (size_t at = 1; at < size; at += cut) {
        size_t n = size - at < cut ? size - at : cut;
        struct span *s = span_new_for(p, n);
        memcpy(span_data(s), data + at, n);
        s->len = (uint32_t)n;
        bufq_push(&in, s);
    }
    if (hello_locate(&in, HELLO_MAX, &wire, &msg) == ST_OK) {
        if (wire > in.bytes || msg > wire || msg > HELLO_MAX)
            abort();
        uint8_t *copy = malloc(msg);
        hello_copy(&in, copy, msg);
        look(copy, msg);
        free(copy);
    }
    bufq_clear(&in, p);
out:
    pool_free(p);
    return 0;
}
