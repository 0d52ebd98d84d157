/* Vision both ways. Byte 0: bit 0 the sending side, bit 1 full queues, bit 2 shared blks; byte 1:
 * how long pieces are. The receiving side is compared with a reader of whole strings; what the
 * sending side makes is received again and must be what was sent. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/rng.h"
#include "proto/vless/vision_filter.h"
#include "proto/vless/vision_frame.h"
#include "proto/vless/vision_pad.h"

#define FUZZ_PAD    1
#define FUZZ_TIGHT  2
#define FUZZ_SHARED 4

static const uint8_t uuid[UUID_LEN] = {0x66, 0xad, 0x45, 0x40, 0xb5, 0x8c, 0x4a, 0xd2,
                                       0x99, 0x26, 0xea, 0x63, 0x44, 0x5a, 0x9b, 0x57};

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

struct fuzz {
    struct pool *pool;
    struct vision_filter filter;
    struct bufq in, out;
    uint8_t *got;
    size_t got_len;
};

static void collect(struct fuzz *z, struct bufq *q)
{
    struct span *s;

    while ((s = bufq_pop(q)) != NULL) {
        memcpy(z->got + z->got_len, span_data(s), s->len);
        z->got_len += s->len;
        span_free(z->pool, s);
    }
}

static void give(struct fuzz *z, const uint8_t *p, size_t n, struct bufq *held, uint8_t how)
{
    CHECK(bufq_put(&z->in, p, n, z->pool) == ST_OK);
    if ((how & FUZZ_SHARED) && z->in.tail != NULL) {
        struct span *s = span_share(z->pool, z->in.tail);
        CHECK(s != NULL);
        bufq_push(held, s);
    }
}

/* What the whole string @p means. Returns the payload's length, -1 for an error. */
static long read_whole(const uint8_t *p, size_t n, uint8_t *payload, size_t *rest)
{
    struct reader r = reader_of(p, n);
    size_t len = 0;

    *rest = 0;
    if (n < UUID_LEN ? memcmp(p, uuid, n) != 0 : memcmp(p, uuid, UUID_LEN) != 0) {
        memcpy(payload, p, n);
        return (long)n;
    }
    (void)reader_take(&r, UUID_LEN);
    while (reader_left(&r) >= VISION_HEAD && !r.bad) {
        uint8_t command = reader_u8(&r);
        size_t content = reader_u16(&r), padding = reader_u16(&r), left = reader_left(&r);
        size_t take = content < left ? content : left;
        if (command > VISION_SWITCH)
            return -1;
        memcpy(payload + len, r.p, take);
        len += take;
        if (content + padding > left)
            return (long)len;
        (void)reader_take(&r, content + padding);
        if (command == VISION_END) {
            memcpy(payload + len, r.p, reader_left(&r));
            return (long)(len + reader_left(&r));
        }
        if (command == VISION_SWITCH) {
            *rest = reader_left(&r);
            return (long)len;
        }
    }
    return (long)len;
}

static void fuzz_frame(struct fuzz *z, const uint8_t *p, size_t n, size_t step, uint8_t how)
{
    struct vision_frame f;
    uint8_t *want = malloc(n + 1);
    size_t rest;

    CHECK(want != NULL);
    long len = read_whole(p, n, want, &rest);
    enum status st = ST_OK;
    struct bufq held;
    bufq_init(&held, UINT32_MAX);
    vision_frame_init(&f, uuid);
    for (size_t at = 0; at < n && st >= 0; at += step) {
        give(z, p + at, n - at < step ? n - at : step, &held, how);
        do {
            st = vision_frame_rx(&f, &z->filter, z->pool, &z->in, &z->out);
            collect(z, &z->out);
        } while (st == ST_FULL);
    }
    CHECK((st < 0) == (len < 0));
    if (len >= 0) {
        CHECK(z->got_len == (size_t)len && memcmp(z->got, want, z->got_len) == 0);
        CHECK(f.mode != VISION_DIRECT || z->in.bytes == rest);
    }
    bufq_clear(&held, z->pool);
    free(want);
}

/* Takes one block, or plain bytes, as a receiver does. */
static void receive(struct fuzz *z, struct vision_frame *f, bool *first)
{
    struct bufq up, in;
    struct span *s;

    bufq_init(&up, UINT32_MAX);
    bufq_init(&in, UINT32_MAX);
    while ((s = bufq_pop(&z->out)) != NULL) {
        if (f->mode == VISION_PADDED) {
            CHECK(s->flags & SPAN_EDGE);
            CHECK(s->len <= VISION_BLOCK_MAX + (*first ? VISION_RESPONSE : 0));
        }
        CHECK(f->mode != VISION_DIRECT);
        bufq_push(&in, s);
        if (*first)
            bufq_drop(&in, VISION_RESPONSE, z->pool);
        *first = false;
        CHECK(vision_frame_rx(f, NULL, z->pool, &in, &up) == ST_OK && in.bytes == 0);
        collect(z, &up);
    }
}

static void fuzz_pad(struct fuzz *z, const uint8_t *p, size_t n, size_t step, uint8_t how)
{
    struct rng rng = {.left = RNG_BUFFER};
    struct vision_frame f;
    struct vision_pad v;
    struct bufq held;
    bool first = true;

    bufq_init(&held, UINT32_MAX);
    vision_frame_init(&f, uuid);
    vision_pad_init(&v, uuid, true);
    for (size_t i = 0; i < RNG_BUFFER; i++)
        rng.buf[i] = (uint8_t)(i * 37);
    for (size_t at = 0; at < n; at += step) {
        give(z, p + at, n - at < step ? n - at : step, &held, how);
        enum status st;
        if (at / step % 3 == 1)
            vision_filter_up(&z->filter, p + at, 1, true);
        do {
            st = vision_pad_tx(&v, &z->filter, &rng, z->pool, &z->in, &z->out);
            CHECK(st >= 0);
            receive(z, &f, &first);
            CHECK(f.mode == v.mode);
        } while (st == ST_FULL);
        if (v.mode == VISION_DIRECT) {
            CHECK(z->filter.tls13 && z->filter.answered);
            collect(z, &z->in);
        }
        CHECK(z->in.bytes == 0);
    }
    CHECK(z->got_len == n && (n == 0 || memcmp(z->got, p, n) == 0));
    bufq_clear(&held, z->pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz z = {0};

    if (size < 2)
        return 0;
    uint8_t how = data[0];
    size_t step = data[1] < 128 ? 1u + data[1] : (size_t)(data[1] - 127) * 200;
    z.pool = pool_new(0);
    z.got = malloc(size);
    CHECK(z.pool != NULL && z.got != NULL);
    vision_filter_init(&z.filter);
    bufq_init(&z.in, UINT32_MAX);
    bufq_init(&z.out, how & FUZZ_TIGHT ? 1 : UINT32_MAX);
    if (how & FUZZ_PAD)
        fuzz_pad(&z, data + 2, size - 2, step, how);
    else
        fuzz_frame(&z, data + 2, size - 2, step, how);
    bufq_clear(&z.in, z.pool);
    bufq_clear(&z.out, z.pool);
    CHECK(pool_used(z.pool) == 0);
    pool_free(z.pool);
    free(z.got);
    return 0;
}
