/* session/carrier.h - a session whose client sends many streams in one (Mux.Cool, XUDP): above its
 * chain is no relay but a mux, and each stream of it is a session of its own.
 *
 * Life: carrier_begin in place of a relay -> carrier_run whenever something moved -> carrier_stop
 * (streams are cut off) -> carrier_free. Limits: CARRIER_STREAMS_MAX sessions, and what
 * proto/mux/mux.h says of their queues. */
#ifndef SESSION_CARRIER_H
#define SESSION_CARRIER_H

#include "session/session.h"

#define CARRIER_STREAMS_MAX 1024u
#define CARRIER_TICK_MS     60000u

/* @s has its user and no target. @datagrams_only: a stream of bytes ends it (Vision). On failure
 * @s is closed. */
void carrier_begin(struct session *s, bool datagrams_only);
/* Reads, gives to the streams, takes from them, writes. May free @s. */
void carrier_run(struct session *s);
/* Every CARRIER_TICK_MS: ends a carrier that had no stream since the last one. */
void carrier_tick(struct session *s);
/* Cuts its streams off; @reset: their targets get a reset. */
void carrier_stop(struct session *s, bool reset);
/* After carrier_stop. Harmless without a carrier. */
void carrier_free(struct session *s);

#endif
