#include "control/stats/stats_request.h"

#include "base/utf8.h"
#include "codec/protobuf.h"

static enum status take_text(const struct protobuf_field *f, struct grpc_str *out)
{
    if (!utf8_is_valid(f->data, f->len))
        return ST_E_UNSUPPORTED;
    *out = (struct grpc_str){(const char *)f->data, f->len};
    return ST_OK;
}

enum status stats_request_get(const uint8_t *p, size_t len, struct stats_get *out)
{
    struct protobuf_reader r = {p, p + len};
    struct protobuf_field f;
    enum status st;

    *out = (struct stats_get){.name = {"", 0}};
    while ((st = protobuf_next(&r, &f)) == ST_OK) {
        if (f.number == 1 && f.type == PROTOBUF_BYTES)
            st = take_text(&f, &out->name);
        else if (f.number == 1 && f.type == PROTOBUF_VARINT)
            out->traffic = f.value != 0;
        else if (f.number == 2 && f.type == PROTOBUF_VARINT)
            out->reset = f.value != 0;
        if (st != ST_OK)
            return st;
    }
    return st == ST_EOF ? ST_OK : st;
}

enum status stats_request_query(const uint8_t *p, size_t len, struct stats_query *out)
{
    struct protobuf_reader r = {p, p + len};
    struct protobuf_field f;
    struct grpc_str old = {"", 0};
    enum status st;

    out->count = 0;
    out->regexp = out->reset = false;
    while ((st = protobuf_next(&r, &f)) == ST_OK) {
        if (f.number == 1 && f.type == PROTOBUF_BYTES) {
            st = take_text(&f, &old);
        } else if (f.number == 2 && f.type == PROTOBUF_VARINT) {
            out->reset = f.value != 0;
        } else if (f.number == 3 && f.type == PROTOBUF_BYTES) {
            /* One place is left for the old one. */
            if (out->count == STATS_PATTERNS_MAX - 1)
                return ST_E_LIMIT;
            st = take_text(&f, &out->patterns[out->count++]);
        } else if (f.number == 4 && f.type == PROTOBUF_VARINT) {
            out->regexp = f.value != 0;
        }
        if (st != ST_OK)
            return st;
    }
    if (old.len > 0)
        out->patterns[out->count++] = old;
    return st == ST_EOF ? ST_OK : st;
}
