#include <string.h>

#include "codec/base64.h"
#include "codec/http1_write.h"
#include "crypto/hash.h"
#include "http/answer.h"
#include "http/forwarded.h"
#include "transport/ws/ws_state.h"

#define KEY_LEN    24u /* base64 of 16 bytes */
#define ACCEPT_LEN BASE64_ENCODED_LEN(HASH_SHA1_LEN)
#define HEAD_101   160u /* the answer without the echoed protocol */

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static bool key_is_valid(struct http1_str key)
{
    uint8_t raw[BASE64_DECODED_MAX(KEY_LEN)];
    size_t len;
    return key.len == KEY_LEN &&
           base64_decode(raw, &len, key.p, key.len, BASE64_ANY_TAIL) == ST_OK && len == 16;
}

/* 0 for an upgrade to take, else the status to refuse it with. The order is that of Xray-core and
 * gorilla/websocket. */
static unsigned judge(const struct ws_conf *c, const struct http1_head *h, const char *path,
                      size_t path_len, struct http1_str *key)
{
    if (c->host != NULL && !http_host_matches(c->host, h->host))
        return 404;
    if (!http_path_matches(&c->path, path, path_len))
        return 404;
    if (!http1_field_has_token(h, "connection", "upgrade") ||
        !http1_field_has_token(h, "upgrade", "websocket"))
        return 400;
    if (!http1_str_equal(h->method, "GET"))
        return 405;
    if (!http1_field_has_token(h, "sec-websocket-version", "13"))
        return 400;
    if (!http1_field_get(h, "sec-websocket-key", key) || !key_is_valid(*key))
        return 400;
    return 0;
}

static bool has_body(const struct http1_head *h)
{
    return h->body == HTTP1_BODY_CHUNKED || (h->body == HTTP1_BODY_LENGTH && h->content_length > 0);
}

/* Answers with @status. The connection lives on as the client wishes; one whose request has a body
 * ends, so that nobody has to read it. */
static enum status refuse(struct ws *w, struct turn *t, const struct http1_head *h, unsigned status)
{
    struct pool *p = w->layer.env->pool;
    struct http_refusal r = {
        .status = status,
        .head = http1_str_equal(h->method, "HEAD"),
        .close = !h->keep_alive || has_body(h),
    };
    if (status != 404) {
        r.field = "Sec-Websocket-Version";
        r.field_value = "13";
        r.text = status == 405 ? "Method Not Allowed\n" : "Bad Request\n";
    }
    enum status st = http_refuse(t->wire_out, p, &r, t->unix_s);
    if (st != ST_OK)
        return st;
    if (r.close) {
        w->phase = WS_CLOSED;
        return turn_fail(t, ST_E_PROTO, "not a websocket request of this node", (long)status);
    }
    bufq_drop(t->wire_in, h->size, p);
    w->scan = (struct http1_scan){0};
    w->head_by = 0;
    return ST_OK;
}

/* Bytes that are no request: answered as Go does, then the end. */
static enum status refuse_bytes(struct ws *w, struct turn *t, const struct http1_head *h,
                                enum status why)
{
    w->phase = WS_CLOSED;
    enum status st = http_refuse_bytes(t->wire_out, w->layer.env->pool, why, h);
    return st != ST_OK ? st : turn_fail(t, why, "not an HTTP/1 request", 0);
}

/* Decodes @protocol as early data: base64 of either alphabet with its padding dropped. *@len is 0
 * when it is none. @dst takes as many bytes as @protocol has. */
static void decode_early(uint8_t *dst, size_t *len, struct http1_str protocol)
{
    char *text = (char *)dst;
    size_t n = 0;
    for (size_t i = 0; i < protocol.len; i++) {
        char c = protocol.p[i];
        if (c != '=')
            text[n++] = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    *len = 0;
    if (base64_decode(dst, len, text, n, BASE64_URL | BASE64_UNPADDED | BASE64_ANY_TAIL) != ST_OK)
        *len = 0;
}

static enum status send_101(struct ws *w, struct turn *t, struct http1_str key,
                            struct http1_str protocol)
{
    const struct env *env = w->layer.env;
    const struct hash_piece pieces[] = {{key.p, key.len}, {guid, sizeof(guid) - 1}};
    uint8_t digest[HASH_SHA1_LEN];
    char accept[ACCEPT_LEN + 1];
    struct http1_writer out;

    enum status st = hash_pieces(env->crypto, HASH_SHA1, pieces, 2, digest);
    if (st != ST_OK)
        return turn_fail(t, st, "SHA-1 of the websocket key", 0);
    base64_encode(accept, digest, sizeof(digest), 0);
    size_t cap = HEAD_101 + protocol.len;
    struct span *s = span_new_for(env->pool, cap);
    if (s == NULL)
        return ST_E_NOMEM;
    http1_begin_response(&out, (char *)span_data(s), cap, 101, NULL);
    http1_add_field(&out, "Upgrade", "websocket");
    http1_add_field(&out, "Connection", "Upgrade");
    http1_add_field(&out, "Sec-WebSocket-Accept", accept);
    if (protocol.len > 0)
        http1_add_field_n(&out, "Sec-WebSocket-Protocol", protocol.p, protocol.len);
    BUG_ON(http1_end(&out) != ST_OK);
    s->len = (uint32_t)out.len;
    s->flags = SPAN_EDGE | SPAN_ALONE;
    bufq_push(t->wire_out, s);
    return ST_OK;
}

/* Whether this client loses what it reads together with the 101: sing-box's does on plain TCP. It
 * is known by the order of its fields, its library writes Upgrade before Connection. Below TLS the
 * 101 is a record of its own and Go reads one at a time, and a proxy in between reads it for
 * itself. */
static bool loses_what_follows(const struct http1_head *h, const struct conn_info *info)
{
    static const char *const proxied[] = {"x-forwarded-for", "x-real-ip", "via"};
    struct http1_field f = {0};
    struct http1_str value;
    if (info != NULL && (info->tls13 || info->alpn != NULL || info->sni != NULL))
        return false;
    for (size_t i = 0; i < sizeof(proxied) / sizeof(proxied[0]); i++)
        if (http1_field_get(h, proxied[i], &value))
            return false;
    while (http1_field_next(h, &f) && !http1_str_is(f.name, "connection"))
        if (http1_str_is(f.name, "upgrade"))
            return true;
    return false;
}

static enum status upgrade(struct ws *w, struct turn *t, const struct http1_head *h,
                           struct http1_str key)
{
    const struct env *env = w->layer.env;
    uint8_t early[HTTP1_HEAD_MAX];
    size_t early_len = 0;
    struct http1_str protocol = {NULL, 0};

    if (http1_field_get(h, "sec-websocket-protocol", &protocol))
        decode_early(early, &early_len, protocol);
    /* sing-box wants the protocol back exactly as it sent it; one that is no early data is not
     * echoed. */
    if (early_len == 0)
        protocol.len = 0;
    enum status st = send_101(w, t, key, protocol);
    if (st == ST_OK && early_len > 0)
        st = bufq_put(t->up, early, early_len, env->pool);
    if (st != ST_OK)
        return st;
    if (env->info != NULL)
        (void)http_forwarded_for(h, w->conf->trusted_xff, w->conf->trusted_xff_count,
                                 &env->info->peer);
    w->phase = WS_OPEN;
    w->left = 0;
    ws_release(w, t->now_us);
    if (early_len > 0 && loses_what_follows(h, env->info)) {
        w->hold = t->now_us + WS_HOLD_US;
        w->ping_at = t->now_us + WS_PROBE_US;
    }
    bufq_drop(t->wire_in, h->size, env->pool); /* only now: the texts of @h lie in it */
    t->ev->mask |= EV_READY;
    return ST_OK;
}

/* Parses what wire_in begins with, making it contiguous only when a head spans several reads. */
static enum status parse_head(struct ws *w, struct turn *t, struct http1_head *h)
{
    const struct span *first = t->wire_in->head;
    enum status st = http1_parse_request((const char *)span_data(first), first->len, &w->scan, h);
    if (st != ST_MORE || t->wire_in->bytes == first->len)
        return st;
    size_t n = t->wire_in->bytes < HTTP1_HEAD_MAX ? t->wire_in->bytes : HTTP1_HEAD_MAX;
    const uint8_t *p = bufq_pullup(t->wire_in, n, w->layer.env->pool);
    if (p == NULL)
        return ST_E_NOMEM;
    return http1_parse_request((const char *)p, n, &w->scan, h);
}

enum status ws_handshake(struct ws *w, struct turn *t)
{
    while (w->phase == WS_REQUEST && t->wire_in->bytes > 0) {
        struct http1_head h;
        struct http1_str key;
        char path[HTTP1_HEAD_MAX];
        size_t path_len;

        if (bufq_room(t->wire_out) == 0)
            return ST_FULL;
        enum status st = parse_head(w, t, &h);
        if (st == ST_MORE || st == ST_E_NOMEM)
            return st;
        if (st == ST_OK)
            st = http1_path_decode(&h, path, &path_len);
        if (st != ST_OK)
            return refuse_bytes(w, t, &h, st);
        unsigned status = judge(w->conf, &h, path, path_len, &key);
        st = status != 0 ? refuse(w, t, &h, status) : upgrade(w, t, &h, key);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
