/* Streams, cut as the first byte says, then grown piece by piece: a decision never changes. */
#include <stdlib.h>
#include <string.h>

#include "sniff/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *p = pool_new(0);
    struct sniff out, first = {0};
    enum status st = ST_MORE;
    struct bufq in;
    size_t cut;

    if (size < 1)
        goto out;
    cut = data[0] == 0 ? BLK_DATA : data[0] * 16u;
    bufq_init(&in, UINT32_MAX);
    for (size_t at = 1; at < size; at += cut) {
        size_t n = size - at < cut ? size - at : cut;
        struct span *s = span_new_for(p, n);
        memcpy(span_data(s), data + at, n);
        s->len = (uint32_t)n;
        bufq_push(&in, s);
        enum status now = sniff_stream(&in, &out);
        if (memchr(out.host, 0, sizeof(out.host)) == NULL ||
            memchr(out.other, 0, sizeof(out.other)) == NULL || in.bytes != at - 1 + n)
            abort();
        if (st != ST_MORE && (now != st || memcmp(&out, &first, sizeof(out)) != 0))
            abort();
        if (now == ST_MORE && in.bytes >= SNIFF_STREAM_MAX)
            abort();
        if (first.protocol != SNIFF_NONE && out.protocol != first.protocol)
            abort();
        if (first.host[0] != '\0' && strcmp(out.host, first.host) != 0)
            abort();
        st = now;
        first = out;
    }
    bufq_clear(&in, p);
out:
    pool_free(p);
    return 0;
}
