/* base/frame.h - what codecs of framed streams do with spans: cut a unit out of a queue, put a head
 * in front of one, and say that a datagram goes to a name. Pure. */
#ifndef BASE_FRAME_H
#define BASE_FRAME_H

#include "base/span.h"

/* Takes the first @len bytes (1..BLK_DATA, all of them queued) off @q as one span without flags: a
 * view of the reader's blk when they lie together, else a copy. NULL: no memory, @q is as it was
 * but for empty spans. */
struct span *frame_take(struct bufq *q, uint32_t len, struct pool *p);

/* Puts @n bytes (at most BLK_SMALL_HEAD) in front of @s, which is in no queue: in its head room, or
 * in a copy when the blk is not ours alone. A copy that must not grow over a blk leaves the rest of
 * a byte stream to @rest; NULL: the span is small enough (@n + len <= BLK_DATA). Returns the span
 * to use in place of @s, NULL without memory (then @s is as it was). */
struct span *frame_prepend(struct pool *p, struct span *s, const uint8_t *head, uint32_t n,
                           struct bufq *rest);

/* ---- datagrams to a name --------------------------------------------------------------------- */

/* Makes @t the destination of the datagram @s, which is in no queue. A name (peer.family
 * ADDR_NAME, peer.port) lies in the head room right before the bytes and is no part of them; it is
 * good until something else is written there. Returns the span to use in place of @s, NULL without
 * memory (then @s is as it was). */
struct span *frame_set_target(struct pool *p, struct span *s, const struct target *t);
/* The name and port that frame_set_target stored; peer.family must be ADDR_NAME. */
void frame_get_target(const struct span *s, struct target *t);

#endif
