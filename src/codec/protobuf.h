/* codec/protobuf.h - the wire format of Protocol Buffers (protobuf.dev, "Encoding"): fields in any
 * order, numbers as varints, texts and messages behind their length. Pure, borrows the caller's
 * buffers, knows no schema.
 *
 * Groups (wire types 3 and 4), which proto3 does not have, are refused. */
#ifndef CODEC_PROTOBUF_H
#define CODEC_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum protobuf_type {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2, /* text, bytes, a message, packed numbers */
    PROTOBUF_FIXED32 = 5,
};

#define PROTOBUF_VARINT_MAX 10 /* bytes of the longest number */

/* ---- reading --------------------------------------------------------------------------------- */

/* What of a message is not read yet: {data, data + len}. */
struct protobuf_reader {
    const uint8_t *p, *end;
};

struct protobuf_field {
    uint32_t number;     /* 1 .. 2^29 - 1 */
    uint8_t type;        /* enum protobuf_type */
    uint64_t value;      /* of a number of any type */
    const uint8_t *data; /* of PROTOBUF_BYTES; borrowed */
    size_t len;
};

/* Reads the next field, whatever its type, so that unknown ones are skipped by not looking at them.
 * Numbers may be longer than needed. ST_OK; ST_EOF: the message is at its end; ST_E_PROTO: broken,
 * or cut off. */
NODISCARD enum status protobuf_next(struct protobuf_reader *r, struct protobuf_field *f);
/* A number at the start of @len bytes: *@size bytes of it. ST_OK; ST_MORE: cut off; ST_E_PROTO:
 * over 64 bits. */
NODISCARD enum status protobuf_varint(const uint8_t *p, size_t len, uint64_t *value, size_t *size);

/* ---- writing --------------------------------------------------------------------------------- */

/* Into @cap bytes at @p, the caller's; what does not fit sets @full and is left out whole. */
struct protobuf_writer {
    uint8_t *p;
    size_t cap, len;
    bool full;
};

/* Bytes that a number takes, 1..PROTOBUF_VARINT_MAX. */
size_t protobuf_varint_size(uint64_t value);
/* Bytes of a whole field with its key; 0 for a number 0, which is not written. */
size_t protobuf_number_size(uint32_t number, uint64_t value);
/* Bytes of a text or message with key and length, also when it is empty. */
size_t protobuf_bytes_size(uint32_t number, size_t len);

/* A number of the schema types int32, int64, uint32, uint64, bool, enum; 0, the default, is left
 * out. */
void protobuf_put_number(struct protobuf_writer *w, uint32_t number, uint64_t value);
/* A text, bytes or finished message; written also when empty. */
void protobuf_put_bytes(struct protobuf_writer *w, uint32_t number, const void *data, size_t len);
/* Key and length of a message whose @len bytes follow. */
void protobuf_put_head(struct protobuf_writer *w, uint32_t number, size_t len);
/* Bytes as they are: a part of what protobuf_put_head announced. */
void protobuf_put_raw(struct protobuf_writer *w, const void *data, size_t len);

#endif
