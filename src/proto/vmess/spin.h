/* proto/vmess/spin.h - a lock held for some hundred nanoseconds, between the workers of a node.
 * Pure. */
#ifndef PROTO_VMESS_SPIN_H
#define PROTO_VMESS_SPIN_H

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
