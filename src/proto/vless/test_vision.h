/* proto/vless/test_vision.h - what the tests of Vision share: vectors, byte helpers, random
 * numbers that repeat. For tests. */
#ifndef PROTO_VLESS_TEST_VISION_H
#define PROTO_VLESS_TEST_VISION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/span.h"
#include "base/uuid.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "codec/test_vectors.h"

static const uint8_t vision_uuid[UUID_LEN] = {0x66, 0xad, 0x45, 0x40, 0xb5, 0x8c, 0x4a, 0xd2,
                                              0x99, 0x26, 0xea, 0x63, 0x44, 0x5a, 0x9b, 0x57};

static inline struct json_t *vision_vectors(void)
{
    return test_vectors("src/proto/vless/testdata/vision.json");
}

/* A growing byte string. */
struct text {
    uint8_t *p;
    size_t len, room;
};

static inline void text_add(struct text *t, const void *p, size_t n)
{
    if (t->len + n > t->room) {
        t->room = 2 * (t->len + n);
        t->p = realloc(t->p, t->room);
        assert_non_null(t->p);
    }
    if (n > 0)
        memcpy(t->p + t->len, p, n);
    t->len += n;
}

static inline void text_hex(struct text *t, const char *hex)
{
    size_t n = strlen(hex) / 2;
    uint8_t *p = malloc(n + 1);

    assert_non_null(p);
    assert_int_equal(hex_decode(p, hex, 2 * n), ST_OK);
    text_add(t, p, n);
    free(p);
}

/* All bytes of @q, which is emptied. */
static inline void text_drain(struct text *t, struct bufq *q, struct pool *p)
{
    struct span *s;

    while ((s = bufq_pop(q)) != NULL) {
        text_add(t, span_data(s), s->len);
        span_free(p, s);
    }
}

static inline void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

/* Numbers that repeat from the same seed (xorshift). */
static inline uint32_t dice(uint64_t *seed, uint32_t bound)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16) % bound;
}

#endif
