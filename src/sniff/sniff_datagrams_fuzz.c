/* Datagrams: a length in two bytes each. The highest bit of the length: not a datagram but the
 * frames of an Initial packet, which is sealed first, for no fuzzer guesses a tag. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "sniff/sniff.h"
#include "sniff/test_initial.h"

#define SEALED 0x8000u
#define V2     0x4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t prepare(struct crypto_ctx *cc, struct reader *r, uint8_t *out)
{
    unsigned len = reader_u16(r), want = len & 0x0fff;
    size_t n = reader_left(r) < want ? reader_left(r) : want;
    const uint8_t *p = reader_take(r, n);

    if (n == 0 || p == NULL)
        return 0;
    if ((len & SEALED) && n >= 4)
        return test_initial_seal(cc, len & V2 ? TEST_INITIAL_V2 : TEST_INITIAL_V1, (uint16_t)n, p,
                                 n, out);
    memcpy(out, p, n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *pool = pool_new(0);
    struct crypto_ctx cc;
    struct sniff_datagrams d = {0};
    struct reader r = reader_of(data, size);
    struct sniff out;

    if (crypto_ctx_init(&cc) != ST_OK)
        abort();
    while (reader_left(&r) > 2) {
        uint8_t *p = malloc(0x1000 + TEST_INITIAL_ADD);
        size_t n = prepare(&cc, &r, p);
        uint8_t *exact = malloc(n > 0 ? n : 1); /* a byte too far is seen */
        memcpy(exact, p, n);
        enum status st = sniff_datagrams_feed(&d, pool, &cc, exact, n, &out);
        if (memchr(out.host, 0, sizeof(out.host)) == NULL || (st != ST_MORE && d.quic != NULL))
            abort();
        free(exact);
        free(p);
    }
    sniff_datagrams_fini(&d, pool);
    crypto_ctx_fini(&cc);
    pool_free(pool);
    return 0;
}
