#include "crypto/mlkem.h"

#include <string.h>

#include "crypto/keccak.h"
#include "crypto/mem.h"
#include "crypto/mlkem_poly.h"

#define K     3 /* the "768": three polynomials a vector */
#define U_LEN (K * 32 * MLKEM_U_BITS)

/* What an encapsulation key stands for. */
struct public_key {
    struct mlkem_poly t[K]; /* NTT form */
    uint8_t rho[32];
};

static void wipe_vector(struct mlkem_poly v[K])
{
    crypto_wipe(v, K * sizeof(v[0]));
}

/* K-PKE.KeyGen (FIPS 203 algorithm 13): the public key into @pub, the secret vector in NTT form
 * into @s. */
static void generate(const uint8_t d[32], uint8_t pub[MLKEM_PUBLIC_LEN], struct mlkem_poly s[K])
{
    static const uint8_t k = K;
    struct mlkem_poly a, t;
    uint8_t seeds[64]; /* rho, sigma */

    keccak_sha3_512(seeds, d, 32, &k, 1);
    for (uint8_t j = 0; j < K; j++) {
        mlkem_poly_noise(&s[j], seeds + 32, j);
        mlkem_poly_ntt(&s[j]);
    }
    for (uint8_t i = 0; i < K; i++) {
        mlkem_poly_noise(&t, seeds + 32, (uint8_t)(K + i));
        mlkem_poly_ntt(&t);
        for (uint8_t j = 0; j < K; j++) {
            mlkem_poly_matrix(&a, seeds, i, j);
            mlkem_poly_mul_add(&t, &a, &s[j]);
        }
        mlkem_poly_write(pub + i * MLKEM_POLY_LEN, &t);
    }
    memcpy(pub + K * MLKEM_POLY_LEN, seeds, 32);
    crypto_wipe(seeds, sizeof(seeds));
}

static bool read_public(struct public_key *k, const uint8_t pub[MLKEM_PUBLIC_LEN])
{
    bool good = true;

    for (int i = 0; i < K; i++)
        good &= mlkem_poly_read(&k->t[i], pub + i * MLKEM_POLY_LEN);
    memcpy(k->rho, pub + K * MLKEM_POLY_LEN, 32);
    return good;
}

/* K-PKE.Encrypt (FIPS 203 algorithm 14). */
static void encrypt(const struct public_key *key, const uint8_t m[32], const uint8_t r[32],
                    uint8_t cipher[MLKEM_CIPHER_LEN])
{
    struct mlkem_poly y[K], a, sum, e;

    for (uint8_t i = 0; i < K; i++) {
        mlkem_poly_noise(&y[i], r, i);
        mlkem_poly_ntt(&y[i]);
    }
    for (uint8_t i = 0; i < K; i++) {
        memset(&sum, 0, sizeof(sum));
        for (uint8_t j = 0; j < K; j++) {
            mlkem_poly_matrix(&a, key->rho, j, i);
            mlkem_poly_mul_add(&sum, &a, &y[j]);
        }
        mlkem_poly_inverse_ntt(&sum);
        mlkem_poly_noise(&e, r, (uint8_t)(K + i));
        mlkem_poly_add(&sum, &e);
        mlkem_poly_compress(cipher + i * 32 * MLKEM_U_BITS, &sum, MLKEM_U_BITS);
    }
    memset(&sum, 0, sizeof(sum));
    for (int i = 0; i < K; i++)
        mlkem_poly_mul_add(&sum, &key->t[i], &y[i]);
    mlkem_poly_inverse_ntt(&sum);
    mlkem_poly_noise(&e, r, 2 * K);
    mlkem_poly_add(&sum, &e);
    mlkem_poly_decompress(&e, m, 1);
    mlkem_poly_add(&sum, &e);
    mlkem_poly_compress(cipher + U_LEN, &sum, MLKEM_V_BITS);

    wipe_vector(y);
    crypto_wipe(&sum, sizeof(sum));
    crypto_wipe(&e, sizeof(e));
}

/* K-PKE.Decrypt (FIPS 203 algorithm 15). */
static void decrypt(const struct mlkem_poly s[K], const uint8_t cipher[MLKEM_CIPHER_LEN],
                    uint8_t m[32])
{
    struct mlkem_poly u, sum = {0}, v;

    for (int i = 0; i < K; i++) {
        mlkem_poly_decompress(&u, cipher + i * 32 * MLKEM_U_BITS, MLKEM_U_BITS);
        mlkem_poly_ntt(&u);
        mlkem_poly_mul_add(&sum, &s[i], &u);
    }
    mlkem_poly_inverse_ntt(&sum);
    mlkem_poly_decompress(&v, cipher + U_LEN, MLKEM_V_BITS);
    mlkem_poly_sub(&v, &sum);
    mlkem_poly_compress(m, &v, 1);
    crypto_wipe(&sum, sizeof(sum));
    crypto_wipe(&v, sizeof(v));
}

void mlkem_public(const uint8_t seed[MLKEM_SEED_LEN], uint8_t pub[MLKEM_PUBLIC_LEN])
{
    struct mlkem_poly s[K];

    generate(seed, pub, s);
    wipe_vector(s);
}

enum status mlkem_encapsulate(const uint8_t pub[MLKEM_PUBLIC_LEN],
                              const uint8_t random[MLKEM_RANDOM_LEN],
                              uint8_t cipher[MLKEM_CIPHER_LEN], uint8_t shared[MLKEM_SHARED_LEN])
{
    struct public_key key;
    uint8_t hash[32], secrets[64]; /* secrets: shared secret, encryption randomness */

    if (!read_public(&key, pub))
        return ST_E_PROTO;
    keccak_sha3_256(hash, pub, MLKEM_PUBLIC_LEN, NULL, 0);
    keccak_sha3_512(secrets, random, 32, hash, sizeof(hash));
    encrypt(&key, random, secrets + 32, cipher);
    memcpy(shared, secrets, MLKEM_SHARED_LEN);
    crypto_wipe(secrets, sizeof(secrets));
    return ST_OK;
}

void mlkem_decapsulate(const uint8_t seed[MLKEM_SEED_LEN], const uint8_t cipher[MLKEM_CIPHER_LEN],
                       uint8_t shared[MLKEM_SHARED_LEN])
{
    uint8_t pub[MLKEM_PUBLIC_LEN], again[MLKEM_CIPHER_LEN];
    uint8_t hash[32], m[32], secrets[64], refusal[32];
    struct public_key key;
    struct mlkem_poly s[K];

    generate(seed, pub, s);
    (void)read_public(&key, pub); /* our own encoding is a good one */
    decrypt(s, cipher, m);
    keccak_sha3_256(hash, pub, sizeof(pub), NULL, 0);
    keccak_sha3_512(secrets, m, sizeof(m), hash, sizeof(hash));
    keccak_shake256(refusal, sizeof(refusal), seed + 32, 32, cipher, MLKEM_CIPHER_LEN);
    encrypt(&key, m, secrets + 32, again);

    /* The sender must not learn which of the two secrets it got, not even from the time taken. */
    unsigned differ = 0;
    for (size_t i = 0; i < sizeof(again); i++)
        differ |= again[i] ^ (unsigned)cipher[i];
    uint8_t keep = (uint8_t)((differ - 1) >> 8); /* 0xff if equal, else 0 */
    for (size_t i = 0; i < MLKEM_SHARED_LEN; i++)
        shared[i] = (uint8_t)((secrets[i] & keep) | (refusal[i] & ~keep));

    wipe_vector(s);
    crypto_wipe(m, sizeof(m));
    crypto_wipe(secrets, sizeof(secrets));
    crypto_wipe(refusal, sizeof(refusal));
}
