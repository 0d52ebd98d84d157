/* A head that is read is written the same (but for long forms of short lengths), and masking twice
 * changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "codec/ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_frame f, again;
    enum status st = ws_frame_parse(data, size, &f);
    check(st == ST_OK || st == ST_MORE || st == ST_E_PROTO);
    check(st != ST_MORE || size < WS_FRAME_HEAD_MAX);
    if (st != ST_OK)
        return 0;
    check(f.size <= size && f.size <= WS_FRAME_HEAD_MAX && f.len >> 63 == 0);
    check(f.opcode < WS_CLOSE || (f.fin && f.len <= WS_FRAME_CONTROL_MAX));

    uint8_t head[WS_FRAME_HEAD_MAX];
    size_t n = ws_frame_build(head, f.opcode, f.len, f.masked ? f.mask : NULL);
    check(n <= f.size);
    check(ws_frame_parse(head, n, &again) == ST_OK && again.len == f.len &&
          again.masked == f.masked && (!f.masked || memcmp(again.mask, f.mask, 4) == 0));

    uint8_t payload[256];
    size_t len = size - f.size < sizeof(payload) ? size - f.size : sizeof(payload);
    if (!f.masked || len == 0)
        return 0;
    memcpy(payload, data + f.size, len);
    unsigned phase = ws_mask(payload, len / 3, f.mask, 0);
    phase = ws_mask(payload + len / 3, len - len / 3, f.mask, phase);
    check(phase == len % 4);
    (void)ws_close_code(payload, len);
    ws_mask(payload, len, f.mask, 0);
    check(memcmp(payload, data + f.size, len) == 0);
    return 0;
}
