/* control/node/panel_client.h - HTTP calls to panels, many at once, without blocking: libcurl's
 * multi interface on the control loop.
 *
 * One client serves all nodes, so connections to one panel are shared. A call ends within its
 * deadline, retries included. A GET is tried three times on transport errors, a POST once: whether
 * its bytes went out is told, the rest is the caller's decision (docs/panel-api.md, "Errors").
 * Redirects are followed three times, to the same scheme, host and port only, because the token is
 * in the address. Addresses are logged without query. */
#ifndef CONTROL_NODE_PANEL_CLIENT_H
#define CONTROL_NODE_PANEL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/config/config_node.h"

struct loop;
struct panel_call;
struct panel_client;

#define PANEL_HEAD_MAX 512 /* of a body that was streamed */
#define PANEL_ETAG_MAX 256

struct panel_reply {
    long http; /* status, 0: none came */
    bool sent; /* a byte of the request may have reached the panel */
    bool retried;
    /* ST_OK: the body is complete; ST_E_IO, ST_E_TIMEOUT: transport; ST_E_LIMIT: over reply_max;
     * else what data() returned */
    enum status status;
    const char *text;       /* why not, "" if complete; no secret */
    const char *etag;       /* "" = none, or longer than PANEL_ETAG_MAX */
    uint32_t retry_after_s; /* 0 = not said */
    /* ends with NUL; all of it, or the first PANEL_HEAD_MAX bytes if data() took it or it belongs
     * to an error */
    const char *body;
    size_t body_len;
};

struct panel_request {
    const struct config_api *api; /* borrowed for panel_start */
    const char *url;              /* with the token; copied */
    const char *etag;             /* If-None-Match, verbatim; NULL or "" = none; copied */
    bool post;
    char *own_body; /* malloc'ed; taken over also on failure */
    size_t body_len;
    const char *idempotency_key; /* NULL = none; copied */
    uint64_t seq;                /* X-Report-Seq, sent with the key */
    size_t reply_max;            /* bytes after decompression */
    /* Takes the body of a 200 as it comes; NULL: it is collected. Must not call the client. */
    enum status (*data)(void *arg, const void *p, size_t len);
    /* What data() got is void, the reply begins anew. Needed with data. */
    void (*restart)(void *arg);
    /* Once, never from within panel_start. @reply is borrowed. */
    void (*done)(void *arg, const struct panel_reply *reply);
    void *arg;
};

/* NULL: no memory. @retry_ms: pause before the first repetition, four times as long before each
 * further (100). */
struct panel_client *panel_client_new(struct loop *l, uint32_t retry_ms);
/* Cancels what runs. NULL is fine. */
void panel_client_free(struct panel_client *c);
/* Starts a call. NULL: no memory, or an address that is none. */
struct panel_call *panel_start(struct panel_client *c, const struct panel_request *r);
/* Ends a call without calling done. NULL is fine. */
void panel_cancel(struct panel_call *call);

#endif
