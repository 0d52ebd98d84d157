/* crypto/ctx.h - cipher and digest contexts of one worker, made once and re-keyed for each use, so
 * that a connection stores key, nonce and counter only. Not thread-safe. */
#ifndef CRYPTO_CTX_H
#define CRYPTO_CTX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum aead_alg { AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, AEAD_ALGS };
enum aead_dir { AEAD_OPEN, AEAD_SEAL };
enum hash_alg { HASH_SHA1, HASH_SHA224, HASH_SHA256, HASH_SHA384, HASH_SHA512, HASH_ALGS };

#define AEAD_KEY_MAX 32u

struct gcm_fast;

/* The vendor's types, by their tags. */
struct evp_cipher_st;
struct evp_cipher_ctx_st;
struct evp_md_st;
struct evp_md_ctx_st;

/* A cipher in one direction and the key it holds now: loading the same key again costs nothing. */
struct crypto_slot {
    struct evp_cipher_ctx_st *evp;
    bool keyed;
    uint8_t key[AEAD_KEY_MAX];
};

struct crypto_ctx {
    struct evp_cipher_st *cipher[AEAD_ALGS];
    struct crypto_slot slot[AEAD_ALGS][2]; /* [alg][enum aead_dir] */
    struct crypto_slot *now;               /* between aead_begin and its end */
    struct gcm_fast *gcm;                  /* NULL: AES-GCM by OpenSSL too */
    bool on_gcm;                           /* the operation in progress is gcm's */
    struct evp_md_st *md[HASH_ALGS];
    struct evp_md_ctx_st *md_ctx[HASH_ALGS];
};

/* ST_OK, ST_E_NOMEM, or ST_E_CRYPTO when the library lacks an algorithm. After an error nothing is
 * left to free. */
NODISCARD enum status crypto_ctx_init(struct crypto_ctx *cc);
/* Wipes and frees; safe on a zeroed one. */
void crypto_ctx_fini(struct crypto_ctx *cc);
/* Forgets the keys the contexts still hold. */
void crypto_ctx_forget(struct crypto_ctx *cc);

#endif
