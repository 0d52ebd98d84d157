#include "policy/share.h"

/* struct share.turn: 40 bits of time in units of 1,024 us (35 years), 24 bits of bytes with a
 * sign. */
#define LEFT_BITS 24
#define LEFT_MAX  ((1 << (LEFT_BITS - 1)) - 1)
#define UNIT_US   1024u

#define TURN_MS  32u    /* of the rate, at most */
#define SHORT_US 12500u /* rounds that are longer: turns are shorter in proportion */
/* A turn that begins may be used for so long, and for as long as the next one is away. */
#define KEEP_US  100000u
#define ROUND_US 10000000u /* longer ones are no round */
#define SMOOTH   16

struct turn {
    uint64_t at_us;
    int32_t left;
};

static uint64_t pack(struct turn t)
{
    uint64_t at = t.at_us / UNIT_US; /* a little early: what may be used now stays so */
    int32_t left = t.left > LEFT_MAX ? LEFT_MAX : t.left < -LEFT_MAX ? -LEFT_MAX : t.left;

    return at << LEFT_BITS | ((uint32_t)left & ((1u << LEFT_BITS) - 1));
}

static struct turn unpack(uint64_t word)
{
    uint32_t low = (uint32_t)word << (32 - LEFT_BITS);

    return (struct turn){(word >> LEFT_BITS) * UNIT_US, (int32_t)low >> (32 - LEFT_BITS)};
}

static bool replace(struct share *s, uint64_t *word, struct turn t)
{
    return atomic_compare_exchange_strong_explicit(&s->turn, word, pack(t), memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* @n scaled as @by is to @of, within a half and the double. */
static uint64_t scale(uint64_t n, uint64_t by, uint64_t of)
{
    by = by < of / 2 ? of / 2 : by > of * 2 ? of * 2 : by;
    return of > 0 ? n * by / of : n;
}

/* The size of the turn after @t, which begins in @wait_us. The longer a round, the shorter are
 * turns. Where users have to wait, who had to wait longer than others since his last turn gets
 * more: which of those whom one tick of a timer wakes books first, and so jumps the queue, must
 * not matter, and it is more often the one with many sessions. */
static uint32_t turn_size(struct share_queue *q, struct turn t, uint32_t kbps, uint64_t wait_us,
                          uint64_t now_us)
{
    uint64_t usual = atomic_load_explicit(&q->round_us, memory_order_relaxed);
    uint64_t his = now_us + wait_us - t.at_us;
    bool waited = wait_us > 0 && his < ROUND_US;
    uint64_t round = usual > wait_us ? usual : wait_us;
    uint64_t n = (uint64_t)kbps * TURN_MS / 8;

    /* Two workers may store at once: it is a hint. */
    usual = usual + (waited ? his : 0) / SMOOTH - usual / SMOOTH;
    atomic_store_explicit(&q->round_us, (uint32_t)usual, memory_order_relaxed);
    if (round > SHORT_US)
        n = n * SHORT_US / round;
    if (waited)
        n = scale(n, his, usual);
    return n < SHARE_TURN_MIN ? SHARE_TURN_MIN : n > SHARE_TURN_MAX ? SHARE_TURN_MAX : (uint32_t)n;
}

static bool is_over(struct turn t, const struct share_queue *q, uint32_t kbps, uint64_t now_us)
{
    if (t.left <= 0)
        return true;
    uint64_t age = now_us > t.at_us ? now_us - t.at_us : 0;
    return age > KEEP_US && age > KEEP_US + bucket_wait_us(&q->bucket, kbps, now_us);
}

/* Finds, or books, the user's turn. False: it begins after @by_us. */
static bool have_turn(struct share *s, struct share_queue *q, uint32_t kbps, uint64_t now_us,
                      uint64_t by_us, uint64_t *word, struct turn *out)
{
    *word = atomic_load_explicit(&s->turn, memory_order_relaxed);
    for (;;) {
        struct turn t = unpack(*word);
        *out = t;
        if (t.at_us > by_us)
            return false;
        if (!is_over(t, q, kbps, now_us))
            return true;
        uint64_t wait_us = bucket_wait_us(&q->bucket, kbps, now_us);
        uint32_t n = turn_size(q, t, kbps, wait_us, now_us);
        int32_t debt = t.left < 0 ? t.left : 0;
        struct turn next = {bucket_book(&q->bucket, kbps, n, now_us), debt + (int32_t)n};
        if (!replace(s, word, next)) { /* another worker was faster */
            bucket_unbook(&q->bucket, kbps, n);
            continue;
        }
        *word = pack(next);
        if (t.left > 0)
            bucket_unbook(&q->bucket, kbps, (uint32_t)t.left);
    }
}

static void add(struct share *s, int32_t n)
{
    uint64_t word = atomic_load_explicit(&s->turn, memory_order_relaxed);
    struct turn t;

    do {
        t = unpack(word);
        t.left += n;
    } while (!replace(s, &word, t));
}

size_t stake_room(struct stake *k, struct share *s, struct share_queue *q, uint32_t kbps,
                  size_t want, uint64_t now_us, uint64_t *wake_us)
{
    uint64_t word, look = now_us + BUCKET_LOOK_US;
    struct turn t;

    stake_end(k, s, q, now_us);
    k->kbps = kbps;
    if (kbps == 0)
        return SIZE_MAX;
    while (have_turn(s, q, kbps, now_us, now_us, &word, &t)) {
        uint32_t n = want < (size_t)t.left ? (uint32_t)want : (uint32_t)t.left;
        if (replace(s, &word, (struct turn){t.at_us, t.left - (int32_t)n})) {
            k->bytes = n;
            k->all = n == (uint32_t)t.left;
            return n;
        }
    }
    *wake_us = t.at_us < look ? t.at_us : look;
    return 0;
}

void stake_take(struct stake *k, struct share *s, uint64_t n)
{
    if (n > k->bytes && k->kbps != 0) {
        uint64_t more = n - k->bytes;
        add(s, more < LEFT_MAX ? -(int32_t)more : -LEFT_MAX);
    }
    k->bytes = n < k->bytes ? k->bytes - (uint32_t)n : 0;
}

void stake_end(struct stake *k, struct share *s, struct share_queue *q, uint64_t now_us)
{
    uint64_t word;
    struct turn t;

    if (k->bytes > 0)
        add(s, (int32_t)k->bytes);
    else if (k->all)
        (void)have_turn(s, q, k->kbps, now_us, now_us, &word, &t);
    k->bytes = 0;
    k->all = false;
}

bool share_pass(struct share *s, struct share_queue *q, uint32_t kbps, uint32_t n, uint64_t now_us,
                uint64_t slack_us)
{
    uint64_t word;
    struct turn t;

    while (kbps != 0) {
        if (!have_turn(s, q, kbps, now_us, now_us + slack_us, &word, &t))
            return false;
        if (replace(s, &word, (struct turn){t.at_us, t.left - (int32_t)n}))
            break;
    }
    return true;
}

void share_give_back(struct share *s, uint32_t n)
{
    add(s, (int32_t)n);
}

static void lend_queue(struct share_queue *to, const struct share_queue *from)
{
    atomic_store_explicit(&to->bucket.spent,
                          atomic_load_explicit(&from->bucket.spent, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&to->round_us,
                          atomic_load_explicit(&from->round_us, memory_order_relaxed),
                          memory_order_relaxed);
}

void share_total_join(struct share_total *t, struct share_queue *down, struct share_queue *up,
                      bool lend)
{
    if (lend) {
        lend_queue(down, &t->down);
        lend_queue(up, &t->up);
    }
    atomic_store_explicit(&t->joint_down, down, memory_order_release);
    atomic_store_explicit(&t->joint_up, up, memory_order_release);
}

void share_total_set(struct share_total *t, uint32_t kbps)
{
    atomic_store_explicit(&t->kbps, kbps, memory_order_relaxed);
    bucket_reset(&share_queue_of(t, false)->bucket);
    bucket_reset(&share_queue_of(t, true)->bucket);
}

void share_reset(struct share *s)
{
    atomic_store_explicit(&s->turn, 0, memory_order_relaxed);
}
