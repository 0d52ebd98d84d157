/* codec/grpc.h - the parts of gRPC that are bytes: the prefix of messages, the status in trailers,
 * paths and time limits ("gRPC over HTTP2" of the gRPC project). Pure. */
#ifndef CODEC_GRPC_H
#define CODEC_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define GRPC_PREFIX 5 /* bytes before each message: a flag and its length */

enum grpc_code {
    GRPC_OK = 0,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
};

/* A borrowed text, not NUL-terminated. */
struct grpc_str {
    const char *p;
    size_t len;
};

/* Writes the prefix of an uncompressed message of @len bytes. */
void grpc_put_prefix(uint8_t dst[GRPC_PREFIX], uint32_t len);

/* Cuts "/service/method" at its last slash; the first one may be missing. False: there is no method
 * in it. */
bool grpc_split_path(struct grpc_str path, struct grpc_str *service, struct grpc_str *method);
/* "application/grpc", alone or followed by '+' or ';'; any letter case. */
bool grpc_is_content_type(struct grpc_str value);
/* Reads grpc-timeout: 1 to 8 digits and H, M, S, m, u or n, into microseconds, at least 1. ST_OK;
 * ST_E_PROTO: no such form; ST_E_LIMIT: zero. */
NODISCARD enum status grpc_timeout(struct grpc_str value, uint64_t *us);

/* Writes @text as grpc-message: bytes 0x20..0x7e but '%' as they are, others as %XX. Cut where @cap
 * ends, between characters; NUL-terminated. Returns the length. */
size_t grpc_put_message(char *dst, size_t cap, const char *text, size_t len);

#endif
