/* policy/traffic_window.h - how many bytes somebody moved in the last so many seconds. Pure.
 *
 * A window is cut into parts; it slides by one part at a time, so that what it holds is never older
 * than its length, and at least 11/12 of it. */
#ifndef POLICY_TRAFFIC_WINDOW_H
#define POLICY_TRAFFIC_WINDOW_H

#include <stdint.h>

#define TRAFFIC_WINDOW_PARTS 12u

/* Zeroed: nothing was moved. */
struct traffic_window {
    uint64_t part[TRAFFIC_WINDOW_PARTS];
    uint64_t newest; /* number of the part that @part was last added to */
};

/* @bytes were moved at @now_ms, which never goes back. Returns what was in the last @length_ms (at
 * least TRAFFIC_WINDOW_PARTS), these included. */
uint64_t traffic_window_add(struct traffic_window *w, uint64_t length_ms, uint64_t now_ms,
                            uint64_t bytes);

#endif
