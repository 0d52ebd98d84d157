#include "crypto/rng.h"

#include <limits.h>
#include <openssl/rand.h>
#include <string.h>

#include "crypto/mem.h"

static void fill(void *dst, size_t n)
{
    uint8_t *p = dst;
    while (n > 0) {
        int step = n > INT_MAX ? INT_MAX : (int)n;
        BUG_ON(RAND_bytes(p, step) != 1);
        p += step;
        n -= (size_t)step;
    }
}

enum status rng_init(struct rng *r)
{
    r->left = 0;
    if (RAND_bytes(r->buf, (int)sizeof(r->buf)) != 1)
        return ST_E_CRYPTO;
    r->left = sizeof(r->buf);
    return ST_OK;
}

void rng_fini(struct rng *r)
{
    crypto_wipe(r, sizeof(*r));
}

void rng_bytes(struct rng *r, void *dst, size_t n)
{
    if (n > sizeof(r->buf) / 2) {
        fill(dst, n);
        return;
    }
    if (r->left < n) {
        fill(r->buf, sizeof(r->buf));
        r->left = sizeof(r->buf);
    }
    r->left -= (uint32_t)n;
    memcpy(dst, r->buf + r->left, n);
    crypto_wipe(r->buf + r->left, n);
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t v;
    rng_bytes(r, &v, sizeof(v));
    return v;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
    /* Values under 2^64 mod bound would make the low results more likely: draw again. */
    uint64_t skip = (0 - bound) % bound;
    uint64_t v;
    do {
        v = rng_u64(r);
    } while (v < skip);
    return v % bound;
}
