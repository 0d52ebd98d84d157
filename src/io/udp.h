/* io/udp.h - datagram sockets, moved in batches (recvmmsg, sendmmsg).
 *
 * Single-threaded. A worker owns one udp_batch, all its sockets share it. */
#ifndef IO_UDP_H
#define IO_UDP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

#define UDP_BATCH        32
#define UDP_DATAGRAM_MAX BLK_DATA /* larger ones are dropped when they come in */

struct udp_batch;

/* ST_OK or ST_E_NOMEM. About 500 KiB of the pool's budget, most of it never touched. */
NODISCARD enum status udp_batch_new(struct pool *pool, struct udp_batch **out);
void udp_batch_free(struct udp_batch *b); /* NULL is fine */

/* Opens a non-blocking, unconnected socket. @bind_to: source ip and port (port 0: any). ADDR_NONE:
 * a dual-stack socket that serves IPv4 as well, or a plain IPv4 one where the kernel has no IPv6.
 * *@dual tells whether the socket is an IPv6 one. ST_OK, ST_E_LIMIT (no fd left), ST_E_BUSY (port
 * taken), ST_E_IO; *@err (may be NULL) is the errno. */
NODISCARD enum status udp_open(const struct addr *bind_to, int *fd, bool *dual, int *err);

/* Reads at most UDP_BATCH datagrams while @q has room: one span each, span.peer = source
 * (IPv4-mapped as IPv4).
 *   ST_OK       the socket is drained: the next datagram is a new edge
 *   ST_YIELD    there may be more: call again, @q permitting
 *   ST_FULL     @q is at its cap
 *   ST_E_NOMEM  no buffer; nothing lost: call later */
NODISCARD enum status udp_recv(struct udp_batch *b, int fd, struct bufq *q);

/* Sends from the head of @q until it is empty: each span to its peer, or to @dflt (may be NULL) if
 * it has none. Datagrams of one size to one address go as one message that the kernel cuts. Sent
 * spans are freed. What the kernel refuses for one destination (unreachable, too big, wrong family,
 * none) is dropped and counted in *@dropped (may be NULL).
 *   ST_OK    @q is empty
 *   ST_FULL  the socket takes no more now: wait for writable
 *   ST_E_IO  the socket is unusable, *@err (may be NULL) is the errno */
NODISCARD enum status udp_send(struct udp_batch *b, int fd, bool dual, struct bufq *q,
                               const struct addr *dflt, size_t *dropped, int *err);

#endif
