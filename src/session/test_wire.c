#include "session/test_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "codec/ws_frame.h"
#include "proto/vmess/test_vmess.h"
#include "tls/test_client.h"

#define GET                                                                                        \
    "GET /w HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"             \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
#define TALK_MAX   65536
#define CHUNK_OVER 128u /* more than a chunk has around its payload */

void test_bytes_add(struct test_bytes *b, const void *data, size_t n)
{
    if (b->room - b->len < n) {
        b->room = 2 * (b->len + n);
        b->p = realloc(b->p, b->room);
        BUG_ON(b->p == NULL);
    }
    if (n > 0)
        memcpy(b->p + b->len, data, n);
    b->len += n;
}

void test_bytes_drop(struct test_bytes *b, size_t n)
{
    b->len -= n;
    if (b->len > 0)
        memmove(b->p, b->p + n, b->len);
}

void test_bytes_free(struct test_bytes *b)
{
    free(b->p);
    *b = (struct test_bytes){0};
}

/* ---- up -------------------------------------------------------------------------------------- */

/* What TLS has to say by now, and the client's bytes as soon as it is through. */
static void talk(struct test_wire *w, const uint8_t *in, size_t n)
{
    static uint8_t out[TALK_MAX];
    size_t said;

    do {
        said = test_client_talk(w->tls, in, n, out, sizeof(out));
        test_bytes_add(&w->out, out, said);
        n = 0;
        if (test_client_ready(w->tls) && w->early.len > 0) {
            BUG_ON(!test_client_send(w->tls, w->early.p, w->early.len));
            test_bytes_drop(&w->early, w->early.len);
            said = 1; /* once more */
        }
    } while (said > 0);
}

/* Bytes that go below the @level lowest WebSockets. */
static void put(struct test_wire *w, unsigned level, uint8_t opcode, const void *data, size_t n)
{
    static const uint8_t mask[4] = {0xa1, 0x02, 0xff, 0x40};

    if (level > 0) {
        uint8_t *frame = malloc(n + WS_FRAME_HEAD_MAX);
        BUG_ON(frame == NULL);
        size_t head = ws_frame_build(frame, opcode, n, mask);
        memcpy(frame + head, data, n);
        (void)ws_mask(frame + head, n, mask, 0);
        put(w, level - 1, WS_BINARY, frame, head + n);
        free(frame);
    } else if (w->tls != NULL) {
        test_bytes_add(&w->early, data, n);
        talk(w, NULL, 0);
    } else {
        test_bytes_add(&w->out, data, n);
    }
}

void test_wire_init(struct test_wire *w, uint16_t tls, unsigned ws)
{
    const struct test_client_options o = {.version = tls};

    *w = (struct test_wire){.ws = ws};
    if (tls != 0) {
        w->tls = test_client_new(&o);
        BUG_ON(w->tls == NULL);
        talk(w, NULL, 0);
    }
    /* All at once: whoever waited for the answers would send the same. */
    for (unsigned i = 0; i < ws; i++)
        put(w, i, WS_BINARY, GET, strlen(GET));
}

void test_wire_fini(struct test_wire *w)
{
    if (w->vmess != NULL)
        bufq_clear(&w->vmess_in, w->vmess->pool);
    test_client_free(w->tls);
    for (unsigned i = 0; i < w->ws; i++)
        test_bytes_free(&w->at[i].in);
    test_bytes_free(&w->early);
    test_bytes_free(&w->out);
    test_bytes_free(&w->plain);
}

void test_wire_speak_vmess(struct test_wire *w, struct test_vmess *c, const void *hello, size_t n)
{
    test_wire_send(w, hello, n);
    w->vmess = c;
    w->answer_left = VMESS_ANSWER_LEN;
    bufq_init(&w->vmess_in, UINT32_MAX);
}

void test_wire_send(struct test_wire *w, const void *data, size_t n)
{
    if (w->vmess == NULL) {
        put(w, w->ws, WS_BINARY, data, n);
        return;
    }
    uint8_t *sealed = malloc(n + (n / w->chunk + 1) * CHUNK_OVER);
    BUG_ON(sealed == NULL);
    put(w, w->ws, WS_BINARY, sealed, test_vmess_body(w->vmess, data, n, w->chunk, sealed));
    free(sealed);
}

void test_wire_end(struct test_wire *w)
{
    uint8_t last[CHUNK_OVER];

    if (w->vmess != NULL)
        put(w, w->ws, WS_BINARY, last, test_vmess_empty(w->vmess, last));
    if (w->ws > 0) {
        put(w, w->ws, WS_CLOSE, "\x03\xe8", 2);
    } else if (w->tls != NULL) {
        test_client_close(w->tls);
        talk(w, NULL, 0);
    }
}

/* ---- down ------------------------------------------------------------------------------------ */

static void take(struct test_wire *w, unsigned level, const void *data, size_t n);

/* The answer to the upgrade. False: it is not whole. */
static bool take_answer(struct test_wire *w, struct test_wire_ws *s)
{
    static const char wanted[] = "HTTP/1.1 101 ";
    const uint8_t *end = s->in.len > 0 ? memmem(s->in.p, s->in.len, "\r\n\r\n", 4) : NULL;

    if (end == NULL)
        return false;
    w->broken |= memcmp(s->in.p, wanted, strlen(wanted)) != 0;
    s->upgraded = true;
    test_bytes_drop(&s->in, (size_t)(end - s->in.p) + 4);
    return true;
}

/* The frame of WebSocket @level that begins @at bytes into what is there. Returns its size, 0:
 * it is not whole. */
static size_t take_frame(struct test_wire *w, unsigned level, size_t at)
{
    struct test_wire_ws *s = &w->at[level];
    struct ws_frame f;

    if (ws_frame_parse(s->in.p + at, s->in.len - at, &f) != ST_OK ||
        s->in.len - at - f.size < f.len)
        return 0;
    if (f.opcode == WS_CLOSE)
        s->ended = true;
    else if (f.opcode == WS_BINARY)
        take(w, level + 1, s->in.p + at + f.size, (size_t)f.len);
    return f.size + (size_t)f.len;
}

/* What came out of all WebSockets. */
static void take_plain(struct test_wire *w, const uint8_t *data, size_t n)
{
    struct test_vmess *c = w->vmess;
    struct bufq up;

    if (c == NULL) {
        test_bytes_add(&w->plain, data, n);
        return;
    }
    uint32_t answer = w->answer_left < n ? w->answer_left : (uint32_t)n;
    w->answer_left -= answer;
    bufq_init(&up, UINT32_MAX);
    BUG_ON(bufq_put(&w->vmess_in, data + answer, n - answer, c->pool) != ST_OK);
    w->broken |= vmess_chunks_open(&c->down, &c->cc, c->pool, &w->vmess_in, &up, false) < 0;
    for (struct span *s; (s = bufq_pop(&up)) != NULL; span_free(c->pool, s))
        test_bytes_add(&w->plain, span_data(s), s->len);
}

/* What came out of the @level lowest WebSockets. */
static void take(struct test_wire *w, unsigned level, const void *data, size_t n)
{
    if (level == w->ws) {
        take_plain(w, data, n);
        return;
    }
    struct test_wire_ws *s = &w->at[level];
    test_bytes_add(&s->in, data, n);
    if (!s->upgraded && !take_answer(w, s))
        return;
    size_t at = 0, more;
    while (at < s->in.len && (more = take_frame(w, level, at)) > 0)
        at += more;
    test_bytes_drop(&s->in, at);
    if (level + 1 == w->ws)
        w->ended |= s->ended;
}

void test_wire_feed(struct test_wire *w, const void *data, size_t n)
{
    if (w->tls == NULL) {
        take(w, 0, data, n);
        return;
    }
    talk(w, data, n);
    size_t have;
    const uint8_t *all = test_client_data(w->tls, &have);
    size_t from = w->tls_seen;
    w->tls_seen = have;
    if (have > from)
        take(w, 0, all + from, have - from);
    w->broken |= test_client_failed(w->tls);
    w->ended |= w->ws == 0 && test_client_eof(w->tls);
}
