/* h2/h2.h - the server's side of one HTTP/2 connection (RFC 9113) over nghttp2: bytes in and out of
 * queues, streams with a queue each way, no socket. Pure. Not thread-safe; one per connection.
 *
 * Life:   h2_init -> (h2_read | h2_next... | h2_write)* -> h2_fini
 * Turn:   feed what arrived (h2_read), handle what it brought (h2_next until NULL: streams and what
 *         happened to them), fill the streams' out queues and say so (h2_wake), then h2_write.
 * Nothing is called back. What a stream's owner does not take stays in stream->in and holds the
 * peer's window closed (h2_ate opens it); what it puts into stream->out waits for the peer's.
 * Memory: all of it, nghttp2's too, from the pool. A quiet connection takes about 12 KiB. */
#ifndef H2_H2_H
#define H2_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"
#include "base/status.h"

struct nghttp2_session;

struct h2_conf {
    uint32_t streams_max;   /* of the peer, open at once */
    uint32_t stream_window; /* bytes the peer may send on a stream before they are eaten */
    uint32_t conn_window;   /* the same for all streams together; at least 65535 */
    uint32_t head_max;      /* bytes of a request's names and values; over it: RST_STREAM */
};

enum h2_event {
    H2_REQUEST = 1, /* the head is there: h2_field */
    H2_DATA = 2,    /* more in stream->in, or its end (in.eof) */
    H2_ROOM = 4,    /* stream->out has run low */
    H2_CLOSED = 8,  /* the stream is over, in order or by reset: let go with h2_stream_free */
};

/* Codes of RST_STREAM and GOAWAY (RFC 9113 section 7) that owners need. */
enum h2_code { H2_NO_ERROR = 0, H2_CANCEL = 8, H2_ENHANCE_YOUR_CALM = 11 };

struct h2_stream {
    int32_t id;
    bool closed;
    bool half_closed; /* the peer has ended its direction */
    struct bufq in;   /* body that has arrived; eof when all has */
    struct bufq out;  /* body to send; the owner sets eof */
    void *user;       /* the owner's */

    /* Private. */
    struct list link, ready;
    unsigned events;
    bool responded, deferred;
    size_t held;  /* received, and not said to be eaten */
    char *fields; /* name, NUL, value, NUL, ... */
    size_t fields_len, fields_room, head_size;
    char *trailers;
    size_t trailers_len;
};

struct h2 {
    struct pool *pool;
    struct h2_conf conf;
    struct nghttp2_session *session;
    struct list streams, ready;
    unsigned count; /* streams not yet freed */
    enum status failed;
    struct bufq *wire; /* only while h2_write runs */
    struct span *from; /* only while h2_read runs */
};

/* Prepares a session and its SETTINGS. ST_OK or ST_E_NOMEM (then nothing needs h2_fini). */
NODISCARD enum status h2_init(struct h2 *h, struct pool *p, const struct h2_conf *conf);
/* Frees the session and all streams, whatever their owners still had in mind. */
void h2_fini(struct h2 *h);

/* Eats all of @in. ST_OK; ST_E_PROTO: not HTTP/2; ST_E_LIMIT: a flood of small frames; ST_E_NOMEM.
 * On error nothing more may be fed; a smaller breach only queues a GOAWAY (h2_is_over). */
NODISCARD enum status h2_read(struct h2 *h, struct bufq *in);
/* Adds frames to @out while it has room. ST_OK: nothing more to write now; ST_FULL; ST_E_NOMEM;
 * ST_E_PROTO. */
NODISCARD enum status h2_write(struct h2 *h, struct bufq *out);
/* The next stream with something new, and what (h2_event bits); NULL: none. */
struct h2_stream *h2_next(struct h2 *h, unsigned *events);
/* Both ends are done and everything is written: the socket may be closed. */
bool h2_is_over(const struct h2 *h);
/* No new streams; those open go on. Written by the next h2_write. */
void h2_shutdown(struct h2 *h);

/* Value of the request's field @name (lower case; ":path" and its like too); NULL: it has none.
 * Borrowed until h2_stream_free. */
const char *h2_field(const struct h2_stream *s, const char *name);

struct h2_header {
    const char *name; /* lower case */
    const char *value;
};
#define H2_HEADERS_MAX 8

/* Sends the head of the answer, once. @end: there is no body; otherwise it comes from s->out, up to
 * its eof. A peer that is still sending when the answer has ended gets RST_STREAM(NO_ERROR). ST_OK,
 * ST_E_NOMEM. */
NODISCARD enum status h2_respond(struct h2 *h, struct h2_stream *s, unsigned status,
                                 const struct h2_header *headers, size_t n, bool end);
/* What follows the body when s->out has come to its eof. Before that, once. ST_OK, ST_E_NOMEM. */
NODISCARD enum status h2_trailers(struct h2 *h, struct h2_stream *s,
                                  const struct h2_header *headers, size_t n);
/* s->out has more, or its eof. */
void h2_wake(struct h2 *h, struct h2_stream *s);
/* Bytes of a body that the peer would take now. */
size_t h2_window(const struct h2 *h, const struct h2_stream *s);
/* @n bytes of the body are no longer held: the peer may send as many. */
void h2_ate(struct h2 *h, struct h2_stream *s, size_t n);
/* Ends the stream now, with an enum h2_code. */
void h2_reset(struct h2 *h, struct h2_stream *s, uint32_t code);
/* After H2_CLOSED. */
void h2_stream_free(struct h2 *h, struct h2_stream *s);

#endif
