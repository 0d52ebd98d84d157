/* control/admin/spool_service.h - GET /spool, POST /spool/replay and POST /spool/drop of the admin
 * socket: spool_orders.h on the database of the process that runs, so that nobody else writes
 * it. Control thread only. */
#ifndef CONTROL_ADMIN_SPOOL_SERVICE_H
#define CONTROL_ADMIN_SPOOL_SERVICE_H

struct admin;
struct list;
struct node_env;
struct spool_service;

/* Adds its requests to @admin. Everything is borrowed for its life; @nodes: struct node.link. NULL:
 * no memory. */
struct spool_service *spool_service_new(struct node_env *env, const struct list *nodes,
                                        struct admin *admin);
void spool_service_free(struct spool_service *s); /* NULL is fine */

#endif
