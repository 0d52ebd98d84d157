/* http/forwarded.h - whom a reverse proxy says it speaks for. Pure. Source: Xray-core 25.12.1
 * common/protocol/http/headers.go and transport/internet/websocket/hub.go. */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "codec/http1.h"

/* Reads the client's address from the first X-Forwarded-For field: its first element, an IP with or
 * without brackets and without a port. It is believed only when one of the @n fields named in
 * @trusted is in the request, so with n == 0 never: anyone who reaches the node directly could
 * forge it. *@out gets port 0. False: keep the address known so far. */
bool http_forwarded_for(const struct http1_head *h, const char *const *trusted, size_t n,
                        struct addr *out);

#endif
