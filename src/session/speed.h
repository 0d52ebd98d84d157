/* session/speed.h - how fast a session may go: the limit of its user, his share of what the node
 * may move in all, and the brakes of an adopted relay. For the relays. */
#ifndef SESSION_SPEED_H
#define SESSION_SPEED_H

#include <stdbool.h>

#include "session/session.h"

/* How many of @want bytes may be read now in one direction (@up: from the client). 0: none before
 * the session's timer fires, which is set for that. */
size_t speed_room(struct session *s, bool up, size_t want);
/* A turn of the session is over: what speed_room gave and was not used for payload is his user's
 * other sessions'. */
void speed_turn_over(struct session *s);
/* @n bytes were read in that direction. */
void speed_read(struct session *s, bool up, size_t n);
/* Payload was counted for the user. */
void speed_count(struct session *s, uint64_t up, uint64_t down);

/* Drops from the datagrams of @q, but for the first @paid, those that are over the limit of @user
 * (NULL: nobody's) or his share of the node's. */
void speed_filter(struct worker_node *wn, struct user_rt *user, bool up, struct bufq *q,
                  uint32_t paid);

/* The session ends: what it has booked is the user's other sessions'. */
void speed_end(struct session *s);

#endif
