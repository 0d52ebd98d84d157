/* control/admin/admin.h - what `v2sp status`, `top`, `spool` and `upgrade` ask of the running
 * program: HTTP/1.1 and JSON on the unix socket <StateDir>/control.sock, mode 0600. Control thread
 * only.
 *
 * Whoever has something to tell adds a request (admin_add) and answers its calls
 * (http_service.h: at once, or later). The names of requests and members: docs/status.md.
 *
 * A socket that a dead process left is replaced; one that another process serves is left alone,
 * said once and tried again until that one is gone. */
#ifndef CONTROL_ADMIN_ADMIN_H
#define CONTROL_ADMIN_ADMIN_H

#include "base/status.h"
#include "control/server/http_service.h"

struct admin;
struct json_t;
struct log;
struct loop;

#define ADMIN_SOCKET       "control.sock"
#define ADMIN_REQUESTS_MAX 16u

/* NULL: no memory. Everything is borrowed for its life but @state_dir. Not open yet. */
struct admin *admin_new(struct loop *l, const struct log *lg, const char *state_dir);
void admin_free(struct admin *a); /* NULL is fine */
/* Calls @serve with each request for @path with @method ("GET", "POST"); both are literals. */
void admin_add(struct admin *a, const char *method, const char *path,
               void (*serve)(void *arg, struct http_call *call), void *arg);
/* Takes requests from now on. What stops it is logged once and tried again. */
void admin_open(struct admin *a);
/* Takes no more and removes the socket, if it is still ours; calls under way go on. */
void admin_close(struct admin *a);

/* ---- for those that answer ---- */

/* Ends the call with {"error": "..."} and @status. */
void admin_fail(struct http_call *call, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Ends the call with the JSON that http_call_text holds. */
void admin_done(struct http_call *call);
/* The body as a JSON object ({} if empty): the caller's, for json_unref. NULL: it is none, and the
 * call was ended with 400. */
struct json_t *admin_body(struct http_call *call);

#endif
