/* control/node/node_rules.h - the block rules of one node: those of its panel and those of its
 * file, as its view shows them. Control thread; inside control only. */
#ifndef CONTROL_NODE_NODE_RULES_H
#define CONTROL_NODE_NODE_RULES_H

#include "policy/audit.h"

struct json_t;
struct node;
struct node_hits;
struct rule_list;
struct served_node;

/* Part of a served_node, and there as long. */
struct node_rules {
    struct audit audit;
    struct rule_list *panel, *file; /* NULL: none */
    struct node_hits *hits;
};

/* Gives @s, made from the panel's @reply, the rules that hold for @n, and says what is wrong with
 * them unless @n has them already. Rules that cannot be had do not keep a node from serving. */
void node_rules_load(struct node *n, const struct json_t *reply, struct served_node *s);
void node_rules_free(struct node_rules *r); /* NULL is fine */
/* The node's file is there and not what was read; a missing one is said. */
bool node_rules_stale(struct node *n);

#endif
