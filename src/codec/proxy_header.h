/* codec/proxy_header.h - the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt). Pure.
 * Reads what go-proxyproto 0.8 reads, which is what balancers in front of Xray-core nodes are set
 * up for. */
#ifndef CODEC_PROXY_HEADER_H
#define CODEC_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define PROXY_HEADER_MAX       4096u /* longest header read; version 1 ends at 107 */
#define PROXY_HEADER_BUILD_MAX 120u

struct proxy_header {
    /* Family ADDR_NONE: keep the socket's addresses (UNKNOWN, LOCAL, a unix socket's). */
    struct addr src, dst;
};

/* Reads a header from the @len bytes at @p. TLVs are skipped; v4-mapped addresses become IPv4.
 *   ST_OK       *@h is filled; the stream begins at p + *@used
 *   ST_MORE     so far it may become one
 *   ST_E_PROTO  no header, or a broken one;  ST_E_LIMIT  longer than PROXY_HEADER_MAX */
NODISCARD enum status proxy_header_parse(const uint8_t *p, size_t len, struct proxy_header *h,
                                         size_t *used);

/* Writes a header of @version (1 or 2) that says the connection came from @src and arrived at @dst;
 * without two addresses UNKNOWN or LOCAL. Of two families both are written as IPv6. @out takes
 * PROXY_HEADER_BUILD_MAX bytes. Returns the size. */
size_t proxy_header_build(uint8_t *out, unsigned version, const struct addr *src,
                          const struct addr *dst);

#endif
