#include "codec/ws_frame.h"

#include <string.h>

#include "base/bytes.h"

#define FIN      0x80u
#define RESERVED 0x70u
#define MASKED   0x80u

static bool opcode_is_known(uint8_t op)
{
    return op <= WS_BINARY || (op >= WS_CLOSE && op <= WS_PONG);
}

enum status ws_frame_parse(const uint8_t *p, size_t n, struct ws_frame *f)
{
    if (n < 1)
        return ST_MORE;
    f->fin = (p[0] & FIN) != 0;
    f->opcode = p[0] & 0x0f;
    if ((p[0] & RESERVED) != 0 || !opcode_is_known(f->opcode))
        return ST_E_PROTO;
    if (n < 2)
        return ST_MORE;
    f->masked = (p[1] & MASKED) != 0;
    f->len = p[1] & 0x7f;
    size_t at = 2;
    if (f->opcode >= WS_CLOSE && (!f->fin || f->len > WS_FRAME_CONTROL_MAX))
        return ST_E_PROTO;
    if (f->len == 126) {
        if (n < 4)
            return ST_MORE;
        f->len = get_be16(p + 2);
        at = 4;
    } else if (f->len == 127) {
        if (n < 10)
            return ST_MORE;
        f->len = get_be64(p + 2);
        at = 10;
        if (f->len >> 63 != 0)
            return ST_E_PROTO;
    }
    if (f->masked) {
        if (n < at + 4)
            return ST_MORE;
        memcpy(f->mask, p + at, 4);
        at += 4;
    }
    f->size = (uint8_t)at;
    return ST_OK;
}

size_t ws_frame_build(uint8_t *dst, uint8_t opcode, uint64_t len, const uint8_t mask[4])
{
    size_t at = 2;
    dst[0] = (uint8_t)(FIN | opcode);
    if (len < 126) {
        dst[1] = (uint8_t)len;
    } else if (len <= UINT16_MAX) {
        dst[1] = 126;
        put_be16(dst + 2, (uint16_t)len);
        at = 4;
    } else {
        dst[1] = 127;
        put_be64(dst + 2, len);
        at = 10;
    }
    if (mask != NULL) {
        dst[1] |= MASKED;
        memcpy(dst + at, mask, 4);
        at += 4;
    }
    return at;
}

unsigned ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], unsigned phase)
{
    uint8_t key[8];
    for (unsigned i = 0; i < 8; i++)
        key[i] = mask[(phase + i) & 3];

    /* Eight bytes a step, by memcpy for unaligned buffers: the compiler makes vector code of it. */
    uint64_t k;
    memcpy(&k, key, 8);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        v ^= k;
        memcpy(p + i, &v, 8);
    }
    for (; i < n; i++)
        p[i] ^= key[i & 7];
    return (phase + (unsigned)(n & 3)) & 3;
}

unsigned ws_close_code(const uint8_t *p, size_t n)
{
    if (n == 0)
        return WS_CLOSE_NONE;
    if (n == 1)
        return 0;
    unsigned code = get_be16(p);
    if ((code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
        (code >= 3000 && code <= 4999))
        return code;
    return 0;
}
