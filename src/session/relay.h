/* session/relay.h - the two relays: of bytes (relay_bytes.c) and of datagrams (relay_packets.c),
 * and the one place that counts payload. For the files of session/. */
#ifndef SESSION_RELAY_H
#define SESSION_RELAY_H

#include "session/session.h"

/* Moves what can be moved, both ways, within a turn. May free @s. */
void relay_bytes_run(struct session *s);
/* Opens the UDP side; @target: where datagrams without destination go, or NULL. On failure
 * @why->status is set. */
void relay_packets_open(struct session *s, const struct direct_conf *conf,
                        const struct target *target, struct why *why);
/* The same for datagrams. May free @s. */
void relay_packets_run(struct session *s);
/* relay_packets_open with sockets of an earlier flow, taken over also on error. */
void relay_packets_reopen(struct session *s, const struct direct_conf *conf,
                          struct direct_udp_sockets *sockets, struct why *why);
/* Sends what it can of what the client sent. */
void relay_packets_flush(struct session *s);
/* Adds payload to the user's counters and to the node's, in one place. */
void relay_count(struct session *s, uint64_t up, uint64_t down);

#endif
