/* crypto/md5.h - MD5 (RFC 1321), for protocols that are built on it and nothing else: it is broken
 * as a hash. Our own, because a library in FIPS mode refuses it. Pure. */
#ifndef CRYPTO_MD5_H
#define CRYPTO_MD5_H

#include <stddef.h>
#include <stdint.h>

#define MD5_LEN 16u

/* Digest of @len bytes. @out may be @data. Wipes what it worked with. */
void md5_sum(const void *data, size_t len, uint8_t out[MD5_LEN]);

#endif
