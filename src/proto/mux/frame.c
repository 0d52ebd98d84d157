#include "proto/mux/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "codec/proxy_address.h"

#define NEW_MIN 8 /* Xray-core closes the carrier at a shorter meta of New */

static enum status flaw(struct why *why, const char *text, long number)
{
    return why_set(why, ST_E_PROTO, text, number);
}

/* network 1 | port 2 | address type 1 | address */
static enum status read_address(struct reader *r, struct mux_frame *f, struct why *why)
{
    f->network = reader_u8(r);
    if (f->network != MUX_TCP && f->network != MUX_UDP)
        return flaw(why, "mux: unknown network", f->network);
    if (proxy_address_read(r, PROXY_ADDRESS_V2RAY, &f->target) != ST_OK)
        return flaw(why, "mux: bad address", 0);
    return ST_OK;
}

static enum status read_new(struct reader *r, struct mux_frame *f, struct why *why)
{
    static const uint8_t none[MUX_GLOBAL_LEN] = {0};
    enum status st = read_address(r, f, why);
    const uint8_t *id;

    if (st != ST_OK || f->network != MUX_UDP || !(f->option & MUX_OPT_DATA) ||
        reader_left(r) < MUX_GLOBAL_LEN)
        return st;
    id = reader_take(r, MUX_GLOBAL_LEN);
    memcpy(f->global_id, id, MUX_GLOBAL_LEN);
    f->has_global = memcmp(id, none, MUX_GLOBAL_LEN) != 0;
    return ST_OK;
}

static enum status read_meta(struct reader r, struct mux_frame *f, struct why *why)
{
    f->id = reader_u16(&r);
    f->status = reader_u8(&r);
    f->option = reader_u8(&r);
    f->network = 0;
    f->has_global = false;
    f->data_len = 0;
    switch ((enum mux_status)f->status) {
    case MUX_NEW:
        if (reader_left(&r) < NEW_MIN - MUX_META_MIN)
            return flaw(why, "mux: New without a target", 0);
        return read_new(&r, f, why);
    case MUX_KEEP:
        return reader_left(&r) > 0 && *r.p == MUX_UDP ? read_address(&r, f, why) : ST_OK;
    case MUX_END:
    case MUX_KEEP_ALIVE:
        return ST_OK;
    }
    return flaw(why, "mux: unknown status", f->status);
}

enum status mux_frame_parse(const uint8_t *p, size_t len, struct mux_frame *f, size_t *used,
                            struct why *why)
{
    struct reader r = reader_of(p, len);
    uint16_t meta_len = reader_u16(&r);
    enum status st;

    if (r.bad)
        return ST_MORE;
    if (meta_len < MUX_META_MIN || meta_len > MUX_META_MAX)
        return flaw(why, "mux: impossible length of a frame's head", meta_len);
    if (reader_left(&r) < meta_len)
        return ST_MORE;
    st = read_meta(reader_sub(&r, meta_len), f, why);
    if (st != ST_OK)
        return st;
    if (f->option & MUX_OPT_DATA) {
        f->data_len = reader_u16(&r);
        if (r.bad)
            return ST_MORE;
    }
    *used = (size_t)(r.p - p);
    return ST_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static uint8_t *put_meta(uint8_t *out, size_t meta_len, uint16_t id, enum mux_status status,
                         uint8_t option)
{
    put_be16(out, (uint16_t)meta_len);
    put_be16(out + 2, id);
    out[4] = (uint8_t)status;
    out[5] = option;
    return out + 6;
}

size_t mux_frame_end(uint8_t out[MUX_END_LEN], uint16_t id, bool failed)
{
    put_meta(out, MUX_META_MIN, id, MUX_END, failed ? MUX_OPT_ERROR : 0);
    return MUX_END_LEN;
}

size_t mux_frame_keep(uint8_t out[MUX_KEEP_LEN], uint16_t id, uint16_t data_len)
{
    put_be16(put_meta(out, MUX_META_MIN, id, MUX_KEEP, MUX_OPT_DATA), data_len);
    return MUX_KEEP_LEN;
}

#define ADDRESS_AT 7 /* behind the meta's length, id, status, option and network */
#define NAME_TYPE  2

/* Fills in what stands around an address of @n bytes. */
static size_t finish_keep_from(uint8_t *out, uint16_t id, size_t n, uint16_t data_len)
{
    put_meta(out, MUX_META_MIN + 1 + n, id, MUX_KEEP, MUX_OPT_DATA)[0] = MUX_UDP;
    put_be16(out + ADDRESS_AT + n, data_len);
    return ADDRESS_AT + n + 2;
}

size_t mux_frame_keep_from_ip(uint8_t out[MUX_KEEP_ADDR_MAX], uint16_t id, const struct addr *from,
                              uint16_t data_len)
{
    size_t n = proxy_address_write(PROXY_ADDRESS_V2RAY, from, out + ADDRESS_AT);

    return finish_keep_from(out, id, n, data_len);
}

size_t mux_frame_keep_from(uint8_t out[MUX_KEEP_ADDR_MAX], uint16_t id, const struct target *from,
                           uint16_t data_len)
{
    uint8_t *p = out + ADDRESS_AT;

    if (from->host_len == 0)
        return mux_frame_keep_from_ip(out, id, &from->addr, data_len);
    put_be16(p, from->addr.port);
    p[2] = NAME_TYPE;
    p[3] = from->host_len;
    memcpy(p + 4, from->host, from->host_len);
    return finish_keep_from(out, id, 4u + from->host_len, data_len);
}
