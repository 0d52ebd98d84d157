/* base/addr.h - addresses without sockets: IP and port, networks, and the target a client names.
 * Pure. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* ADDR_NAME: a datagram's destination is a name, see base/frame.h; of no other address. */
enum addr_family { ADDR_NONE = 0, ADDR_NAME = 1, ADDR_IP4 = 4, ADDR_IP6 = 6 };

/* ip holds 4 bytes (rest zero) or 16 bytes in network order. */
struct addr {
    uint8_t family; /* enum addr_family */
    uint16_t port;  /* host order */
    uint8_t ip[16];
};

#define ADDR_STRLEN 56 /* "[" 45 "]:65535" NUL */

/* Text of the IP alone, IPv6 in canonical lower-case compressed form (RFC 5952), no brackets;
 * "?" for ADDR_NONE. @dst takes at least ADDR_STRLEN bytes. Returns @dst. */
char *addr_ip_str(const struct addr *a, char *dst);
/* Text as "1.2.3.4:80" or "[::1]:80"; @dst takes ADDR_STRLEN bytes. Returns @dst. */
char *addr_str(const struct addr *a, char *dst);
/* Reads a numeric IP, IPv6 with or without brackets; port is left 0. ST_OK or ST_E_PROTO. */
NODISCARD enum status addr_parse_ip(struct addr *a, const char *text, size_t len);
/* ::ffff:a.b.c.d becomes a.b.c.d; everything else stays. */
void addr_unmap(struct addr *a);
/* The IPv4 address that an IPv6 one leads to: mapped (::ffff:a.b.c.d) or compatible (RFC 4291),
 * NAT64 (64:ff9b::/96, RFC 6052), 6to4 (2002::/16, RFC 3056); port 0. False: none, @ip4 is not
 * set. */
bool addr_embedded_ip4(const struct addr *a, struct addr *ip4);
bool addr_equal(const struct addr *a, const struct addr *b);    /* ip and port */
bool addr_ip_equal(const struct addr *a, const struct addr *b); /* ip only */
bool addr_is_any(const struct addr *a);                         /* 0.0.0.0 or :: or none */
/* True for addresses that lead to the host itself or its surroundings: unspecified, loopback,
 * private, CGNAT, link-local (metadata services), unique local, multicast, broadcast, reserved;
 * IPv4 inside mapped, 6to4, NAT64 forms judged alike. (RFC 6890 and the IANA special-purpose
 * registries.) */
bool addr_is_private(const struct addr *a);

/* A network such as 10.0.0.0/8. A bare address is /32 or /128. */
struct cidr {
    struct addr net;
    uint8_t bits;
};
/* Reads "ip" or "ip/bits"; the bits behind the network's may be set. ST_OK or ST_E_PROTO. */
NODISCARD enum status cidr_parse(struct cidr *c, const char *text, size_t len);
/* False also for an address of the other family: IPv4-mapped IPv6 is to be unmapped before. */
bool cidr_contains(const struct cidr *c, const struct addr *a);

#define TARGET_HOST_MAX 255

/* Where a client wants to go. host_len 0: @addr holds the IP; else @host is a name (not
 * NUL-terminated by the wire, always terminated here) and addr.port the port. */
struct target {
    struct addr addr;
    uint8_t host_len;
    char host[TARGET_HOST_MAX + 1];
};

/* Sets a name: letters, digits, '-', '.', '_' only, 1..255 bytes; an IP literal (also in brackets)
 * becomes an IP. ST_OK or ST_E_PROTO. (Xray-core 25.12.1 common/protocol/address.go.) */
NODISCARD enum status target_set_host(struct target *t, const char *host, size_t len,
                                      uint16_t port);
#define TARGET_STRLEN (TARGET_HOST_MAX + 16)
/* Text "host:port" for logs; @dst takes TARGET_STRLEN bytes. Returns @dst. */
char *target_str(const struct target *t, char *dst);

#endif
