/* control/node/node_hits.h - the hits of a node's block rules on their way to node.db: workers
 * count in memory (policy/audit_hits.h), and what has come on top since the last time is added to
 * the sums there (control/store/hit_store.h). Control thread; inside control only. */
#ifndef CONTROL_NODE_NODE_HITS_H
#define CONTROL_NODE_NODE_HITS_H

struct audit_hits;
struct node;
struct node_hits;

/* The counts of @n, made for the first time if need be; a reference. NULL: no memory. Views hold
 * them, too, for sessions that outlive the rules. */
struct node_hits *node_hits_ref(struct node *n);
void node_hits_unref(struct node_hits *h); /* NULL is fine */
/* What this process has counted; NULL: the node never had rules. */
struct audit_hits *node_hits_counted(const struct node *n);
/* Adds to the store what it does not have yet. What cannot be written is so the next time. */
void node_hits_keep(const struct node *n);

#endif
