#include "h2/test_client.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void need(bool ok)
{
    if (!ok)
        abort();
}

static struct test_answer *answer_of(struct test_client *c, int32_t id)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->answers[i].id == id)
            return &c->answers[i];
    return NULL;
}

static ssize_t on_send(nghttp2_session *s, const uint8_t *data, size_t len, int flags, void *user)
{
    struct test_client *c = user;
    (void)s;
    (void)flags;
    need(bufq_put(&c->out, data, len, c->pool) == ST_OK);
    return (ssize_t)len;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nlen,
                     const uint8_t *value, size_t vlen, uint8_t flags, void *user)
{
    struct test_answer *a = answer_of(user, f->hd.stream_id);
    (void)s;
    (void)flags;
    if (a != NULL) {
        size_t at = strlen(a->heads);
        snprintf(a->heads + at, sizeof(a->heads) - at, "%.*s: %.*s\n", (int)nlen,
                 (const char *)name, (int)vlen, (const char *)value);
    }
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *user)
{
    struct test_client *c = user;
    struct test_answer *a = answer_of(c, id);
    (void)flags;
    need(a != NULL && a->len + len <= TEST_CLIENT_BODY);
    memcpy(a->body + a->len, data, len);
    a->len += len;
    if (!c->hold)
        nghttp2_session_consume(s, id, len);
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct test_client *c = user;
    struct test_answer *a = answer_of(c, f->hd.stream_id);
    (void)s;
    if (a != NULL && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA))
        a->ended = true;
    c->goaway |= f->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t code, void *user)
{
    struct test_answer *a = answer_of(user, id);
    (void)s;
    if (a != NULL) {
        a->closed = true;
        a->code = code;
    }
    return 0;
}

void test_client_init(struct test_client *c, struct pool *p)
{
    nghttp2_session_callbacks *cb;
    nghttp2_option *opt;

    *c = (struct test_client){.pool = p};
    bufq_init(&c->out, UINT32_MAX);
    need(nghttp2_session_callbacks_new(&cb) == 0);
    need(nghttp2_option_new(&opt) == 0);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_option_set_no_auto_window_update(opt, 1);
    need(nghttp2_session_client_new2(&c->session, cb, c, opt) == 0);
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    need(nghttp2_submit_settings(c->session, 0, NULL, 0) == 0);
}

void test_client_fini(struct test_client *c)
{
    nghttp2_session_del(c->session);
    bufq_clear(&c->out, c->pool);
    for (unsigned i = 0; i < c->count; i++)
        free(c->answers[i].body);
}

static ssize_t on_source(nghttp2_session *s, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct test_request *r = source->ptr;
    size_t n = r->len - r->sent < len ? r->len - r->sent : len;
    (void)s;
    (void)id;
    (void)user;
    if (n > 0)
        memcpy(buf, (const uint8_t *)r->data + r->sent, n);
    r->sent += n;
    if (r->sent < r->len)
        return (ssize_t)n;
    if (r->open)
        return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(n, v)                                                                                   \
    (nghttp2_nv)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0              \
    }

struct test_answer *test_client_post(struct test_client *c, const char *path, const void *data,
                                     size_t len)
{
    need(c->count < TEST_CLIENT_STREAMS);
    struct test_answer *a = &c->answers[c->count];
    struct test_request *r = &c->requests[c->count++];
    nghttp2_nv nv[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", path),
                       NV(":authority", "h"), NV("te", "trailers")};
    bool open = r->open;
    *r = (struct test_request){.data = data, .len = len, .open = open};
    nghttp2_data_provider body = {.source.ptr = r, .read_callback = on_source};
    a->body = malloc(TEST_CLIENT_BODY);
    need(a->body != NULL);
    a->id = nghttp2_submit_request(c->session, NULL, nv, 5, &body, NULL);
    need(a->id > 0);
    return a;
}

void test_client_turn(struct test_client *c, struct bufq *in)
{
    while (!bufq_empty(in)) {
        struct span *s = bufq_pop(in);
        need(nghttp2_session_mem_recv(c->session, span_data(s), s->len) == (ssize_t)s->len);
        span_free(c->pool, s);
    }
    need(nghttp2_session_send(c->session) == 0);
}
