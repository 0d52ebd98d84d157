/* panelserver/api.h - the five actions of the v2sp panel API: a request in, a reply out. No
 * sockets, no clock.
 *
 * api_admit judges the head (method, path, rate, parameters, token, node) before one byte of a body
 * is kept; api_answer does the work. One thread. (docs/panel-api.md.) */
#ifndef PANELSERVER_API_H
#define PANELSERVER_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "codec/http1.h"
#include "panelserver/panelserver.h"
#include "panelserver/reply.h"

struct api;

#define API_WRONG_TOKEN_COST 20 /* requests that one with a wrong token counts as */

/* Borrowed for the call; empty texts where a field is missing. */
struct api_request {
    struct http1_str method, path, query; /* path and query as sent */
    struct http1_str if_none_match, idempotency_key;
    const char *body; /* api_answer only */
    size_t body_len;
    struct addr peer;
    int64_t now_s;   /* since 1970 */
    uint64_t now_us; /* monotonic */
};

enum api_action { API_CONFIG, API_USER, API_ALIVELIST, API_PUSH, API_ALIVE };

/* What api_admit found out, for api_answer. */
struct api_call {
    enum api_action action;
    int64_t node_id;
    char key[129]; /* Idempotency-Key, "" if none */
};

/* Borrows @conf's log and database; its loop and address are not looked at. NULL: no memory, or no
 * random bytes. */
struct api *api_new(const struct panelserver_conf *conf);
void api_free(struct api *a); /* NULL is fine */

/* True: go on with api_answer once the body is there. False: @reply is the answer. */
bool api_admit(struct api *a, const struct api_request *rq, struct api_call *call,
               struct reply *reply);
/* Does what was admitted. @reply is always filled, to be given to reply_fini. */
void api_answer(struct api *a, const struct api_request *rq, const struct api_call *call,
                struct reply *reply);
/* Both, for a request that lies in memory whole. */
void api_handle(struct api *a, const struct api_request *rq, struct reply *reply);

/* Throws away what is too old. Called about once a minute. */
void api_tick(struct api *a, int64_t now_s);
/* All but `connections`. */
void api_counters(const struct api *a, struct panelserver_counters *out);
/* For replies the server makes itself (a broken head, a body too large). */
void api_count_failed(struct api *a);

#endif
