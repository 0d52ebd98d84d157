/* policy/fallback.h - where a connection goes that is not ours: the table of fallbacks by server
 * name, ALPN and path. Pure, const once built.
 *
 * Source: Xray-core 25.12.1 proxy/vless/inbound/inbound.go, infra/conf/vless.go. */
#ifndef POLICY_FALLBACK_H
#define POLICY_FALLBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct arena;

enum fallback_kind { FALLBACK_TCP, FALLBACK_UNIX };

/* One configured row. Texts are the caller's while building, copied into the arena. */
struct fallback_rule {
    const char *name, *alpn, *path; /* "" = any */
    const char *dest;               /* "80", "host:port", "/unix.sock", "@abstract", "@@padded" */
    uint8_t xver;                   /* 0 none, 1, 2: PROXY header version */
};

struct fallback_dest {
    enum fallback_kind kind;
    const char *host; /* TCP: name or IP literal; UNIX: path, a leading '@' meaning abstract */
    uint16_t port;
    bool padded; /* abstract name padded with zeros to 108 bytes ("@@") */
    uint8_t xver;
};

struct fallback_table;

/* Builds the table: later duplicates win; then named rows inherit what "" has. ST_OK, ST_E_NOMEM,
 * or ST_E_CONFIG with *@bad the index of the unusable row (empty dest, bad port, path without '/',
 * xver > 2). */
NODISCARD enum status fallback_build(struct arena *a, const struct fallback_rule *rules, size_t n,
                                     const struct fallback_table **out, size_t *bad);
/* Looks up by SNI and ALPN (lower case, NULL = none) and the first bytes the client sent. NULL:
 * close the connection. */
const struct fallback_dest *fallback_find(const struct fallback_table *t, const char *sni,
                                          const char *alpn, const uint8_t *first, size_t len);

#endif
