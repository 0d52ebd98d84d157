/* control/server/http_service.h - small HTTP/1.1 requests on a listening socket of the control
 * thread, TCP or unix: one request a connection, the answer at once or later. Control thread only.
 *
 * Bounded: connections (the oldest goes for a new one), head, body, the time for the request and
 * for each piece of the answer. A slow or silent client costs its own connection.
 *
 * Life of a call: conf.request(call) -> http_call_answer, or http_call_later and the answer from
 * a later callback. Who leaves early is told to the one that makes him wait, by `gone`. */
#ifndef CONTROL_SERVER_HTTP_SERVICE_H
#define CONTROL_SERVER_HTTP_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "base/textbuf.h"
#include "codec/http1.h"

#define HTTP_SERVICE_CONNS    32u
#define HTTP_SERVICE_HEAD_MAX 4096u
#define HTTP_SERVICE_BODY_MAX 65536u
#define HTTP_SERVICE_WAIT_MS  10000u /* for the request, and for each piece of the answer */

struct http_call;
struct http_service;
struct log;
struct loop;

/* Borrowed for its life. */
struct http_service_conf {
    struct loop *loop;
    const struct log *log;
    const char *name;  /* for the log: "metrics" */
    size_t answer_max; /* bytes of all bodies under way */
    /* A request is whole. To be answered, now or later. */
    void (*request)(void *arg, struct http_call *call);
    void *arg;
};

/* NULL: no memory. Listens on nothing yet. */
struct http_service *http_service_new(const struct http_service_conf *conf);
/* Closes everything; calls that wait are told that they are gone. NULL is fine. */
void http_service_free(struct http_service *s);
/* Listens on @at; ST_OK, or as tcp_listener_open. */
NODISCARD enum status http_service_listen(struct http_service *s, const struct addr *at,
                                          struct why *why);
/* Takes connections of @own_fd, which listens already and does not block. ST_OK; ST_E_IO: it is
 * closed. */
NODISCARD enum status http_service_take(struct http_service *s, int own_fd, struct why *why);
bool http_service_is_open(const struct http_service *s);
/* Listens no more; calls under way go on. Harmless twice. */
void http_service_close(struct http_service *s);

/* ---- a call, until it is answered ---- */

/* The request, whole; borrowed until the call ends. */
const struct http1_head *http_call_head(const struct http_call *c);
struct http1_str http_call_body(const struct http_call *c);
/* Where the body of the answer is written. */
struct textbuf *http_call_text(struct http_call *c);
/* The methods that a 405 names (RFC 9110 section 15.5.6), a literal: "GET, HEAD". */
void http_call_allow(struct http_call *c, const char *methods);
/* Ends the call with what http_call_text holds. A text that failed becomes a 503. */
void http_call_answer(struct http_call *c, unsigned status, const char *type);
/* The answer comes within @ms, by http_call_answer. When the client leaves, the time is over (it
 * gets a 504) or the service ends, @gone is called once and the call must not be used any more. */
void http_call_later(struct http_call *c, uint32_t ms, void (*gone)(void *arg, struct http_call *c),
                     void *arg);

#endif
