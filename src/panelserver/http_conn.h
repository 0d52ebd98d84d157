/* panelserver/http_conn.h - one HTTP/1.1 connection of the panel: heads, bodies, replies,
 * deadlines. One thread, one loop.
 *
 *   HEAD -> (api_admit) -> BODY -> (api_answer) -> SEND -> HEAD | LINGER -> closed
 *
 * What a stranger can make it hold: one connection object (about 10 KiB) for 4 s. Only after
 * api_admit has seen the right token is a body kept. */
#ifndef PANELSERVER_HTTP_CONN_H
#define PANELSERVER_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/status.h"

struct api;
struct log;
struct loop;

#define HTTP_HEAD_MAX     8192u
#define HTTP_BODY_MAX     (16u * 1024 * 1024)
#define HTTP_BODIES_MAX   (64u * 1024 * 1024) /* all connections together */
#define HTTP_HEAD_MS      4000u  /* from the first byte, or from accept, to the end of a head */
#define HTTP_IDLE_MS      75000u /* between two requests */
#define HTTP_STALL_MS     30000u /* a body or a reply that does not move */
#define HTTP_LINGER_MS    2000u  /* for the peer to read a last reply before the socket goes */
#define HTTP_SOURCE_CONNS 64u    /* of one source, loopback excepted */

/* What the connections of one server share; the server fills all but conns, count and body_bytes.
 */
struct http_server {
    struct loop *loop;
    const struct log *log;
    struct api *api;
    struct list conns; /* least recently used first */
    unsigned count;
    size_t body_bytes;                  /* memory in bodies being read */
    void (*room)(struct http_server *); /* a connection is gone or has become idle; may be NULL */
};

/* No connections; the rest is the server's to fill in. */
void http_server_init(struct http_server *s);
/* Serves @fd (non-blocking; the connection's from now on, also on error: then it is closed) for
 * @peer. ST_OK; ST_E_NOMEM; ST_E_IO; ST_E_LIMIT (too many of this source). */
NODISCARD enum status http_conn_open(struct http_server *s, int fd, const struct addr *peer);
/* Closes one connection that waits between requests; false if none does. */
bool http_conn_close_idle(struct http_server *s);
/* At once, whatever they are doing. */
void http_conn_close_all(struct http_server *s);

#endif
