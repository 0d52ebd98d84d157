/* control/controller_upgrade.h - what one process hands to the next, and takes from the one before
 * (docs/internals/upgrade.md). Control thread. */
#ifndef CONTROL_CONTROLLER_UPGRADE_H
#define CONTROL_CONTROLLER_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/controller.h"
#include "policy/conns.h"
#include "policy/devices.h"

/* A device of a user with a limit, as two processes name it. */
struct controller_device {
    uint64_t panel, uid; /* control/node/device_book.h */
    struct device_seen seen;
};
#define CONTROLLER_DEVICES_MAX 256u

/* An address that a user is online from. */
struct controller_present {
    uint64_t uid;
    uint32_t row;   /* of the node */
    struct addr ip; /* ADDR_NONE: that was the last one of the node */
};
#define CONTROLLER_PRESENT_MAX 256u

/* How many streams a user has, or may keep: policy/conns.h. */
struct controller_streams {
    struct controller_user user;
    uint32_t count[CONN_CLASSES];
};
#define CONTROLLER_STREAMS_MAX 256u

/* Where both processes keep what is spent of a speed limit: control/joint_speed.h. */
struct controller_cell {
    struct controller_user user;
    uint32_t cell;
    bool total; /* the two cells of the node's total, down and up; of no user */
};
#define CONTROLLER_CELLS_MAX 256u

/* Number of the state database; 0: it lives in memory, and dies with this process. */
uint64_t controller_state_id(const struct controller *c);
/* Rows of the nodes that listen; @rows takes VIEW_NODES_MAX. Returns how many. */
size_t controller_listening(const struct controller *c, uint32_t *rows);
/* Is one of @rows a node here that does not listen yet? */
bool controller_waits_for(const struct controller *c, const uint32_t *rows, size_t count);

/* The new process, made with `held`: asks the panels, listens for stats and metrics as @cfg says.
 * Traffic is counted and kept, but not reported. */
void controller_begin(struct controller *c, const struct config *cfg);
/* The earlier process reports no more: this one does. */
void controller_report(struct controller *c);
/* More of the list of the earlier process's devices (device_guests.h); @count 0: it is whole,
 * others have gone. */
void controller_guests(struct controller *c, const struct controller_device *list, size_t count);
void controller_guests_gone(struct controller *c); /* it has nothing any more */
/* Memory of the earlier process (taken over), and who shares which cell of it. */
void controller_take_speed(struct controller *c, int own_fd);
void controller_take_cells(struct controller *c, const struct controller_cell *list, size_t count);
/* So many streams are in the earlier process; their places are given away before ours are. */
void controller_take_streams(struct controller *c, const struct controller_streams *list,
                             size_t count);
/* To be called every few seconds: tells setup.grant of whom it may have changed. That their places
 * are taken is told at once. */
void controller_grant_streams(struct controller *c);
/* More of who is online on nodes of the earlier process: reported with ours. */
void controller_take_present(struct controller *c, const struct controller_present *list,
                             size_t count);
/* Nodes of the earlier process have told their panels that these users are online; the next reports
 * here take back who is not. After controller_leave they are passed on to setup.left_online. */
void controller_take_online(struct controller *c, const struct controller_user *list, size_t count);
/* The earlier process may have ended: takes what it has left, if it has. */
void controller_recover(struct controller *c);

/* The old process: closes the listeners of stats, metrics and commands. */
void controller_close_ports(struct controller *c);
/* While another process is being started in the place of this one: no node asks its panel, so that
 * what the other one is given, and finds in the state database, stays true. */
void controller_hold(struct controller *c, bool hold);
/* Ends all nodes, each after its DrainTimeout; sums go to the spool and no further. A push that is
 * under way comes to its end. @done is called once, from the loop, when all have ended. */
void controller_leave(struct controller *c, void (*done)(void *arg), void *arg);
/* Users whose number of streams, with those of a yet earlier process, is another one than at the
 * last call; the caller frees them. Returns how many. */
size_t controller_streams(const struct controller *c, struct controller_streams **out);
/* Of controller_devices those that have lost their places in the later process: their sessions end.
 */
void controller_put_out(struct controller *c, const struct controller_device *list, size_t count);
/* Users with a speed limit and sessions, and nodes with a total, that have a cell and were not
 * listed yet; made now where need be. The caller frees them. Returns how many. */
size_t controller_cells(struct controller *c, struct controller_cell **out);
/* The memory they are in; borrowed. -1: none. */
int controller_speed_fd(const struct controller *c);
/* The later process lets so many be here; those over it end. */
void controller_allow_streams(struct controller *c, const struct controller_streams *list,
                              size_t count);
/* The devices of users with limits here; the caller frees them. Returns how many. */
size_t controller_devices(const struct controller *c, struct controller_device **out);
/* Must the other process not report yet? A report of this one is under way, or the one before it
 * still makes some. */
bool controller_is_pushing(const struct controller *c);
/* After controller_leave: the other process may report from now on. */
void controller_give_reports(struct controller *c);
/* The other process has removed these users: their sessions here end, and setup.removed is told for
 * one that is even older. */
void controller_remove_users(struct controller *c, const struct controller_user *list,
                             size_t count);

#endif
