/* crypto/mlkem_poly.h - polynomials of ML-KEM: arithmetic modulo q and X^256+1, sampling and byte
 * forms (FIPS 203 section 4). Internal to crypto/mlkem*.c. All coefficients are in 0..q-1. */
#ifndef CRYPTO_MLKEM_POLY_H
#define CRYPTO_MLKEM_POLY_H

#include <stdbool.h>
#include <stdint.h>

#define MLKEM_N        256
#define MLKEM_POLY_LEN 384 /* bytes of an uncompressed polynomial */
#define MLKEM_U_BITS   10  /* compression of the first part of a ciphertext, ... */
#define MLKEM_V_BITS   4   /* ... and of the second */

struct mlkem_poly {
    uint16_t c[MLKEM_N];
};

/* @r += @a, @r -= @a. */
void mlkem_poly_add(struct mlkem_poly *r, const struct mlkem_poly *a);
void mlkem_poly_sub(struct mlkem_poly *r, const struct mlkem_poly *a);
/* To NTT form and back (FIPS 203 algorithms 9 and 10), in place. */
void mlkem_poly_ntt(struct mlkem_poly *p);
void mlkem_poly_inverse_ntt(struct mlkem_poly *p);
/* @r += @a * @b, all three in NTT form. */
void mlkem_poly_mul_add(struct mlkem_poly *r, const struct mlkem_poly *a,
                        const struct mlkem_poly *b);

/* Element (@i, @j) of the matrix of @rho, in NTT form. */
void mlkem_poly_matrix(struct mlkem_poly *p, const uint8_t rho[32], uint8_t i, uint8_t j);
/* Small coefficients from the centred binomial distribution of @secret and @nonce. */
void mlkem_poly_noise(struct mlkem_poly *p, const uint8_t secret[32], uint8_t nonce);

/* 12 bits a coefficient. Reading gives false if one is not below q (public data only). */
void mlkem_poly_write(uint8_t out[MLKEM_POLY_LEN], const struct mlkem_poly *p);
bool mlkem_poly_read(struct mlkem_poly *p, const uint8_t in[MLKEM_POLY_LEN]);
/* @bits (1, 4 or 10) a coefficient, rounded; 32 * @bits bytes. */
void mlkem_poly_compress(uint8_t *out, const struct mlkem_poly *p, unsigned bits);
void mlkem_poly_decompress(struct mlkem_poly *p, const uint8_t *in, unsigned bits);

#endif
