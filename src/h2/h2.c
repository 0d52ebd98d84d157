#include "h2/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "h2/h2_memory.h"

#define OUT_CAP     65536u
#define FIELDS_ROOM 512u
#define SHARE_FROM  2048u /* smaller pieces of a body are copied: they would hold a whole block */

#define STREAM_OF(l) LIST_ENTRY(l, struct h2_stream, link)

static void happened(struct h2 *h, struct h2_stream *s, unsigned event)
{
    s->events |= event;
    if (!list_linked(&s->ready))
        list_add_tail(&h->ready, &s->ready);
}

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static enum status failure(const struct h2 *h, long rv)
{
    if (h->failed != ST_OK)
        return h->failed;
    switch (rv) {
    case NGHTTP2_ERR_NOMEM:
        return ST_E_NOMEM;
    case NGHTTP2_ERR_FLOODED:
        return ST_E_LIMIT;
    default:
        return ST_E_PROTO;
    }
}

/* ---- what arrives ---------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers: nobody asks for them */
    struct h2_stream *s = pool_alloc(h->pool, sizeof(*s));
    if (s == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->id = frame->hd.stream_id;
    list_init(&s->ready);
    bufq_init(&s->in, h->conf.stream_window);
    bufq_init(&s->out, OUT_CAP);
    list_add_tail(&h->streams, &s->link);
    h->count++;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

/* Doubles the room for names and values; false without memory. */
static bool grow_fields(struct h2 *h, struct h2_stream *s, size_t need)
{
    size_t room = s->fields_room > 0 ? s->fields_room : FIELDS_ROOM;
    while (room < need)
        room *= 2;
    if (room == s->fields_room)
        return true;
    char *p = pool_alloc(h->pool, room);
    if (p == NULL)
        return false;
    if (s->fields_len > 0)
        memcpy(p, s->fields, s->fields_len);
    pool_release(h->pool, s->fields, s->fields_room);
    s->fields = p;
    s->fields_room = room;
    return true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);

    (void)flags;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST || s == NULL)
        return 0;
    if (s->head_size > h->conf.head_max)
        return 0; /* reset already, once */
    s->head_size += name_len + value_len;
    if (s->head_size > h->conf.head_max) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_ENHANCE_YOUR_CALM);
        return 0;
    }
    if (!grow_fields(h, s, s->fields_len + name_len + value_len + 2))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    memcpy(s->fields + s->fields_len, name, name_len);
    s->fields_len += name_len;
    s->fields[s->fields_len++] = '\0';
    memcpy(s->fields + s->fields_len, value, value_len);
    s->fields_len += value_len;
    s->fields[s->fields_len++] = '\0';
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h = user;

    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
        s->head_size <= h->conf.head_max)
        happened(h, s, H2_REQUEST);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        s->half_closed = s->in.eof = true;
        happened(h, s, H2_DATA);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = stream_of(session, id);

    (void)flags;
    if (s == NULL) {
        nghttp2_session_consume(session, id, len);
        return 0;
    }
    const struct blk *b = h->from->blk;
    if (len >= SHARE_FROM && data >= b->mem && data + len <= b->mem + b->size) {
        struct span *part = span_share(h->pool, h->from);
        if (part == NULL)
            goto nomem;
        part->off = (uint32_t)(data - b->mem);
        part->len = (uint32_t)len;
        part->flags = 0;
        bufq_push(&s->in, part);
    } else if (bufq_put(&s->in, data, len, h->pool) != ST_OK) {
        goto nomem;
    }
    s->held += len;
    happened(h, s, H2_DATA);
    return 0;
nomem:
    h->failed = ST_E_NOMEM;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = stream_of(session, id);

    (void)code;
    if (s == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    /* What lies here unread no longer counts against the peer's window of the connection. */
    nghttp2_session_consume_connection(session, s->held);
    s->held = 0;
    bufq_clear(&s->in, h->pool);
    bufq_clear(&s->out, h->pool);
    s->closed = s->in.eof = true;
    happened(h, s, H2_CLOSED);
    return 0;
}

enum status h2_read(struct h2 *h, struct bufq *in)
{
    while (!bufq_empty(in)) {
        struct span *s = bufq_pop(in);
        h->from = s;
        ssize_t n = nghttp2_session_mem_recv(h->session, span_data(s), s->len);
        h->from = NULL;
        bool whole = n == (ssize_t)s->len;
        span_free(h->pool, s);
        if (n < 0)
            return failure(h, n);
        if (!whole)
            return ST_E_PROTO;
    }
    return ST_OK;
}

/* ---- what goes out --------------------------------------------------------------------------- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *user)
{
    struct h2 *h = user;

    (void)session;
    (void)flags;
    if (bufq_room(h->wire) == 0)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (bufq_put(h->wire, data, len, h->pool) != ST_OK) {
        h->failed = ST_E_NOMEM;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)len;
}

/* The head of a DATA frame, and its bytes moved, not copied. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t len, nghttp2_data_source *source, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = source->ptr;

    (void)session;
    (void)frame; /* never padded: there is no select_padding callback */
    if (bufq_room(h->wire) == 0)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (bufq_put(h->wire, head, 9, h->pool) != ST_OK ||
        bufq_move_bytes(h->wire, &s->out, len, h->pool) != len) {
        h->failed = ST_E_NOMEM;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!s->out.eof && s->out.bytes < OUT_CAP / 2)
        happened(h, s, H2_ROOM);
    return 0;
}

static size_t split(const char *fields, size_t len, nghttp2_nv *nv, size_t max)
{
    size_t n = 0;

    for (size_t at = 0; at < len && n < max; n++) {
        union {
            const char *in;
            uint8_t *out;
        } name = {fields + at}, value;
        nv[n].namelen = strlen(fields + at);
        at += nv[n].namelen + 1;
        value.in = fields + at;
        nv[n].valuelen = strlen(fields + at);
        at += nv[n].valuelen + 1;
        nv[n].name = name.out;
        nv[n].value = value.out;
        nv[n].flags = NGHTTP2_NV_FLAG_NONE;
    }
    return n;
}

static ssize_t on_source(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *s = source->ptr;

    (void)buf;
    (void)user;
    if (s->out.bytes == 0 && !s->out.eof) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = s->out.bytes < len ? s->out.bytes : len;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < s->out.bytes || !s->out.eof)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers_len > 0) {
        nghttp2_nv nv[H2_HEADERS_MAX];
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, nv,
                                   split(s->trailers, s->trailers_len, nv, H2_HEADERS_MAX)) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    struct h2_stream *s = stream_of(session, frame->hd.stream_id);
    if (s != NULL && !s->half_closed) /* RFC 9113 section 8.1 */
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    return 0;
}

enum status h2_write(struct h2 *h, struct bufq *out)
{
    h->wire = out;
    int rv = nghttp2_session_send(h->session);
    h->wire = NULL;
    if (rv != 0)
        return failure(h, rv);
    return bufq_room(out) == 0 && nghttp2_session_want_write(h->session) ? ST_FULL : ST_OK;
}

/* ---- session --------------------------------------------------------------------------------- */

static enum status make_session(struct h2 *h)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    nghttp2_mem mem = h2_memory(h->pool);
    enum status st = ST_E_NOMEM;

    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0)
        goto out;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_option_set_no_auto_window_update(opt, 1);
    /* Closed streams are kept for the priorities of RFC 7540, which nobody uses. */
    nghttp2_option_set_no_closed_streams(opt, 1);
    if (nghttp2_session_server_new3(&h->session, cb, h, opt, &mem) == 0)
        st = ST_OK;
out:
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return st;
}

enum status h2_init(struct h2 *h, struct pool *p, const struct h2_conf *conf)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conf->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, conf->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, conf->head_max},
    };

    *h = (struct h2){.pool = p, .conf = *conf};
    list_init(&h->streams);
    list_init(&h->ready);
    if (make_session(h) != ST_OK)
        return ST_E_NOMEM;
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof(settings) / sizeof(settings[0])) != 0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)conf->conn_window) != 0) {
        h2_fini(h);
        return ST_E_NOMEM;
    }
    return ST_OK;
}

void h2_stream_free(struct h2 *h, struct h2_stream *s)
{
    list_del(&s->link);
    list_del(&s->ready);
    bufq_clear(&s->in, h->pool);
    bufq_clear(&s->out, h->pool);
    pool_release(h->pool, s->fields, s->fields_room);
    pool_release(h->pool, s->trailers, s->trailers_len);
    pool_release(h->pool, s, sizeof(*s));
    h->count--;
}

void h2_fini(struct h2 *h)
{
    nghttp2_session_del(h->session);
    h->session = NULL;
    while (!list_empty(&h->streams))
        h2_stream_free(h, STREAM_OF(h->streams.next));
}

struct h2_stream *h2_next(struct h2 *h, unsigned *events)
{
    if (list_empty(&h->ready))
        return NULL;
    struct h2_stream *s = LIST_ENTRY(h->ready.next, struct h2_stream, ready);
    list_del(&s->ready);
    *events = s->events;
    s->events = 0;
    return s;
}

bool h2_is_over(const struct h2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

void h2_shutdown(struct h2 *h)
{
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

/* ---- streams --------------------------------------------------------------------------------- */

const char *h2_field(const struct h2_stream *s, const char *name)
{
    for (size_t at = 0; at < s->fields_len;) {
        const char *value = s->fields + at + strlen(s->fields + at) + 1;
        if (strcmp(s->fields + at, name) == 0)
            return value;
        at = (size_t)(value - s->fields) + strlen(value) + 1;
    }
    return NULL;
}

static nghttp2_nv nv_of(const char *name, const char *value)
{
    union {
        const char *in;
        uint8_t *out;
    } n = {name}, v = {value};
    return (nghttp2_nv){.name = n.out,
                        .value = v.out,
                        .namelen = strlen(name),
                        .valuelen = strlen(value),
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

enum status h2_respond(struct h2 *h, struct h2_stream *s, unsigned status,
                       const struct h2_header *headers, size_t n, bool end)
{
    nghttp2_nv nv[H2_HEADERS_MAX + 1];
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = on_source};
    char text[4];

    if (s->closed || s->responded)
        return ST_OK;
    BUG_ON(n > H2_HEADERS_MAX || status < 100 || status > 599);
    snprintf(text, sizeof(text), "%u", status);
    nv[0] = nv_of(":status", text);
    for (size_t i = 0; i < n; i++)
        nv[i + 1] = nv_of(headers[i].name, headers[i].value);
    s->responded = true;
    if (nghttp2_submit_response(h->session, s->id, nv, n + 1, end ? NULL : &body) != 0)
        return ST_E_NOMEM;
    return ST_OK;
}

enum status h2_trailers(struct h2 *h, struct h2_stream *s, const struct h2_header *headers,
                        size_t n)
{
    size_t len = 0, at = 0;

    if (s->closed || s->trailers_len > 0)
        return ST_OK;
    BUG_ON(n > H2_HEADERS_MAX);
    for (size_t i = 0; i < n; i++)
        len += strlen(headers[i].name) + strlen(headers[i].value) + 2;
    s->trailers = pool_alloc(h->pool, len);
    if (s->trailers == NULL)
        return ST_E_NOMEM;
    s->trailers_len = len;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(s->trailers + at, len - at, "%s%c%s", headers[i].name, '\0',
                               headers[i].value) +
              1;
    return ST_OK;
}

void h2_wake(struct h2 *h, struct h2_stream *s)
{
    if (s->closed || !s->deferred)
        return;
    s->deferred = false;
    (void)nghttp2_session_resume_data(h->session, s->id);
}

size_t h2_window(const struct h2 *h, const struct h2_stream *s)
{
    int32_t of_stream =
        s->closed ? 0 : nghttp2_session_get_stream_remote_window_size(h->session, s->id);
    int32_t of_all = nghttp2_session_get_remote_window_size(h->session);
    int32_t least = of_stream < of_all ? of_stream : of_all;

    return least > 0 ? (size_t)least : 0;
}

void h2_ate(struct h2 *h, struct h2_stream *s, size_t n)
{
    if (n > s->held)
        n = s->held;
    s->held -= n;
    if (n > 0 && !s->closed)
        (void)nghttp2_session_consume(h->session, s->id, n);
}

void h2_reset(struct h2 *h, struct h2_stream *s, uint32_t code)
{
    if (!s->closed)
        (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code);
}
