/* session/udp_service.h - a node's own UDP ports (view_node.packets): sockets, flows and what goes
 * between clients and targets. Lives on one worker, node number modulo workers, for a flow's
 * datagrams come from anywhere. Single-threaded.
 *
 *   socket --> identify, open --> flow --> direct_udp --> target
 *   socket <-- seal <------------ flow <-- direct_udp <-- target
 *
 * Datagrams that cannot be opened are dropped without a word and counted by the protocol. */
#ifndef SESSION_UDP_SERVICE_H
#define SESSION_UDP_SERVICE_H

#include "base/addr.h"
#include "base/status.h"

struct handoff;
struct plane_online;
struct udp_service;
struct user_rt;
struct view_node;
struct worker_node;

/* Opens the sockets that wn->view wants, or takes those an earlier process had there, then closes
 * others; nothing to do on other workers, and nothing is closed when it fails. ST_OK;
 * ST_E_BUSY, ST_E_IO with *@where and *@err, ST_E_NOMEM. */
NODISCARD enum status udp_service_sync(struct worker_node *wn, const struct addr **where, int *err);
/* The node is about to become @next. Flows go on if the protocol's configuration means the same,
 * else they end; sockets stay open if it is the same protocol. */
void udp_service_reset(struct worker_node *wn, const struct view_node *next);
/* Adds duplicates of the sockets to @into. Answers as handoff_add_copy. */
NODISCARD enum status udp_service_export(const struct worker_node *wn, struct handoff *into);
/* Takes no new flows; those that are open go on. */
void udp_service_stop(struct worker_node *wn);
/* Ends everything. Harmless without a service. */
void udp_service_close(struct worker_node *wn);
/* Ends the flows of removed users. */
void udp_service_close_removed(struct worker_node *wn);
/* plane.count_devices and plane.end_devices, for the flows here. */
void udp_service_count_devices(struct worker_node *wn);
void udp_service_end_devices(struct worker_node *wn);
/* Adds what flows have moved to wn->alive; open ones count even with nothing. */
void udp_service_take_alive(struct worker_node *wn);
/* As worker_online, of the flows here. */
size_t udp_service_online(const struct worker_node *wn, const struct user_rt *u,
                          struct plane_online *out, size_t max);

#endif
