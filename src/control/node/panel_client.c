#include "control/node/panel_client.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/list.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "io/loop.h"

#define TRIES_MAX     3
#define REDIRECTS_MAX 3
#define CONNECT_MS    10000

struct panel_client {
    struct loop *loop;
    CURLM *multi;
    struct list calls, sockets;
    struct timer timer; /* libcurl's */
    struct task kick;   /* libcurl wants to be called at once */
    struct rng rng;
    uint32_t retry_ms;
};

/* One of libcurl's sockets. */
struct sock {
    struct watch watch; /* first */
    struct list node;
    struct panel_client *client;
};

struct panel_call {
    struct list node;
    struct panel_client *client;
    struct timer retry; /* pause before the next attempt */
    CURL *easy;
    struct curl_slist *headers;
    struct panel_request req; /* callbacks and limits; url, etag, key are not kept */
    char *body;
    size_t body_sent; /* handed to libcurl */
    bool body_started;
    bool added; /* to the multi */
    unsigned tries, redirects;
    uint64_t deadline_ms;
    char *reply;
    size_t reply_len, reply_room, received;
    bool streamed; /* data() has been called in this attempt */
    enum status data_status;
    char error[CURL_ERROR_SIZE];
};

/* ---- libcurl and the loop ---- */

static void collect_done(struct panel_client *c);

static void run_multi(struct panel_client *c, curl_socket_t fd, int mask)
{
    int running = 0;

    curl_multi_socket_action(c->multi, fd, mask, &running);
    collect_done(c);
}

static void on_socket(struct watch *w, uint32_t events)
{
    struct sock *s = (struct sock *)w;
    int mask = 0;

    if (events & (LOOP_IN | LOOP_HUP))
        mask |= CURL_CSELECT_IN;
    if (events & (LOOP_OUT | LOOP_HUP))
        mask |= CURL_CSELECT_OUT;
    run_multi(s->client, w->fd, mask);
}

static void on_timer(struct timer *t)
{
    struct panel_client *c = LIST_ENTRY(t, struct panel_client, timer);
    run_multi(c, CURL_SOCKET_TIMEOUT, 0);
}

static void on_kick(struct task *t)
{
    struct panel_client *c = LIST_ENTRY(t, struct panel_client, kick);
    run_multi(c, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct panel_client *c = arg;

    (void)multi;
    loop_timer_del(c->loop, &c->timer);
    if (timeout_ms == 0)
        loop_task_add(c->loop, &c->kick);
    else if (timeout_ms > 0)
        loop_timer_in(c->loop, &c->timer, (uint64_t)timeout_ms);
    return 0;
}

static void drop_socket(struct sock *s)
{
    loop_watch_del(s->client->loop, &s->watch);
    list_del(&s->node);
    free(s);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *own)
{
    struct panel_client *c = arg;
    struct sock *s = own;
    uint32_t events = (what & CURL_POLL_IN ? LOOP_IN : 0u) | (what & CURL_POLL_OUT ? LOOP_OUT : 0u);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL)
            drop_socket(s);
        return 0;
    }
    if (s != NULL)
        return loop_watch_mod(c->loop, &s->watch, events) == ST_OK ? 0 : -1;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return -1;
    s->client = c;
    s->watch.fd = -1;
    list_add_tail(&c->sockets, &s->node);
    if (loop_watch_add(c->loop, &s->watch, fd, events, on_socket) != ST_OK) {
        drop_socket(s);
        return -1;
    }
    curl_multi_assign(c->multi, fd, s);
    return 0;
}

struct panel_client *panel_client_new(struct loop *l, uint32_t retry_ms)
{
    struct panel_client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->loop = l;
    c->retry_ms = retry_ms;
    list_init(&c->calls);
    list_init(&c->sockets);
    timer_init(&c->timer, on_timer);
    task_init(&c->kick, on_kick);
    if (rng_init(&c->rng) != ST_OK || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (c->multi = curl_multi_init()) == NULL) {
        free(c);
        return NULL;
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 16L);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 8L);
    return c;
}

void panel_client_free(struct panel_client *c)
{
    if (c == NULL)
        return;
    while (!list_empty(&c->calls))
        panel_cancel(LIST_ENTRY(c->calls.next, struct panel_call, node));
    curl_multi_cleanup(c->multi);
    while (!list_empty(&c->sockets))
        drop_socket(LIST_ENTRY(c->sockets.next, struct sock, node));
    loop_timer_del(c->loop, &c->timer);
    loop_task_del(c->loop, &c->kick);
    rng_fini(&c->rng);
    free(c);
    curl_global_cleanup();
}

/* ---- one call: bytes ---- */

static size_t give_body(char *dst, size_t size, size_t n, void *arg)
{
    struct panel_call *call = arg;
    size_t room = size * n, left = call->req.body_len - call->body_sent;

    room = room < left ? room : left;
    memcpy(dst, call->body + call->body_sent, room);
    call->body_sent += room;
    call->body_started = true;
    return room;
}

/* libcurl wants to send the body again by itself: a reused connection died under the request. For a
 * POST that is the blind repetition we must not make. */
static int rewind_body(void *arg, curl_off_t offset, int origin)
{
    struct panel_call *call = arg;

    if (call->body_started || offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_FAIL;
    return CURL_SEEKFUNC_OK;
}

static enum status keep(struct panel_call *call, const char *p, size_t len, size_t max)
{
    if (call->reply_len >= max)
        return ST_OK;
    len = len < max - call->reply_len ? len : max - call->reply_len;
    if (call->reply_len + len + 1 > call->reply_room) {
        size_t room = (call->reply_len + len + 1) * 2;
        char *q = realloc(call->reply, room);
        if (q == NULL)
            return ST_E_NOMEM;
        call->reply = q;
        call->reply_room = room;
    }
    memcpy(call->reply + call->reply_len, p, len);
    call->reply_len += len;
    call->reply[call->reply_len] = '\0';
    return ST_OK;
}

static size_t take_reply(char *p, size_t size, size_t n, void *arg)
{
    struct panel_call *call = arg;
    size_t len = size * n;
    long http = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
    bool good = http >= 200 && http < 300, stream = good && call->req.data != NULL;
    call->received += len;
    if (good && call->received > call->req.reply_max)
        call->data_status = ST_E_LIMIT;
    if (call->data_status == ST_OK)
        call->data_status =
            keep(call, p, len, good && !stream ? call->req.reply_max : PANEL_HEAD_MAX);
    if (stream && call->data_status == ST_OK) {
        call->streamed = true;
        call->data_status = call->req.data(call->req.arg, p, len);
    }
    return call->data_status == ST_OK ? len : 0;
}

/* ---- one call: attempts ---- */

static void free_call(struct panel_call *call)
{
    if (call->added)
        curl_multi_remove_handle(call->client->multi, call->easy);
    loop_timer_del(call->client->loop, &call->retry);
    list_del(&call->node);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->body);
    if (call->reply != NULL)
        crypto_wipe(call->reply, call->reply_room);
    free(call->reply);
    free(call);
}

void panel_cancel(struct panel_call *call)
{
    if (call != NULL)
        free_call(call);
}

static bool attempt(struct panel_call *call)
{
    uint64_t now = loop_now_ms(call->client->loop);
    long left = call->deadline_ms > now ? (long)(call->deadline_ms - now) : 1;

    if (call->streamed)
        call->req.restart(call->req.arg);
    call->streamed = false;
    call->reply_len = call->received = 0;
    call->body_sent = 0;
    call->data_status = ST_OK;
    call->error[0] = '\0';
    call->tries++;
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, left);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, left < CONNECT_MS ? left : CONNECT_MS);
    call->added = curl_multi_add_handle(call->client->multi, call->easy) == CURLM_OK;
    return call->added;
}

static void finish(struct panel_call *call, CURLcode rc)
{
    struct panel_reply r = {.retried = call->tries > 1, .etag = "", .text = "", .body = ""};
    struct panel_request req = call->req;
    struct curl_header *h = NULL;
    curl_off_t after = 0;
    long request_size = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &r.http);
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &request_size);
    r.sent = request_size > 0 || call->body_started;
    if (rc == CURLE_OK && curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &after) == CURLE_OK &&
        after > 0)
        r.retry_after_s = after > 86400 ? 86400 : (uint32_t)after;
    if (curl_easy_header(call->easy, "ETag", 0, CURLH_HEADER, -1, &h) == CURLHE_OK &&
        strlen(h->value) < PANEL_ETAG_MAX)
        r.etag = h->value;
    if (rc != CURLE_OK) {
        r.status = call->data_status != ST_OK       ? call->data_status
                   : rc == CURLE_OPERATION_TIMEDOUT ? ST_E_TIMEOUT
                                                    : ST_E_IO;
        r.text = call->data_status != ST_OK ? status_str(call->data_status)
                 : rc == CURLE_SEND_FAIL_REWIND
                     ? "connection closed" /* we sent it no second time */
                 : call->error[0] != '\0' ? call->error
                                          : curl_easy_strerror(rc);
        /* A status without its body is no answer; a stream that the caller refused is one. */
        if (call->data_status == ST_OK)
            r.http = 0;
    }
    if (call->reply_len > 0) {
        r.body = call->reply;
        r.body_len = call->reply_len;
    }
    list_del(&call->node);
    req.done(req.arg, &r);
    free_call(call);
}

/* A repetition may help: the network failed, and there is time left. */
static bool may_retry(const struct panel_call *call, CURLcode rc)
{
    if (call->req.post || call->tries >= TRIES_MAX || call->data_status != ST_OK)
        return false;
    switch (rc) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_BAD_CONTENT_ENCODING:
        return true;
    default:
        return false;
    }
}

static void on_retry(struct timer *t)
{
    struct panel_call *call = LIST_ENTRY(t, struct panel_call, retry);

    if (!attempt(call))
        finish(call, CURLE_OUT_OF_MEMORY);
}

static bool same_place(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *x = curl_url(), *y = curl_url();
    bool same = x != NULL && y != NULL && curl_url_set(x, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(y, CURLUPART_URL, b, 0) == CURLUE_OK;

    for (size_t i = 0; same && i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *p = NULL, *q = NULL;
        same = curl_url_get(x, parts[i], &p, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               curl_url_get(y, parts[i], &q, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               strcasecmp(p, q) == 0;
        curl_free(p);
        curl_free(q);
    }
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

/* True: another attempt runs at the new address. */
static bool follow(struct panel_call *call)
{
    long http = 0;
    const char *to = NULL, *from = NULL;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http);
    /* 303 would turn a POST into a GET: that is an answer page, no new address. */
    if (http != 301 && http != 302 && http != 307 && http != 308)
        return false;
    curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &to);
    curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &from);
    if (to == NULL || from == NULL || call->redirects == REDIRECTS_MAX || !same_place(from, to))
        return false;
    call->redirects++;
    call->tries--;
    call->body_started = false; /* the panel answered: it has not applied anything */
    return curl_easy_setopt(call->easy, CURLOPT_URL, to) == CURLE_OK && attempt(call);
}

static void end_attempt(struct panel_call *call, CURLcode rc)
{
    struct panel_client *c = call->client;
    uint64_t pause = c->retry_ms;

    curl_multi_remove_handle(c->multi, call->easy);
    call->added = false;
    if (rc == CURLE_OK && follow(call))
        return;
    for (unsigned i = 1; i < call->tries; i++)
        pause *= 4;
    pause += rng_below(&c->rng, pause / 2 + 1);
    if (may_retry(call, rc) && loop_now_ms(c->loop) + pause < call->deadline_ms) {
        loop_timer_in(c->loop, &call->retry, pause);
        return;
    }
    finish(call, rc);
}

static void collect_done(struct panel_client *c)
{
    CURLMsg *m;
    int left = 0;

    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct panel_call *call = NULL;
        CURLcode rc = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        end_attempt(call, rc);
    }
}

/* ---- one call: set-up ---- */

static bool add_header(struct panel_call *call, const char *name, const char *value)
{
    char line[PANEL_ETAG_MAX + 64];

    if (snprintf(line, sizeof(line), "%s: %s", name, value) >= (int)sizeof(line))
        return false;
    struct curl_slist *l = curl_slist_append(call->headers, line);
    if (l == NULL)
        return false;
    call->headers = l;
    return true;
}

static bool set_headers(struct panel_call *call, const struct panel_request *r)
{
    char seq[24];
    bool ok = true;

    if (r->etag != NULL && r->etag[0] != '\0')
        ok = add_header(call, "If-None-Match", r->etag);
    if (r->post) {
        ok = ok && add_header(call, "Content-Type", "application/json");
        /* libcurl would ask leave for large bodies; panels behind simple servers never answer
         * that. */
        struct curl_slist *l = curl_slist_append(call->headers, "Expect:");
        ok = ok && l != NULL;
        call->headers = l != NULL ? l : call->headers;
    }
    if (r->idempotency_key != NULL) {
        snprintf(seq, sizeof(seq), "%" PRIu64, r->seq);
        ok = ok && add_header(call, "Idempotency-Key", r->idempotency_key) &&
             add_header(call, "X-Report-Seq", seq);
    }
    return ok;
}

static bool is_loopback(const char *url)
{
    CURLU *u = curl_url();
    char *host = NULL;
    bool yes = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
               (strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
                strcmp(host, "[::1]") == 0);

    curl_free(host);
    curl_url_cleanup(u);
    return yes;
}

static void set_route(CURL *e, const struct config_api *api, const char *url)
{
    char ip[ADDR_STRLEN], name[ADDR_STRLEN + 8];

    if (api->send_ip.family != ADDR_NONE && !addr_is_any(&api->send_ip)) {
        snprintf(name, sizeof(name), "host!%s", addr_ip_str(&api->send_ip, ip));
        curl_easy_setopt(e, CURLOPT_INTERFACE, name);
    }
    if (api->proxy != NULL && api->proxy[0] != '\0')
        curl_easy_setopt(e, CURLOPT_PROXY, api->proxy);
    else if (is_loopback(url))
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*"); /* whatever the environment says */
    if (api->ca != NULL && api->ca[0] != '\0')
        curl_easy_setopt(e, CURLOPT_CAINFO, api->ca);
    if (api->insecure) {
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static bool set_up(struct panel_call *call, const struct panel_request *r)
{
    CURL *e = call->easy;

    if (!set_headers(call, r))
        return false;
    set_route(e, r->api, r->url);
    curl_easy_setopt(e, CURLOPT_PRIVATE, call);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "v2sp/" V2SP_VERSION);
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_reply);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 16384L);
    if (r->post) {
        curl_easy_setopt(e, CURLOPT_POST, 1L);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        curl_easy_setopt(e, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(e, CURLOPT_READDATA, call);
        curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_body);
        curl_easy_setopt(e, CURLOPT_SEEKDATA, call);
    }
    return curl_easy_setopt(e, CURLOPT_URL, r->url) == CURLE_OK;
}

struct panel_call *panel_start(struct panel_client *c, const struct panel_request *r)
{
    struct panel_call *call = calloc(1, sizeof(*call));
    CURL *easy = curl_easy_init();

    if (call == NULL || easy == NULL) {
        free(call);
        curl_easy_cleanup(easy);
        free(r->own_body);
        return NULL;
    }
    call->client = c;
    call->easy = easy;
    call->req = *r;
    call->req.api = NULL;
    call->req.url = call->req.etag = call->req.idempotency_key = NULL;
    call->req.own_body = NULL;
    call->body = r->own_body;
    call->deadline_ms = loop_now_ms(c->loop) + r->api->timeout_ms;
    list_add_tail(&c->calls, &call->node);
    timer_init(&call->retry, on_retry);
    if (!set_up(call, r) || !attempt(call)) {
        free_call(call);
        return NULL;
    }
    return call;
}
