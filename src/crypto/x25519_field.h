/* crypto/x25519_field.h - Curve25519 in plain 64-bit arithmetic: the Montgomery ladder and products
 * of the base point (RFC 7748 section 5, RFC 8032 section 5.1). Internal to crypto/x25519*.c.
 *
 * Constant time in everything secret: no branch and no index depends on it. For a key that is used
 * once the library takes a third more, for key objects and for the product of the base point. */
#ifndef CRYPTO_X25519_FIELD_H
#define CRYPTO_X25519_FIELD_H

#include <stdint.h>

#ifdef __SIZEOF_INT128__
#define X25519_OWN 1
#endif

#ifdef X25519_OWN

/* A number modulo 2^255 - 19: the sum of v[i] * 2^(51 i). What multiplications give has limbs under
 * 2^52; they take limbs up to 2^53.6, that is one sum or difference of such. */
struct x25519_fe {
    uint64_t v[5];
};

/* A point (x, y) as it is added: y + x, y - x, 2dxy. */
struct x25519_row {
    struct x25519_fe sum, difference, product;
};

extern const struct x25519_row x25519_table[2][16];

/* @out = @k times the point @peer, and times the base point. @k is clamped here. */
void x25519_ladder(const uint8_t k[32], const uint8_t peer[32], uint8_t out[32]);
void x25519_base(const uint8_t k[32], uint8_t out[32]);

#endif
#endif
