#include "control/admin/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "control/server/unix_socket.h"
#include "io/loop.h"

#define RETRY_MS   1000u
#define ANSWER_MAX (64u << 20)
#define JSON_TYPE  "application/json"

struct request {
    const char *method, *path;
    void (*serve)(void *arg, struct http_call *call);
    void *arg;
};

struct admin {
    struct loop *loop;
    const struct log *lg;
    struct http_service *service;
    struct unix_socket socket;
    struct timer retry;
    struct request requests[ADMIN_REQUESTS_MAX];
    unsigned count;
    int told; /* errno of what was said last; 0: nothing */
};

/* ---- requests -------------------------------------------------------------------------------- */

void admin_fail(struct http_call *call, unsigned status, const char *fmt, ...)
{
    struct textbuf *t = http_call_text(call);
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    t->len = 0;
    textbuf_puts(t, "{\"error\":");
    textbuf_json(t, text);
    textbuf_puts(t, "}\n");
    http_call_answer(call, status, JSON_TYPE);
}

void admin_done(struct http_call *call)
{
    http_call_answer(call, 200, JSON_TYPE);
}

struct json_t *admin_body(struct http_call *call)
{
    struct http1_str b = http_call_body(call);
    struct json_t *v = NULL;
    struct json_error e;
    enum status st = b.len > 0 ? json_parse(b.p, b.len, &v, &e) : json_parse("{}", 2, &v, &e);

    if (st == ST_OK && json_is_object(v))
        return v;
    json_unref(v);
    admin_fail(call, 400, "the body is no JSON object");
    return NULL;
}

static void on_request(void *arg, struct http_call *call)
{
    struct admin *a = arg;
    const struct http1_head *h = http_call_head(call);
    const char *known = NULL;

    for (unsigned i = 0; i < a->count; i++) {
        const struct request *r = &a->requests[i];
        if (!http1_str_equal(h->path, r->path))
            continue;
        known = r->method;
        if (!http1_str_equal(h->method, r->method))
            continue;
        r->serve(r->arg, call);
        return;
    }
    if (known != NULL) {
        http_call_allow(call, known);
        admin_fail(call, 405, "only %s", known);
        return;
    }
    admin_fail(call, 404, "there is no %.*s", (int)(h->path.len < 100 ? h->path.len : 100),
               h->path.p);
}

void admin_add(struct admin *a, const char *method, const char *path,
               void (*serve)(void *arg, struct http_call *call), void *arg)
{
    BUG_ON(a->count == ADMIN_REQUESTS_MAX);
    a->requests[a->count++] =
        (struct request){.method = method, .path = path, .serve = serve, .arg = arg};
}

/* ---- life ------------------------------------------------------------------------------------ */

static void say(struct admin *a, enum status st, const struct why *why)
{
    int key = why->number != 0 ? (int)why->number : -1;

    if (a->told == key)
        return;
    a->told = key;
    if (st == ST_E_BUSY)
        log_line(a->lg, LOG_WARNING, NULL,
                 "%s: another process serves it; status and spool commands reach that one until "
                 "it ends",
                 a->socket.path);
    else
        log_line(a->lg, LOG_WARNING, NULL, "%s: %s (%s); status and spool commands cannot reach us",
                 a->socket.path, why->text, strerror((int)why->number));
}

static void try_open(struct admin *a)
{
    struct why why = {0};
    int fd = -1;
    enum status st = unix_socket_listen(&a->socket, &fd, &why);

    if (st == ST_OK && (st = http_service_take(a->service, fd, &why)) != ST_OK)
        unix_socket_remove(&a->socket);
    if (st == ST_OK) {
        if (a->told != 0)
            log_line(a->lg, LOG_INFO, NULL, "%s: served by us now", a->socket.path);
        a->told = 0;
        return;
    }
    say(a, st, &why);
    if (st != ST_E_LIMIT) /* a path does not get shorter */
        loop_timer_in(a->loop, &a->retry, RETRY_MS);
}

static void on_retry(struct timer *t)
{
    try_open(LIST_ENTRY(t, struct admin, retry));
}

struct admin *admin_new(struct loop *l, const struct log *lg, const char *state_dir)
{
    struct admin *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return NULL;
    a->loop = l;
    a->lg = lg;
    timer_init(&a->retry, on_retry);
    unix_socket_init(&a->socket, state_dir, ADMIN_SOCKET);
    const struct http_service_conf conf = {.loop = l,
                                           .log = lg,
                                           .name = ADMIN_SOCKET,
                                           .answer_max = ANSWER_MAX,
                                           .request = on_request,
                                           .arg = a};
    a->service = http_service_new(&conf);
    if (a->service != NULL)
        return a;
    free(a);
    return NULL;
}

void admin_free(struct admin *a)
{
    if (a == NULL)
        return;
    admin_close(a);
    http_service_free(a->service);
    free(a);
}

void admin_open(struct admin *a)
{
    if (!http_service_is_open(a->service) && !timer_armed(&a->retry))
        try_open(a);
}

void admin_close(struct admin *a)
{
    loop_timer_del(a->loop, &a->retry);
    if (!http_service_is_open(a->service))
        return;
    /* Removed first: between the two nobody may find a socket that refuses. */
    unix_socket_remove(&a->socket);
    http_service_close(a->service);
}
