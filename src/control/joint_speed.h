/* control/joint_speed.h - memory in which two processes keep what users and nodes have spent of
 * their speed limits, so that after an upgrade both together move no more than one may. Control
 * thread; inside control only.
 *
 * A file without a name that both map, in cells of a cache line each: a user's buckets, or one
 * direction of a node's total. The old process makes it when it stops accepting, and tells the new
 * one which cell is whose. A bucket is one atomic word of virtual time, on a clock that is the
 * machine's: nothing else is exchanged, and nothing is to be undone when one of them ends. A
 * process that got one from its predecessor goes on with that, so that it holds over three as
 * well. Cells are not given back: they go with the file, when an upgrade begins with a process
 * that has none. */
#ifndef CONTROL_JOINT_SPEED_H
#define CONTROL_JOINT_SPEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOINT_SPEED_NONE UINT32_MAX

struct joint_speed;

/* NULL: no memory. Nothing is opened yet. */
struct joint_speed *joint_speed_new(void);
/* Nobody may use a cell any more. NULL is fine. */
void joint_speed_free(struct joint_speed *j);
/* The predecessor's file; taken over. False: there is one already, which stays, and whose cells are
 * others. */
bool joint_speed_take(struct joint_speed *j, int own_fd);
/* Its descriptor, borrowed; -1: none yet. */
int joint_speed_fd(const struct joint_speed *j);
/* @count cells in a row that nobody has, zeroed; JOINT_SPEED_NONE: no memory. */
uint32_t joint_speed_add(struct joint_speed *j, uint32_t count);
/* Cell @no of @count, for as long as @j; NULL: they are not in the file, or no memory. */
void *joint_speed_at(struct joint_speed *j, uint32_t no, uint32_t count);
/* Which cell @p is; JOINT_SPEED_NONE: none. */
uint32_t joint_speed_no(const struct joint_speed *j, const void *p);

#endif
