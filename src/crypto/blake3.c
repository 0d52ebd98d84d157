#include "crypto/blake3.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"

#define BLOCK     64u
#define CHUNK     1024u
#define STACK_MAX 54 /* a tree over 2^64 bytes is no deeper */

enum {
    CHUNK_START = 1,
    CHUNK_END = 2,
    PARENT = 4,
    ROOT = 8,
    DERIVE_CONTEXT = 32,
    DERIVE_MATERIAL = 64,
};

static const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
/* How the words of the block move from one round to the next. */
static const uint8_t PERMUTE[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};

/* A node of the tree whose last compression is still to come: as an inner node or as the root. */
struct node {
    uint32_t cv[8];
    uint8_t block[BLOCK];
    uint64_t counter;
    uint32_t len, flags;
};

static inline uint32_t rotr(uint32_t x, unsigned n)
{
    return (x >> n) | (x << (32 - n));
}

static inline void mix(uint32_t v[16], int a, int b, int c, int d, uint32_t x, uint32_t y)
{
    v[a] += v[b] + x;
    v[d] = rotr(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotr(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotr(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotr(v[b] ^ v[c], 7);
}

/* The first half of the compression's output: the chaining value. */
static void compress(const struct node *n, uint32_t out[8])
{
    uint32_t m[16], next[16], v[16];

    for (int i = 0; i < 16; i++)
        m[i] = get_le32(n->block + 4 * i);
    memcpy(v, n->cv, sizeof(n->cv));
    memcpy(v + 8, IV, 4 * sizeof(IV[0]));
    v[12] = (uint32_t)n->counter;
    v[13] = (uint32_t)(n->counter >> 32);
    v[14] = n->len;
    v[15] = n->flags;
    for (int round = 0; round < 7; round++) {
        mix(v, 0, 4, 8, 12, m[0], m[1]);
        mix(v, 1, 5, 9, 13, m[2], m[3]);
        mix(v, 2, 6, 10, 14, m[4], m[5]);
        mix(v, 3, 7, 11, 15, m[6], m[7]);
        mix(v, 0, 5, 10, 15, m[8], m[9]);
        mix(v, 1, 6, 11, 12, m[10], m[11]);
        mix(v, 2, 7, 8, 13, m[12], m[13]);
        mix(v, 3, 4, 9, 14, m[14], m[15]);
        for (int i = 0; i < 16; i++)
            next[i] = m[PERMUTE[i]];
        memcpy(m, next, sizeof(m));
    }
    for (int i = 0; i < 8; i++)
        out[i] = v[i] ^ v[i + 8];
    crypto_wipe(m, sizeof(m));
    crypto_wipe(next, sizeof(next));
    crypto_wipe(v, sizeof(v));
}

/* One chunk of at most CHUNK bytes, up to its last block. */
static void chunk(struct node *n, const uint32_t key[8], uint32_t flags, uint64_t index,
                  const uint8_t *data, size_t len)
{
    memcpy(n->cv, key, sizeof(n->cv));
    n->counter = index;
    n->flags = flags | CHUNK_START;
    n->len = BLOCK;
    for (; len > BLOCK; data += BLOCK, len -= BLOCK) {
        memcpy(n->block, data, BLOCK);
        compress(n, n->cv);
        n->flags = flags;
    }
    memset(n->block, 0, BLOCK);
    if (len > 0)
        memcpy(n->block, data, len);
    n->len = (uint32_t)len;
    n->flags |= CHUNK_END;
}

static void store(uint8_t *p, const uint32_t w[8])
{
    for (int i = 0; i < 8; i++)
        put_le32(p + 4 * i, w[i]);
}

/* The parent of two finished nodes. */
static void parent(struct node *n, const uint32_t key[8], uint32_t flags, const uint32_t left[8],
                   const uint32_t right[8])
{
    memcpy(n->cv, key, sizeof(n->cv));
    store(n->block, left);
    store(n->block + 32, right);
    n->counter = 0;
    n->len = BLOCK;
    n->flags = flags | PARENT;
}

static void tree(const uint32_t key[8], uint32_t flags, const uint8_t *data, size_t len,
                 uint8_t out[BLAKE3_LEN])
{
    uint32_t stack[STACK_MAX][8], cv[8];
    struct node n;
    unsigned depth = 0;
    uint64_t done = 0;

    for (; len > CHUNK; data += CHUNK, len -= CHUNK) {
        chunk(&n, key, flags, done++, data, CHUNK);
        compress(&n, cv);
        /* Whole subtrees are joined at once: one for each trailing zero of the count. */
        for (uint64_t t = done; (t & 1) == 0; t >>= 1) {
            parent(&n, key, flags, stack[--depth], cv);
            compress(&n, cv);
        }
        memcpy(stack[depth++], cv, sizeof(cv));
    }
    chunk(&n, key, flags, done, data, len);
    while (depth > 0) {
        compress(&n, cv);
        parent(&n, key, flags, stack[--depth], cv);
    }
    n.flags |= ROOT;
    compress(&n, cv);
    store(out, cv);
    crypto_wipe(&n, sizeof(n));
    crypto_wipe(cv, sizeof(cv));
}

void blake3_hash(const void *data, size_t len, uint8_t out[BLAKE3_LEN])
{
    tree(IV, 0, data, len, out);
}

void blake3_derive_key(const void *context, size_t context_len, const void *material,
                       size_t material_len, uint8_t out[BLAKE3_LEN])
{
    uint8_t context_key[BLAKE3_LEN];
    uint32_t key[8];

    tree(IV, DERIVE_CONTEXT, context, context_len, context_key);
    for (int i = 0; i < 8; i++)
        key[i] = get_le32(context_key + 4 * i);
    tree(key, DERIVE_MATERIAL, material, material_len, out);
}
