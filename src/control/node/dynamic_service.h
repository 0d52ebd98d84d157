/* control/node/dynamic_service.h - dynamic limits at work: feeds them from the counters, ends
 * them in time, gives them to the users of the nodes and says so. Control thread. */
#ifndef CONTROL_NODE_DYNAMIC_SERVICE_H
#define CONTROL_NODE_DYNAMIC_SERVICE_H

#include <stdbool.h>

struct dynamic_service;
struct list;
struct node_env;

/* Observes env->counters and sets env->dynamic; both are borrowed, as are @nodes (struct
 * node.link). NULL: no memory. */
struct dynamic_service *dynamic_service_new(struct node_env *env, const struct list *nodes);
/* No sample may be taken after that, and no node is left. NULL is fine. */
void dynamic_service_free(struct dynamic_service *s);

/* Goes on with the limits that an earlier process has left in the store: before the nodes are made,
 * or, where that process was serving until now, when they are, for those that have a rule. */
void dynamic_service_resume(struct dynamic_service *s, bool ruled);
/* A sample was taken. */
void dynamic_service_sampled(struct dynamic_service *s);
/* Leaves in the store what has changed, if this process reports: another one is to go on with
 * it. To be called before it is told so. */
void dynamic_service_keep(struct dynamic_service *s);

#endif
