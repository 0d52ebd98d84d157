/* io/sockaddr.h - between struct addr and the kernel's socket addresses. Stateless, thread-safe. */
#ifndef IO_SOCKADDR_H
#define IO_SOCKADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/addr.h"

/* Room for either family; pass &sa.any and the length returned by sockaddr_from_addr to the kernel.
 */
union sockaddr_any {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
};

/* Fills @sa from @a and returns its length; 0 for ADDR_NONE (then @sa is AF_UNSPEC). */
socklen_t sockaddr_from_addr(union sockaddr_any *sa, const struct addr *a);
/* As sockaddr_from_addr, but always IPv6: IPv4 becomes ::ffff:a.b.c.d, for a dual-stack socket. */
socklen_t sockaddr_from_addr_mapped(union sockaddr_any *sa, const struct addr *a);
/* Fills @a from the kernel's @sa of @len bytes, IPv4-mapped IPv6 as IPv4. Any other family, or too
 * short: ADDR_NONE. */
void sockaddr_to_addr(struct addr *a, const struct sockaddr *sa, socklen_t len);
/* AF_INET, AF_INET6 or AF_UNSPEC. */
int sockaddr_family(const struct addr *a);

/* Address of this end (getsockname) and of the other end (getpeername); ADDR_NONE if the kernel has
 * none. */
void sockaddr_local(int fd, struct addr *a);
void sockaddr_peer(int fd, struct addr *a);

#endif
