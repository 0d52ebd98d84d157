/* transport/reality/target_watch.h - reads along as the target answers, to know the shape of its
 * first flight (xtls/reality 20251014 tls.go). Pure; eats nothing. */
#ifndef TRANSPORT_REALITY_TARGET_WATCH_H
#define TRANSPORT_REALITY_TARGET_WATCH_H

#include "base/span.h"
#include "tls/flight.h"

/* An EncryptedExtensions record longer than this is the whole flight in one record. */
#define TARGET_WATCH_COMBINED 512u

struct target_watch {
    uint32_t at;  /* bytes of the answer that are behind us */
    uint8_t part; /* enum flight_part that comes next */
    struct flight_shape shape;
};

/* Goes on over @in, the answer from its first byte. @w zeroed before the first call.
 *   ST_OK    the shape is complete
 *   ST_MORE  more of the answer is needed
 *   ST_E_UNSUPPORTED  not what a TLS 1.3 server that we can stand in for says, from record w->part
 *   on. */
NODISCARD enum status target_watch_run(struct target_watch *w, const struct bufq *in);

#endif
