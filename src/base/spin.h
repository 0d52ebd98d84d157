/* base/spin.h - a lock held for some hundred nanoseconds: for what workers share and a session
 * needs once. Clear (atomic_flag_clear, or zeroed memory) is open. Pure. */
#ifndef BASE_SPIN_H
#define BASE_SPIN_H

#include <stdatomic.h>

static inline void spin_lock(atomic_flag *lock)
{
    while (atomic_flag_test_and_set_explicit(lock, memory_order_acquire)) {
#ifdef __x86_64__
        __builtin_ia32_pause();
#endif
    }
}

static inline void spin_unlock(atomic_flag *lock)
{
    atomic_flag_clear_explicit(lock, memory_order_release);
}

#endif
