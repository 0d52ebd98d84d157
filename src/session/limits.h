/* session/limits.h - the limits of a session's user that count sessions: devices and streams. */
#ifndef SESSION_LIMITS_H
#define SESSION_LIMITS_H

#include <stdbool.h>

#include "policy/conns.h"
#include "session/session.h"

/* A session or flow of a user begins: a place among his devices, in *@out (NULL: he needs none).
 * False, with @why: it must end. */
bool limits_place(struct worker_node *wn, struct user_rt *u, const struct addr *from,
                  struct device **out, struct why *why);
/* Payload moved. False: the place is lost, what holds it is to end. NULL is fine, here and
 * below. */
bool limits_place_active(struct worker_node *wn, struct device *d);
void limits_place_leave(struct user_rt *u, struct device *d);

/* A stream of a user begins: his streams of that class; those that it takes the place of end.
 * False, with @why: it must end. */
bool limits_stream(struct session *s, enum conn_class class, struct why *why);
/* Payload of a session moved. False: its device has lost its place, it is to end. */
bool limits_active(struct session *s);
/* The session is gone. */
void limits_leave(struct session *s);

#endif
