/* control/dynamic_service.h - dynamic limits at work: feeds them from the counters, ends them in
 * time, gives them to the users of the nodes and says so. Control thread. */
#ifndef CONTROL_DYNAMIC_SERVICE_H
#define CONTROL_DYNAMIC_SERVICE_H

struct dynamic_service;
struct list;
struct node_env;

/* Observes env->counters and sets env->dynamic; both are borrowed, as are @nodes (struct
 * node.link). NULL: no memory. */
struct dynamic_service *dynamic_service_new(struct node_env *env, const struct list *nodes);
/* No sample may be taken after that, and no node is left. NULL is fine. */
void dynamic_service_free(struct dynamic_service *s);

/* A sample was taken. */
void dynamic_service_sampled(struct dynamic_service *s);

#endif
