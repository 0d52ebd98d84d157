#include "policy/traffic_window.h"

uint64_t traffic_window_add(struct traffic_window *w, uint64_t length_ms, uint64_t now_ms,
                            uint64_t bytes)
{
    uint64_t now = now_ms / (length_ms / TRAFFIC_WINDOW_PARTS), sum = 0;

    for (unsigned i = 0; i < TRAFFIC_WINDOW_PARTS && w->newest < now; i++)
        w->part[++w->newest % TRAFFIC_WINDOW_PARTS] = 0;
    w->newest = now;
    w->part[now % TRAFFIC_WINDOW_PARTS] += bytes;
    for (unsigned i = 0; i < TRAFFIC_WINDOW_PARTS; i++)
        sum += w->part[i];
    return sum;
}
