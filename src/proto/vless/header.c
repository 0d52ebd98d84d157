#include "proto/vless/header.h"

#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "codec/proxy_address.h"

/* ---- addons: protobuf ------------------------------------------------------------------------ */

enum wire_type { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_GROUP, WIRE_GROUP_END, WIRE_FIXED32 };

#define FIELD_FLOW 1
#define FIELD_MAX  ((1u << 29) - 1)
#define GROUPS_MAX 128 /* 255 bytes cannot open more that are closed again */

static uint64_t read_varint(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t b = reader_u8(r);
        if (shift == 63 && b > 1)
            break; /* more than 64 bits */
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    r->bad = true;
    return 0;
}

static enum vless_flow flow_of(const uint8_t *p, size_t len)
{
    if (len == 0)
        return VLESS_FLOW_NONE;
    if (len == strlen(VLESS_FLOW_VISION) && memcmp(p, VLESS_FLOW_VISION, len) == 0)
        return VLESS_FLOW_IS_VISION;
    return VLESS_FLOW_OTHER;
}

static void read_bytes_field(struct reader *r, bool is_flow, enum vless_flow *flow)
{
    uint64_t len = read_varint(r);
    const uint8_t *p = len <= reader_left(r) ? reader_take(r, (size_t)len) : NULL;

    if (p == NULL)
        r->bad = true;
    else if (is_flow && !utf8_is_valid(p, (size_t)len))
        r->bad = true; /* Go's protobuf refuses a string that is none */
    else if (is_flow)
        *flow = flow_of(p, (size_t)len);
}

enum status vless_addons_parse(const uint8_t *p, size_t len, enum vless_flow *flow)
{
    struct reader r = reader_of(p, len);
    uint32_t groups[GROUPS_MAX];
    unsigned depth = 0;

    *flow = VLESS_FLOW_NONE;
    while (reader_left(&r) > 0 && !r.bad) {
        uint64_t tag = read_varint(&r);
        uint64_t field = tag >> 3;
        if (field < 1 || field > FIELD_MAX)
            return ST_E_PROTO;
        switch ((enum wire_type)(tag & 7)) {
        case WIRE_VARINT:
            (void)read_varint(&r);
            break;
        case WIRE_FIXED64:
            (void)reader_take(&r, 8);
            break;
        case WIRE_BYTES:
            read_bytes_field(&r, field == FIELD_FLOW && depth == 0, flow);
            break;
        case WIRE_GROUP:
            if (depth == GROUPS_MAX)
                return ST_E_PROTO;
            groups[depth++] = (uint32_t)field;
            break;
        case WIRE_GROUP_END:
            if (depth == 0 || groups[--depth] != field)
                return ST_E_PROTO;
            break;
        case WIRE_FIXED32:
            (void)reader_take(&r, 4);
            break;
        default:
            return ST_E_PROTO;
        }
    }
    return r.bad || depth > 0 ? ST_E_PROTO : ST_OK;
}

/* ---- header ---------------------------------------------------------------------------------- */

static enum status flaw(struct why *why, const char *text, long number)
{
    return why_set(why, ST_E_PROTO, text, number);
}

enum status vless_header_parse(const uint8_t *p, size_t len, struct vless_header *h,
                               struct why *why)
{
    struct reader r = reader_of(p, len);
    uint8_t version = reader_u8(&r);
    struct reader addons;
    enum status st = ST_OK;
    uint8_t command;

    memset(h, 0, sizeof(*h));
    if (r.bad)
        return ST_MORE;
    if (version != 0)
        return flaw(why, "vless: unknown version", version);
    (void)reader_take(&r, UUID_LEN);
    addons = reader_sub(&r, reader_u8(&r));
    if (r.bad)
        return ST_MORE;
    if (vless_addons_parse(addons.p, reader_left(&addons), &h->flow) != ST_OK)
        return flaw(why, "vless: malformed addons", 0);
    command = reader_u8(&r);
    if (r.bad)
        return ST_MORE;
    if (command < VLESS_TCP || command > VLESS_REVERSE)
        return flaw(why, "vless: unknown command", command);
    h->command = (enum vless_command)command;
    if (command == VLESS_TCP || command == VLESS_UDP)
        st = proxy_address_read(&r, PROXY_ADDRESS_V2RAY, &h->target);
    if (st == ST_E_PROTO)
        return flaw(why, "vless: bad target address", 0);
    if (st == ST_OK)
        h->len = (size_t)(r.p - p);
    return st;
}
