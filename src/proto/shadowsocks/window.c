#include "proto/shadowsocks/window.h"

bool ss_window_fits(const struct ss_window *w, uint64_t n)
{
    if (n > w->last)
        return true;
    if (w->last - n >= SS_WINDOW)
        return false;
    return (w->bits[n / 64 % SS_WINDOW_WORDS] >> (n % 64) & 1) == 0;
}

void ss_window_mark(struct ss_window *w, uint64_t n)
{
    uint64_t word = n / 64, last = w->last / 64;

    if (word > last) { /* what lies between was not seen */
        uint64_t steps = word - last < SS_WINDOW_WORDS ? word - last : SS_WINDOW_WORDS;
        for (uint64_t i = 0; i < steps; i++)
            w->bits[(word - i) % SS_WINDOW_WORDS] = 0;
    }
    if (n > w->last)
        w->last = n;
    w->bits[word % SS_WINDOW_WORDS] |= (uint64_t)1 << (n % 64);
}
