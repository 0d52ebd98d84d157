#include "stream/env.h"

#include <string.h>

enum status conn_info_set(struct pool *p, char **slot, const char *text, size_t len)
{
    if (len > TARGET_HOST_MAX)
        return ST_E_LIMIT;
    char *copy = pool_alloc(p, len + 1);
    if (copy == NULL)
        return ST_E_NOMEM;
    memcpy(copy, text, len);
    if (*slot)
        pool_release(p, *slot, strlen(*slot) + 1);
    *slot = copy;
    return ST_OK;
}

static void clear(struct pool *p, char **slot)
{
    if (*slot)
        pool_release(p, *slot, strlen(*slot) + 1);
    *slot = NULL;
}

void conn_info_clear(struct pool *p, struct conn_info *info)
{
    clear(p, &info->sni);
    clear(p, &info->alpn);
}
