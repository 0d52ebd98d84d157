/* codec/ws_frame.h - heads and masks of WebSocket frames (RFC 6455 section 5). Pure. */
#ifndef CODEC_WS_FRAME_H
#define CODEC_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NONE = 1005, /* never sent: a Close frame without a code */
};

#define WS_FRAME_HEAD_MAX    14u  /* 2 + 8 bytes of length + 4 of mask */
#define WS_FRAME_CONTROL_MAX 125u /* payload of Close, Ping and Pong */

struct ws_frame {
    uint64_t len; /* of the payload, < 2^63 */
    uint8_t opcode;
    bool fin, masked;
    uint8_t mask[4];
    uint8_t size; /* of the head: 2..14 */
};

/* Reads the head of a frame from the @n bytes at @p. Non-minimal lengths are accepted, as by
 * gorilla/websocket.
 *   ST_OK       *@f is filled, the payload begins at p + f->size
 *   ST_MORE     not all there yet (WS_FRAME_HEAD_MAX bytes are always enough)
 *   ST_E_PROTO  reserved bits or opcode, a control frame that is fragmented or too long, length
 *               over 2^63 - 1 */
NODISCARD enum status ws_frame_parse(const uint8_t *p, size_t n, struct ws_frame *f);

/* Writes the head of a final frame of @len bytes, unmasked when @mask is NULL (a server's). Returns
 * its size, at most WS_FRAME_HEAD_MAX (10 unmasked). */
size_t ws_frame_build(uint8_t *dst, uint8_t opcode, uint64_t len, const uint8_t mask[4]);

/* Masks or unmasks @n bytes in place. @phase is the offset of the first of them in its payload,
 * modulo 4; returns that of the byte after the last. */
unsigned ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], unsigned phase);

/* The code of a Close payload: WS_CLOSE_NONE for an empty one, else what it says; 0 when a peer
 * must not send this (one byte, or a reserved number: RFC 6455 section 7.4). */
unsigned ws_close_code(const uint8_t *p, size_t n);

#endif
