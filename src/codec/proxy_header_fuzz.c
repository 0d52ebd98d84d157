/* A header is judged the same in every prefix that holds it, and what was read can be written and
 * read again. */
#include <stdlib.h>

#include "codec/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h, again;
    size_t used, n;
    enum status st = proxy_header_parse(data, size, &h, &used), step = ST_MORE;
    for (size_t k = 0; k <= size && k <= PROXY_HEADER_MAX && step == ST_MORE; k++)
        step = proxy_header_parse(data, k, &again, &n);
    check(step == st || (st == ST_MORE && size > PROXY_HEADER_MAX));
    check(st != ST_MORE || size < PROXY_HEADER_MAX);
    if (st != ST_OK)
        return 0;
    check(used <= size && n == used && addr_equal(&h.src, &again.src));
    for (unsigned version = 1; version <= 2; version++) {
        uint8_t out[PROXY_HEADER_BUILD_MAX];
        size_t len = proxy_header_build(out, version, &h.src, &h.dst);
        check(len <= sizeof(out) && proxy_header_parse(out, len, &again, &n) == ST_OK && n == len);
        check(addr_equal(&again.src, &h.src) && addr_equal(&again.dst, &h.dst));
    }
    return 0;
}
