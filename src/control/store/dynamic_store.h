/* control/store/dynamic_store.h - dynamic limits in node.db, so that they hold on in the next
 * process. Control thread; inside control only. */
#ifndef CONTROL_STORE_DYNAMIC_STORE_H
#define CONTROL_STORE_DYNAMIC_STORE_H

#include <stdint.h>

#include "base/status.h"

struct store;

struct dynamic_held {
    uint32_t node; /* its row */
    uint64_t uid;
    uint32_t kbps; /* 0: nothing holds him */
    uint32_t left_s;
};

/* Enters @h, or takes it out. ST_OK, ST_E_IO (said). */
NODISCARD enum status dynamic_store_put(struct store *s, const struct dynamic_held *h,
                                        int64_t now_s);
/* Calls @fn for each that is not over at @now_s, and takes out the others. A clock that was set
 * back makes none longer than it was when it was entered. ST_OK, ST_E_IO (said). */
NODISCARD enum status dynamic_store_each(struct store *s, int64_t now_s,
                                         void (*fn)(void *arg, const struct dynamic_held *h),
                                         void *arg);

#endif
