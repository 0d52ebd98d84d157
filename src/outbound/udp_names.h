/* outbound/udp_names.h - the names that the datagrams of one flow go to, each looked up once and
 * pinned as long as it is in use: an address that changed in the middle would break what runs over
 * it. A part of direct_udp. */
#ifndef OUTBOUND_UDP_NAMES_H
#define OUTBOUND_UDP_NAMES_H

#include "outbound/direct.h"

#define UDP_NAMES_MAX     8           /* of one flow; the least recently used makes room */
#define UDP_NAMES_WAITING (32 * 1024) /* bytes that wait for one lookup; more are dropped */

struct udp_names;

/* @conf and what @env points at outlive it. @fn is called from the loop when datagrams have become
 * ready. NULL: no memory. */
struct udp_names *udp_names_new(const struct direct_env *env, const struct direct_conf *conf,
                                void *arg, void (*fn)(void *arg));
void udp_names_free(struct udp_names *n); /* NULL is fine */

/* Finds the address of a datagram with a name (base/frame.h).
 *   ST_OK    s->peer is an address now
 *   ST_MORE  the lookup goes on: @s was taken and comes back in udp_names_ready
 *   error    as resolve_answer.status or family_pick say: no usable address; ST_E_LIMIT: too many
 *            wait. The caller drops @s */
NODISCARD enum status udp_names_find(struct udp_names *n, struct span *s);
/* Datagrams that waited and have an address now; the caller takes what it sends. */
struct bufq *udp_names_ready(struct udp_names *n);

#endif
