/* Whatever is read as a request lies inside the message. */
#include <stdlib.h>

#include "control/stats/stats_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void inside(struct grpc_str s, const uint8_t *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)s.p;
    check(s.len == 0 || (p >= data && p + s.len <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stats_get get;
    struct stats_query query;

    if (stats_request_get(data, size, &get) == ST_OK)
        inside(get.name, data, size);
    if (stats_request_query(data, size, &query) != ST_OK)
        return 0;
    check(query.count <= STATS_PATTERNS_MAX);
    for (size_t i = 0; i < query.count; i++)
        inside(query.patterns[i], data, size);
    return 0;
}
