#include "crypto/siphash.h"

#include "crypto/mem.h"

#include <string.h>

#include "base/bytes.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static inline void rounds(struct state *s, int n)
{
    for (int i = 0; i < n; i++) {
        s->v0 += s->v1;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v2 = rotl(s->v2, 32);
    }
}

static inline uint64_t sip(const uint8_t *key, const uint8_t *p, size_t len, int c, int d)
{
    uint64_t k0 = get_le64(key), k1 = get_le64(key + 8);
    struct state s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                      k1 ^ 0x7465646279746573};
    uint8_t last[8] = {0};

    last[7] = (uint8_t)len;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t m = get_le64(p);
        s.v3 ^= m;
        rounds(&s, c);
        s.v0 ^= m;
    }
    if (len > 0)
        memcpy(last, p, len);
    uint64_t m = get_le64(last);
    s.v3 ^= m;
    rounds(&s, c);
    s.v0 ^= m;
    s.v2 ^= 0xff;
    rounds(&s, d);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_LEN], const void *data, size_t len)
{
    return sip(key, data, len, 2, 4);
}

uint64_t siphash_fast(const uint8_t key[SIPHASH_KEY_LEN], const void *data, size_t len)
{
    return sip(key, data, len, 1, 3);
}

void siphash_derive(uint64_t seed, uint8_t label, uint8_t key[SIPHASH_KEY_LEN])
{
    uint8_t from[SIPHASH_KEY_LEN];

    memcpy(from, &seed, 8);
    memset(from + 8, label, 8);
    for (uint8_t half = 0; half < 2; half++) {
        uint64_t h = siphash(from, &half, 1);
        memcpy(key + 8 * half, &h, 8);
    }
    crypto_wipe(from, sizeof(from));
}
