#include "policy/bucket.h"

#define TICKS_US   16000u
#define TICKS_KBPS 128000000u /* of one byte at 1 kbit/s: 8 ms */
#define QUANTUM_MS 32u        /* of the rate, for one who is alone */
#define HALF_US    64000u     /* of queue, at which quanta are half as long */
#define BURST_MS   100u

static uint64_t cost(uint64_t bytes, uint32_t kbps)
{
    return bytes * TICKS_KBPS / kbps;
}

/* A turn that begins in @wait_us: the longer the queue, the shorter. */
static uint32_t quantum(uint32_t kbps, uint64_t wait_us)
{
    uint64_t n = (uint64_t)kbps * QUANTUM_MS / 8 * HALF_US / (HALF_US + wait_us);

    return n < BUCKET_QUANTUM_MIN   ? BUCKET_QUANTUM_MIN
           : n > BUCKET_QUANTUM_MAX ? BUCKET_QUANTUM_MAX
                                    : (uint32_t)n;
}

/* Ticks by which a rested user may run ahead of his rate. */
static uint64_t burst(uint32_t kbps)
{
    uint64_t least = cost(BUCKET_BURST_MIN, kbps), usual = BURST_MS * 1000u * (uint64_t)TICKS_US;

    return least > usual ? least : usual;
}

/* Spends @bytes unless they would have to wait for more than @slack ticks (false). *@wait: ticks
 * before they may be used. */
static bool spend(struct bucket *b, uint64_t bytes, uint32_t kbps, uint64_t now, uint64_t slack,
                  uint64_t *wait)
{
    uint64_t ahead = burst(kbps), price = cost(bytes, kbps);
    uint64_t spent = atomic_load_explicit(&b->spent, memory_order_relaxed), from;

    do {
        from = spent > now ? spent : now; /* what was not used in the past is gone */
        *wait = from > now + ahead ? from - now - ahead : 0;
        if (*wait > slack)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->spent, &spent, from + price,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

uint64_t bucket_book(struct bucket *b, uint32_t kbps, uint32_t n, uint64_t now_us)
{
    uint64_t wait;

    (void)spend(b, n, kbps, now_us * TICKS_US, UINT64_MAX, &wait);
    return now_us + (wait + TICKS_US - 1) / TICKS_US;
}

void bucket_unbook(struct bucket *b, uint32_t kbps, uint32_t n)
{
    uint64_t back = cost(n, kbps), less;
    uint64_t spent = atomic_load_explicit(&b->spent, memory_order_relaxed);

    do
        less = spent > back ? spent - back : 0;
    while (!atomic_compare_exchange_weak_explicit(&b->spent, &spent, less, memory_order_relaxed,
                                                  memory_order_relaxed));
}

uint64_t bucket_wait_us(const struct bucket *b, uint32_t kbps, uint64_t now_us)
{
    uint64_t free_at = now_us * TICKS_US + burst(kbps);
    uint64_t spent = atomic_load_explicit(&b->spent, memory_order_relaxed);

    return spent > free_at ? (spent - free_at) / TICKS_US : 0;
}

size_t pace_room(struct pace *p, struct bucket *b, uint32_t kbps, uint64_t now_us)
{
    if (kbps != p->kbps) { /* booked at a rate that does not count any more */
        p->granted = 0;
        p->kbps = kbps;
    }
    if (kbps == 0)
        return SIZE_MAX;
    if (p->granted == 0) {
        p->granted = quantum(kbps, bucket_wait_us(b, kbps, now_us));
        p->at_us = bucket_book(b, kbps, p->granted, now_us);
    }
    return p->at_us <= now_us ? p->granted : 0;
}

void pace_take(struct pace *p, struct bucket *b, uint64_t n)
{
    if (n <= p->granted) {
        p->granted -= (uint32_t)n;
        return;
    }
    if (p->kbps != 0)
        atomic_fetch_add_explicit(&b->spent, cost(n - p->granted, p->kbps), memory_order_relaxed);
    p->granted = 0;
}

uint64_t pace_wake_us(const struct pace *p, uint64_t now_us)
{
    uint64_t look = now_us + BUCKET_LOOK_US;

    return p->at_us < look ? p->at_us : look;
}

void pace_end(struct pace *p, struct bucket *b)
{
    if (p->granted > 0 && p->kbps > 0)
        bucket_unbook(b, p->kbps, p->granted);
    *p = (struct pace){.granted = 0};
}

bool bucket_pass(struct bucket *b, uint32_t kbps, size_t n, uint64_t now_us, uint64_t slack_us)
{
    uint64_t wait;

    return kbps == 0 || spend(b, n, kbps, now_us * TICKS_US, slack_us * TICKS_US, &wait);
}

void bucket_reset(struct bucket *b)
{
    atomic_store_explicit(&b->spent, 0, memory_order_relaxed);
}
