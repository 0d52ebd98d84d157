#include "session/brake.h"

#define SECOND_US   1000000u
#define RATE_MAX    (UINT64_C(1) << 40)
#define BURST_MAX   (UINT64_C(1) << 60)
#define SECONDS_MAX (UINT64_C(1) << 20) /* no product below passes 2^61 */
#define STEPS       20u                 /* in a second */
#define STEP_MAX    (256u * 1024)

void brake_init(struct brake *b, const struct aux_limit *l, uint64_t now_us)
{
    uint64_t rate = l->rate < RATE_MAX ? l->rate : RATE_MAX;
    uint64_t burst = l->burst < BURST_MAX ? l->burst : BURST_MAX;

    burst = burst > rate ? burst : rate;
    *b = (struct brake){.free_left = l->after,
                        .rate = rate,
                        .burst = burst,
                        .tokens = (int64_t)burst,
                        .at_us = now_us};
}

/* What is saved before a read: fewer, larger reads. */
static int64_t step(const struct brake *b)
{
    uint64_t n = b->rate / STEPS;

    n = n < STEP_MAX ? n : STEP_MAX;
    return n > 0 ? (int64_t)n : 1;
}

static void fill(struct brake *b, uint64_t now_us)
{
    uint64_t us = now_us - b->at_us;
    uint64_t s = us / SECOND_US < SECONDS_MAX ? us / SECOND_US : SECONDS_MAX;
    uint64_t part = us % SECOND_US * b->rate + b->rest;

    b->tokens += (int64_t)(s * b->rate + part / SECOND_US);
    b->rest = (uint32_t)(part % SECOND_US);
    b->at_us = now_us;
    if (b->tokens > (int64_t)b->burst)
        b->tokens = (int64_t)b->burst;
}

size_t brake_room(struct brake *b, uint64_t now_us)
{
    if (b->rate == 0 || b->free_left > 0)
        return SIZE_MAX;
    fill(b, now_us);
    if (b->waits && b->tokens < step(b))
        return 0;
    b->waits = b->tokens <= 0;
    return b->waits ? 0 : (size_t)b->tokens;
}

void brake_take(struct brake *b, size_t n)
{
    if (b->rate == 0)
        return;
    if (b->free_left > 0)
        b->free_left -= n < b->free_left ? n : b->free_left;
    else
        b->tokens -= (int64_t)n;
}

uint64_t brake_ready_us(const struct brake *b)
{
    uint64_t missing = (uint64_t)(step(b) - b->tokens);

    return b->at_us + missing / b->rate * SECOND_US +
           (missing % b->rate * SECOND_US + b->rate - 1) / b->rate;
}
