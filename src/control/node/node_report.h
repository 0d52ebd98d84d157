/* control/node/node_report.h - a report to a panel while it is written, and sending it. Control
 * thread; inside of the reporter. */
#ifndef CONTROL_NODE_NODE_REPORT_H
#define CONTROL_NODE_NODE_REPORT_H

#include "base/status.h"
#include "panel/v2sp/request.h"

struct node;
struct panel_call;
struct panel_reply;

struct node_report {
    struct v2sp_body b; /* b.text: malloc'ed; the owner's until it is posted */
    size_t room;
};

/* An empty report. ST_OK; ST_E_NOMEM: there is nothing to free. */
NODISCARD enum status node_report_open(struct node_report *t);
/* Room for one more piece. ST_OK or ST_E_NOMEM. */
NODISCARD enum status node_report_room(struct node_report *t);
/* Posts @own, which is closed, as @action of @n. @key NULL: without Idempotency-Key, else @seq goes
 * with it. @done as panel_request.done. NULL: no memory, or ApiHost is no address (said). */
struct panel_call *node_report_post(struct node *n, enum v2sp_action action,
                                    struct node_report *own, const char *key, uint64_t seq,
                                    void (*done)(void *arg, const struct panel_reply *), void *arg);
/* Milliseconds between two pushes of @n, as the panel wishes. */
uint64_t node_report_interval(const struct node *n);

#endif
