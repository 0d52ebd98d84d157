/* A carrier fed with anything, in any cuts, its streams answering and closing as the first bytes
 * say: it never breaks, keeps its bounds, and its sums agree with what lies in the queues. */
#include "proto/mux/test_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FUZZ_BYTES = 1,
    FUZZ_TIGHT = 2,
    FUZZ_ECHO = 4,
    FUZZ_CLOSE = 8,
    FUZZ_REFUSE = 16,
    FUZZ_RESUMED = 32
};

static void check(struct rig *r)
{
    uint64_t up = 0, down = 0;
    for (unsigned i = 0; i < RIG_STREAMS; i++) {
        const struct rig_stream *s = &r->streams[i];
        if (!s->used || s->mux.up == NULL)
            continue;
        up += s->up.bytes;
        down += s->down.bytes;
        if (s->mux.udp && s->up.count > MUX_UP_COUNT_MAX)
            abort();
    }
    if (up != r->mux.up_queued || down != r->mux.down_queued)
        abort();
}

static void sweep(struct rig *r)
{
    struct mux_stream *st;
    while (mux_take_drained(&r->mux) != NULL)
        ;
    while ((st = mux_take_closed(&r->mux)) != NULL)
        rig_free_stream(r, rig_of(st));
}

static void act(struct rig *r, uint8_t how)
{
    for (unsigned i = 0; i < RIG_STREAMS; i++) {
        struct rig_stream *s = &r->streams[i];
        if (!s->used || s->mux.up == NULL)
            continue;
        if (how & FUZZ_ECHO) {
            bufq_move(&s->down, &s->up);
            mux_taken(&r->mux, &s->mux);
            mux_pushed(&r->mux, &s->mux);
        } else if (s->up.bytes > 64 && (how & FUZZ_CLOSE)) {
            bufq_clear(&s->up, r->pool);
            bufq_clear(&s->down, r->pool);
            mux_close(&r->mux, &s->mux, i & 1);
        }
    }
    enum status st = mux_tx(&r->mux, &r->out);
    if (st < 0)
        abort();
    bufq_clear(&r->out, r->pool);
    sweep(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig r;
    if (size < 1)
        return 0;
    uint8_t how = *data++;
    size--;
    rig_init(&r);
    r.refuse = how & FUZZ_REFUSE;
    r.resumed = how & FUZZ_RESUMED;
    if (how & FUZZ_TIGHT)
        r.out.cap = 1;
    enum status st = ST_MORE;
    while (size > 0 && st >= 0) {
        size_t n = how & FUZZ_BYTES ? 1 + size % 3 : size;
        n = n < size ? n : size;
        st = rig_feed(&r, data, n);
        if (st < 0 && r.why.text == NULL)
            abort();
        data += n;
        size -= n;
        check(&r);
        act(&r, how);
        check(&r);
    }
    rig_fini(&r);
    return 0;
}
