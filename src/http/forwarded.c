#include "http/forwarded.h"

#include <string.h>

static bool is_trusted(const struct http1_head *h, const char *const *trusted, size_t n)
{
    struct http1_str value;
    for (size_t i = 0; i < n; i++)
        if (http1_field_get(h, trusted[i], &value))
            return true;
    return false;
}

bool http_forwarded_for(const struct http1_head *h, const char *const *trusted, size_t n,
                        struct addr *out)
{
    struct http1_str list;
    struct addr a;
    if (!is_trusted(h, trusted, n) || !http1_field_get(h, "x-forwarded-for", &list))
        return false;
    /* The first element, even when it is empty: later ones are whatever the client wrote. */
    const char *comma = list.len > 0 ? memchr(list.p, ',', list.len) : NULL;
    size_t len = comma != NULL ? (size_t)(comma - list.p) : list.len;
    while (len > 0 && (list.p[len - 1] == ' ' || list.p[len - 1] == '\t'))
        len--;
    if (len == 0 || addr_parse_ip(&a, list.p, len) != ST_OK)
        return false;
    addr_unmap(&a);
    a.port = 0;
    *out = a;
    return true;
}
