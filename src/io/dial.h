/* io/dial.h - outgoing TCP connections: one address directly, several raced (RFC 8305).
 *
 * Single-threaded, never blocks. The usual case of one address costs socket, TCP_NODELAY, connect
 * and nothing else: the fd is handed over while it connects. */
#ifndef IO_DIAL_H
#define IO_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "io/loop.h"

#define DIAL_ADDRS_MAX  16
#define DIAL_FLIGHT_MAX 4   /* attempts at once */
#define DIAL_STAGGER_MS 250 /* between attempts: RFC 8305 section 5 */
#define DIAL_TIMEOUT_MS 10000

struct dial_conf {
    struct addr bind4, bind6; /* source by family (port ignored); ADDR_NONE = the kernel's choice */
    bool tfo; /* TCP_FASTOPEN_CONNECT; only for a single address, a race needs real answers */
    uint32_t timeout_ms; /* of a race as a whole; 0 = DIAL_TIMEOUT_MS */
};

struct dial_result {
    enum status status; /* ST_OK; ST_E_IO: errno in err; ST_E_TIMEOUT; ST_E_NOMEM;
                         * ST_E_LIMIT: no fd left, err EMFILE or ENFILE */
    int err;
    int fd; /* the receiver's now; non-blocking, close-on-exec, in no epoll set; -1 on error */
    bool connected;   /* false: connect() is under way; writable means done, SO_ERROR tells how */
    struct addr addr; /* whom it connects to; on error the last one tried */
};

/* A race under way; the memory is the race's own until fn was called or dial_cancel. */
struct dial;

/* Connects to the first of @addrs (ip and port, in order of preference, 1..DIAL_ADDRS_MAX) that
 * answers.
 *   ST_OK    @now is filled and holds the fd, @fn is not called, *@out is NULL. Always so when @n
 *            is 1: then the caller watches the connect itself, with its own deadline.
 *   ST_MORE  a race: *@out is set, @fn is called once from the loop, and *@out is dead then. The
 *            result is connected, or the last address still connecting without a rival, or an
 *            error.
 *   error    @now->status says the same; nothing is left. */
NODISCARD enum status dial_start(struct loop *l, const struct dial_conf *conf,
                                 const struct addr *addrs, size_t n, void *arg,
                                 void (*fn)(void *arg, const struct dial_result *),
                                 struct dial_result *now, struct dial **out);
/* Closes all attempts; fn is not called. NULL is fine. */
void dial_cancel(struct dial *d);

/* Puts @addrs in the order of RFC 8305 section 4: families interleaved, beginning with @first (an
 * addr_family), the order within a family kept. */
void dial_interleave(struct addr *addrs, size_t n, enum addr_family first);

/* Connects to a Unix stream socket: a path, or with a leading '@' an abstract name, which @padded
 * fills with zeros to 108 bytes as HAProxy expects. Answers at once: ST_OK (@out->connected);
 * ST_E_BUSY: EAGAIN, the listener's queue is full; ST_E_LIMIT, ST_E_IO: as in dial_result. */
NODISCARD enum status dial_unix(const char *path, bool padded, struct dial_result *out);

#endif
