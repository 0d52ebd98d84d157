#include "transport/reality/target_watch.h"

#include "base/bytes.h"
#include "tls/server_hello.h"

static const uint8_t TYPES[FLIGHT_PARTS] = {
    [FLIGHT_SERVER_HELLO] = RECORD_HANDSHAKE,
    [FLIGHT_CCS] = RECORD_CCS,
    [FLIGHT_EXTENSIONS] = RECORD_DATA,
    [FLIGHT_CERTIFICATE] = RECORD_DATA,
    [FLIGHT_VERIFY] = RECORD_DATA,
    [FLIGHT_FINISHED] = RECORD_DATA,
    [FLIGHT_EXTRA] = RECORD_DATA,
};

static bool good_hello(const struct target_watch *w, const struct bufq *in, uint32_t len)
{
    uint8_t msg[SERVER_HELLO_MAX];
    struct server_hello h;

    return len <= sizeof(msg) && bufq_peek_at(in, w->at + RECORD_HEADER, msg, len) &&
           server_hello_parse(msg, len, &h) == ST_OK;
}

/* The header alone is enough for the last record that is looked at. */
static bool whole(struct target_watch *w, const struct bufq *in, uint32_t total)
{
    return w->shape.combined || w->part == FLIGHT_EXTRA || in->bytes - w->at >= total;
}

static enum status next_record(struct target_watch *w, const struct bufq *in)
{
    uint8_t header[RECORD_HEADER], byte;

    if (!bufq_peek_at(in, w->at, header, sizeof(header)))
        return ST_MORE;
    uint32_t len = get_be16(header + 3), total = RECORD_HEADER + len;
    if (header[0] != TYPES[w->part] || get_be16(header + 1) != 0x0303 || len > RECORD_CIPHER_MAX ||
        (w->part == FLIGHT_CCS && len != 1) ||
        (w->part == FLIGHT_SERVER_HELLO && len > SERVER_HELLO_MAX))
        return ST_E_UNSUPPORTED;
    w->shape.combined = w->part == FLIGHT_EXTENSIONS && total > TARGET_WATCH_COMBINED;
    if (!whole(w, in, total))
        return ST_MORE;
    if (w->part == FLIGHT_SERVER_HELLO && !good_hello(w, in, len))
        return ST_E_UNSUPPORTED;
    if (w->part == FLIGHT_CCS && bufq_peek_at(in, w->at + RECORD_HEADER, &byte, 1) && byte != 1)
        return ST_E_UNSUPPORTED;
    w->shape.len[w->part++] = (uint16_t)total;
    w->at += total;
    return ST_OK;
}

enum status target_watch_run(struct target_watch *w, const struct bufq *in)
{
    while (w->part < FLIGHT_PARTS && !w->shape.combined) {
        /* Only what comes in one go with Finished belongs to the flight. */
        if (w->part == FLIGHT_EXTRA && in->bytes == w->at)
            break;
        enum status st = next_record(w, in);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
