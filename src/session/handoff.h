/* session/handoff.h - listening sockets on their way from one process to the next, in an upgrade:
 * what the workers of the old one give, and what those of the new one take from. Any thread.
 *
 * They are the same sockets, not new ones on the same address: to close one of an SO_REUSEPORT
 * group resets the connections in its queue. The numbers of workers may differ, so a worker takes
 * its share of what there is for an address, which may be several sockets or none. */
#ifndef SESSION_HANDOFF_H
#define SESSION_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/status.h"

struct handoff;

#define HANDOFF_MAX 16384u /* sockets: 64 workers at 256 addresses */

struct handoff_key {
    struct addr where;
    bool udp;
    bool v6only; /* IPv6 only: an IPv4 socket has no such thing */
};

/* NULL: no memory. */
struct handoff *handoff_new(void);
/* Closes what nobody has taken. NULL is fine. */
void handoff_free(struct handoff *h);

/* Adds a socket, the callee's from now on also when it fails. ST_OK; ST_E_NOMEM; ST_E_LIMIT. */
NODISCARD enum status handoff_add(struct handoff *h, const struct handoff_key *key, int own_fd);
/* The same with a copy of @fd, which stays the caller's. Also ST_E_IO: there are no more
 * descriptors. */
NODISCARD enum status handoff_add_copy(struct handoff *h, const struct handoff_key *key, int fd);
/* False: one could not be added. A socket that the next process does not get would be closed, and
 * what waits in its queue reset. */
bool handoff_is_whole(const struct handoff *h);
/* The next socket for @key of the share @part of @parts, now the caller's; -1: no more. */
int handoff_take(struct handoff *h, const struct handoff_key *key, unsigned part, unsigned parts);
/* Closes what nobody has taken: the address is served no longer. */
void handoff_close(struct handoff *h);

/* How many have been added, and socket @i of them as it was added; -1 when it is taken or closed.
 * For who passes them on, while nobody takes. */
size_t handoff_count(const struct handoff *h);
int handoff_peek(const struct handoff *h, size_t i, struct handoff_key *key);

#endif
