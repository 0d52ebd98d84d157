/* app/check_target.h - "v2sp check --online" looks at the target of a REALITY node: one line for
 * each thing it finds. One thread. */
#ifndef APP_CHECK_TARGET_H
#define APP_CHECK_TARGET_H

#include <stdbool.h>

struct check_target;
struct config_node;
struct loop;
struct resolver;
struct served_node;

/* Looks at the target of @s (taken over), once for each of its first four server names; *@open
 * counts what is still under way. NULL: no memory (said). */
struct check_target *check_target_start(struct loop *l, struct resolver *r,
                                        const struct config_node *node, struct served_node *own_s,
                                        unsigned *open);
/* Prints what was found and frees. Returns how many errors there were, adds to @warnings how many
 * of those. NULL is fine. */
unsigned check_target_end(struct check_target *t, unsigned *warnings);

#endif
