/* codec/http1_chunked.h - the body of a chunked message (RFC 9112 section 7.1). Pure; holds no
 * data. */
#ifndef CODEC_HTTP1_CHUNKED_H
#define CODEC_HTTP1_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define HTTP1_CHUNK_LINE_MAX 256u  /* size line with its extensions */
#define HTTP1_TRAILERS_MAX   4096u /* all trailer lines */

struct http1_chunked { /* zeroed before the first byte */
    uint64_t left;     /* of the chunk being read */
    uint16_t line;     /* bytes of the line or of the trailers read so far */
    uint8_t state, digits;
};

/* Eats from the @len bytes at @in: *@used were eaten, and *@data..+*@data_len (within them, maybe
 * none) belong to the body. Call again with what follows.
 *   ST_OK       go on: some bytes were eaten
 *   ST_MORE     everything was eaten, the body goes on
 *   ST_EOF      the body ended; nothing after *@used belongs to it
 *   ST_E_PROTO  broken chunk;  ST_E_LIMIT  line or trailers too long */
NODISCARD enum status http1_chunked_read(struct http1_chunked *c, const uint8_t *in, size_t len,
                                         size_t *used, const uint8_t **data, size_t *data_len);

#endif
