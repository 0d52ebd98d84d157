#include "codec/protobuf.h"

#include <string.h>

#define NUMBER_MAX ((UINT64_C(1) << 29) - 1)

enum status protobuf_varint(const uint8_t *p, size_t len, uint64_t *value, size_t *size)
{
    uint64_t v = 0;

    for (size_t i = 0; i < PROTOBUF_VARINT_MAX; i++) {
        if (i == len)
            return ST_MORE;
        if (i == PROTOBUF_VARINT_MAX - 1 && p[i] > 1)
            return ST_E_PROTO;
        v |= (uint64_t)(p[i] & 0x7F) << (7 * i);
        if (p[i] < 0x80) {
            *value = v;
            *size = i + 1;
            return ST_OK;
        }
    }
    return ST_E_PROTO;
}

static enum status take_varint(struct protobuf_reader *r, uint64_t *value)
{
    size_t size = 0;

    if (protobuf_varint(r->p, (size_t)(r->end - r->p), value, &size) != ST_OK)
        return ST_E_PROTO;
    r->p += size;
    return ST_OK;
}

static enum status take_fixed(struct protobuf_reader *r, size_t n, uint64_t *value)
{
    if ((size_t)(r->end - r->p) < n)
        return ST_E_PROTO;
    *value = 0;
    for (size_t i = 0; i < n; i++)
        *value |= (uint64_t)r->p[i] << (8 * i);
    r->p += n;
    return ST_OK;
}

enum status protobuf_next(struct protobuf_reader *r, struct protobuf_field *f)
{
    uint64_t key = 0;

    if (r->p == r->end)
        return ST_EOF;
    if (take_varint(r, &key) != ST_OK || key >> 3 == 0 || key >> 3 > NUMBER_MAX)
        return ST_E_PROTO;
    *f = (struct protobuf_field){.number = (uint32_t)(key >> 3), .type = (uint8_t)(key & 7)};
    switch (f->type) {
    case PROTOBUF_VARINT:
        return take_varint(r, &f->value);
    case PROTOBUF_FIXED64:
        return take_fixed(r, 8, &f->value);
    case PROTOBUF_FIXED32:
        return take_fixed(r, 4, &f->value);
    case PROTOBUF_BYTES:
        if (take_varint(r, &f->value) != ST_OK || f->value > (size_t)(r->end - r->p))
            return ST_E_PROTO;
        f->data = r->p;
        f->len = (size_t)f->value;
        r->p += f->len;
        return ST_OK;
    default:
        return ST_E_PROTO;
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

size_t protobuf_varint_size(uint64_t value)
{
    size_t n = 1;

    for (; value >= 0x80; value >>= 7)
        n++;
    return n;
}

size_t protobuf_number_size(uint32_t number, uint64_t value)
{
    return value == 0 ? 0
                      : protobuf_varint_size((uint64_t)number << 3) + protobuf_varint_size(value);
}

size_t protobuf_bytes_size(uint32_t number, size_t len)
{
    return protobuf_varint_size((uint64_t)number << 3) + protobuf_varint_size(len) + len;
}

static size_t encode(uint8_t *p, uint64_t value)
{
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        p[n++] = (uint8_t)(value | 0x80);
    p[n++] = (uint8_t)value;
    return n;
}

void protobuf_put_raw(struct protobuf_writer *w, const void *data, size_t len)
{
    if (w->full || w->cap - w->len < len) {
        w->full = true;
        return;
    }
    if (len > 0)
        memcpy(w->p + w->len, data, len);
    w->len += len;
}

void protobuf_put_number(struct protobuf_writer *w, uint32_t number, uint64_t value)
{
    uint8_t text[2 * PROTOBUF_VARINT_MAX];

    if (value == 0)
        return;
    size_t n = encode(text, (uint64_t)number << 3 | PROTOBUF_VARINT);
    protobuf_put_raw(w, text, n + encode(text + n, value));
}

void protobuf_put_head(struct protobuf_writer *w, uint32_t number, size_t len)
{
    uint8_t text[2 * PROTOBUF_VARINT_MAX];
    size_t n = encode(text, (uint64_t)number << 3 | PROTOBUF_BYTES);

    protobuf_put_raw(w, text, n + encode(text + n, len));
}

void protobuf_put_bytes(struct protobuf_writer *w, uint32_t number, const void *data, size_t len)
{
    size_t at = w->len;

    protobuf_put_head(w, number, len);
    protobuf_put_raw(w, data, len);
    if (w->full)
        w->len = at;
}
