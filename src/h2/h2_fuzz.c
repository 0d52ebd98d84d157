/* A client that says anything, in pieces: the first byte of the input is how long they are, an odd
 * one puts the preface before the rest. Requests are answered in different ways. */
#include <stdlib.h>
#include <string.h>

#include "h2/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct h2_conf conf = {
    .streams_max = 8, .stream_window = 1024, .conn_window = 65535, .head_max = 512};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void answer(struct h2 *h, struct h2_stream *s, unsigned ev)
{
    static const struct h2_header head = {"x", "y"};

    if (ev & H2_CLOSED) {
        h2_stream_free(h, s);
        return;
    }
    if (ev & H2_REQUEST) {
        check(h2_field(s, ":method") != NULL);
        bool end = s->id % 4 == 1;
        if (s->id % 8 == 7)
            h2_reset(h, s, H2_CANCEL);
        check(h2_respond(h, s, 200, &head, 1, end) == ST_OK);
        check(h2_trailers(h, s, &head, 1) == ST_OK);
    }
    size_t n = s->in.bytes;
    if (n > 0 && !s->closed)
        (void)bufq_move_bytes(&s->out, &s->in, n, h->pool);
    h2_ate(h, s, n);
    s->out.eof = s->in.eof;
    h2_wake(h, s);
}

static bool turn(struct h2 *h, struct bufq *in, struct bufq *out)
{
    unsigned ev;

    enum status st = h2_read(h, in);
    for (struct h2_stream *s; (s = h2_next(h, &ev)) != NULL;)
        answer(h, s, ev);
    if (st != ST_OK)
        return false;
    st = h2_write(h, out);
    bufq_clear(out, h->pool);
    return st >= ST_OK && !h2_is_over(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct h2 h;
    struct bufq in, out;

    if (size < 2 || size > 65536)
        return 0;
    struct pool *p = pool_new(0);
    check(p != NULL && h2_init(&h, p, &conf) == ST_OK);
    bufq_init(&in, 1 << 20);
    bufq_init(&out, 4096);
    if (data[0] & 1)
        check(bufq_put(&in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, p) == ST_OK);
    for (size_t at = 1, piece = (size_t)data[0] * 4 + 1; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        check(bufq_put(&in, data + at, n, p) == ST_OK);
        if (!turn(&h, &in, &out))
            break;
    }
    bufq_clear(&in, p);
    bufq_clear(&out, p);
    h2_fini(&h);
    check(pool_used(p) == 0);
    pool_free(p);
    return 0;
}
