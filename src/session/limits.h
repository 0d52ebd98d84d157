/* session/limits.h - the limits of a user that count: devices and streams. Single-threaded but for
 * what policy/user_devices.h and policy/user_live.h share. */
#ifndef SESSION_LIMITS_H
#define SESSION_LIMITS_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/status.h"
#include "policy/conns.h"

struct device;
struct stream_entry;
struct user_rt;
struct worker_node;

/* What a session, or a flow of a node's own UDP port, holds of its user's limits. Zeroed:
 * nothing. */
struct claim {
    struct device *device;       /* its place among his devices; NULL: not counted */
    struct stream_entry *stream; /* among his streams; NULL: not counted */
    enum conn_class class;       /* of a stream */
    /* Its place among the streams was given to a newer one: ends the owner, whose member it is. */
    void (*end)(struct claim *c);
};

/* A session or flow of @u begins that comes from @from: his devices. False, with @why: it must
 * end. */
bool claim_device(struct claim *c, struct worker_node *wn, struct user_rt *u,
                  const struct addr *from, struct why *why);
/* The owner began when @u had no device limit; its last payload was at @active_ms. Now his devices
 * are counted: also this one, whatever the limit is. */
void claim_device_late(struct claim *c, struct worker_node *wn, struct user_rt *u,
                       const struct addr *from, uint64_t active_ms);
/* The device has lost its place: the owner is to end. */
bool claim_is_out(const struct claim *c);
/* A stream of @u begins: his streams of that class; those that it takes the place of end. c->end is
 * set. False, with @why: it must end. */
bool claim_stream(struct claim *c, struct worker_node *wn, struct user_rt *u, enum conn_class class,
                  struct why *why);
/* The owner, if it is a stream, began when @u had no connection limit: it counts from now on, as
 * one whose last payload was at @active_ms, and nobody ends for it. */
void claim_stream_late(struct claim *c, struct worker_node *wn, struct user_rt *u,
                       uint64_t active_ms);
/* plane.allow_streams; any thread. */
void limits_allow_streams(struct user_rt *u, const uint32_t allowed[CONN_CLASSES], uint64_t now_ms);
/* Payload moved. False: the device has lost its place, the owner is to end. */
bool claim_active(const struct claim *c, struct worker_node *wn);
/* The owner ends. @u may be NULL where nothing was claimed. */
void claim_release(struct claim *c, struct user_rt *u);

#endif
