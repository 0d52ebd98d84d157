/* codec/percent.h - percent-encoding of URIs (RFC 3986 section 2.1). Pure. */
#ifndef CODEC_PERCENT_H
#define CODEC_PERCENT_H

#include <stddef.h>

#include "base/status.h"

enum percent_flags {
    PERCENT_FORM = 1, /* application/x-www-form-urlencoded: '+' is a blank */
};

/* Decodes @n characters into @dst, which takes @n + 1 bytes and may be @text itself; a NUL is
 * added. *@len is the decoded length, which may contain zero bytes. ST_OK, or ST_E_PROTO when two
 * digits do not follow a '%'. */
NODISCARD enum status percent_decode(char *dst, size_t *len, const char *text, size_t n,
                                     unsigned flags);
/* Encodes everything but letters, digits and "-._~" (blank as %20) and adds a NUL; @dst takes 3*@n
 * + 1 bytes. Returns the length. */
size_t percent_encode(char *dst, const char *text, size_t n);

#endif
