/* control/node/fake_panel.h - a scripted HTTP server on the loop under test, for
 * panel_client_test and controller_test. Not part of the product. */
#ifndef CONTROL_NODE_FAKE_PANEL_H
#define CONTROL_NODE_FAKE_PANEL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/status.h"
#include "io/loop.h"

#define FAKE_REQUEST_MAX (256u * 1024)

struct fake_request {
    char method[8], target[1024];
    const char *headers; /* the lines, NUL-terminated */
    const char *body;
    size_t body_len;
};

enum fake_end {
    FAKE_KEEP,  /* answer, keep the connection */
    FAKE_CLOSE, /* answer, close */
    FAKE_DROP,  /* close without a byte */
    FAKE_HALF,  /* announce all, send half, close */
    FAKE_HOLD,  /* do not answer */
};

struct fake_answer {
    int status;
    const char *headers; /* further lines, each with CRLF; NULL = none */
    char *own_body;      /* malloc'ed; NULL = empty */
    size_t body_len;
    enum fake_end end;
};

struct fake_panel {
    struct loop *loop;
    struct watch watch; /* the listener */
    struct list conns;
    uint16_t port;
    unsigned accepted;
    void (*handle)(void *arg, const struct fake_request *r, struct fake_answer *a);
    void *arg;
};

struct fake_conn {
    struct watch watch; /* first */
    struct list node;
    struct fake_panel *panel;
    char *out;
    size_t out_at, out_len;
    size_t len;
    char in[FAKE_REQUEST_MAX + 1];
};

static inline void fake_drop(struct fake_conn *c)
{
    int fd = c->watch.fd;
    loop_watch_del(c->panel->loop, &c->watch);
    close(fd);
    list_del(&c->node);
    free(c->out);
    free(c);
}

/* Sends what the client takes now, the rest when it takes more: both run in one thread. */
static inline void fake_flush(struct fake_conn *c)
{
    while (c->out_at < c->out_len) {
        ssize_t n = send(c->watch.fd, c->out + c->out_at, c->out_len - c->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        c->out_at += (size_t)n;
    }
    uint32_t more = c->out_at < c->out_len ? LOOP_OUT : 0;
    BUG_ON(loop_watch_mod(c->panel->loop, &c->watch, LOOP_IN | more) != ST_OK);
}

static inline void fake_put(struct fake_conn *c, const char *p, size_t len)
{
    char *q = realloc(c->out, c->out_len + len + 1);
    BUG_ON(q == NULL);
    c->out = q;
    if (len > 0)
        memcpy(c->out + c->out_len, p, len);
    c->out_len += len;
}

/* Value of a header, copied into @dst; "" if absent. */
static inline const char *fake_header(const struct fake_request *r, const char *name, char *dst,
                                      size_t cap)
{
    size_t n = strlen(name);

    dst[0] = '\0';
    for (const char *p = r->headers; p != NULL && *p != '\0'; p = strstr(p, "\r\n")) {
        p += strncmp(p, "\r\n", 2) == 0 ? 2 : 0;
        if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
            p += n + 1 + (p[n + 1] == ' ');
            snprintf(dst, cap, "%.*s", (int)strcspn(p, "\r"), p);
            break;
        }
    }
    return dst;
}

/* False: the connection is gone. */
static inline bool fake_answer_to(struct fake_conn *c, const struct fake_request *r)
{
    struct fake_answer a = {.status = 200, .end = FAKE_KEEP};
    char head[1024];

    c->panel->handle(c->panel->arg, r, &a);
    if (a.end != FAKE_DROP && a.end != FAKE_HOLD) {
        int n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\n%s%s%zu\r\n\r\n", a.status,
                         a.headers != NULL ? a.headers : "",
                         a.status == 304 ? "X-Length: " : "Content-Length: ", a.body_len);
        c->out_at = c->out_len = 0;
        fake_put(c, head, (size_t)n);
        fake_put(c, a.own_body, a.end == FAKE_HALF ? a.body_len / 2 : a.body_len);
        fake_flush(c);
    }
    free(a.own_body);
    if (a.end == FAKE_KEEP || a.end == FAKE_HOLD)
        return true;
    fake_drop(c);
    return false;
}

static inline void fake_read(struct watch *w, uint32_t events)
{
    struct fake_conn *c = (struct fake_conn *)w;
    struct fake_request r = {.body_len = 0};
    char length[32];

    if (events & LOOP_OUT)
        fake_flush(c);
    if (!(events & (LOOP_IN | LOOP_HUP)))
        return;
    ssize_t n = recv(w->fd, c->in + c->len, FAKE_REQUEST_MAX - c->len, MSG_DONTWAIT);
    if (n <= 0) {
        fake_drop(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return;
    size_t head = (size_t)(end + 4 - c->in);
    *end = '\0';
    r.headers = strstr(c->in, "\r\n");
    r.headers = r.headers != NULL ? r.headers : end;
    r.body_len = (size_t)atol(fake_header(&r, "Content-Length", length, sizeof(length)));
    if (c->len < head + r.body_len) {
        *end = '\r';
        return;
    }
    sscanf(c->in, "%7s %1023s", r.method, r.target);
    r.body = c->in + head;
    c->len = 0;
    fake_answer_to(c, &r);
}

static inline void fake_accept(struct watch *w, uint32_t events)
{
    struct fake_panel *p = LIST_ENTRY(w, struct fake_panel, watch);
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    struct fake_conn *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    p->accepted++;
    c->panel = p;
    c->watch.fd = -1;
    list_add_tail(&p->conns, &c->node);
    BUG_ON(loop_watch_add(p->loop, &c->watch, fd, LOOP_IN, fake_read) != ST_OK);
}

static inline void fake_open(struct fake_panel *p, struct loop *l)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(p->port)};
    socklen_t len = sizeof(sa);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    p->loop = l;
    p->watch.fd = -1;
    list_init(&p->conns);
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    BUG_ON(fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 16) != 0 ||
           getsockname(fd, (struct sockaddr *)&sa, &len) != 0);
    p->port = ntohs(sa.sin_port);
    BUG_ON(loop_watch_add(l, &p->watch, fd, LOOP_IN, fake_accept) != ST_OK);
}

/* Nobody listens any more; fake_open takes the same port again. */
static inline void fake_close(struct fake_panel *p)
{
    int fd = p->watch.fd;

    while (!list_empty(&p->conns))
        fake_drop(LIST_ENTRY(p->conns.next, struct fake_conn, node));
    if (fd >= 0) {
        loop_watch_del(p->loop, &p->watch);
        close(fd);
    }
}

static inline void fake_text(struct fake_answer *a, const char *text)
{
    a->own_body = strdup(text);
    a->body_len = strlen(text);
}

#endif
