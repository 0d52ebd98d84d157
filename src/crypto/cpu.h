/* crypto/cpu.h - which instructions of x86-64 this processor and kernel offer. Asking traps into
 * the hypervisor of a virtual machine (microseconds): once at start, not per use. Pure. */
#ifndef CRYPTO_CPU_H
#define CRYPTO_CPU_H

enum cpu_feature {
    CPU_AES = 1,     /* AES-NI */
    CPU_SHA = 2,     /* SHA extensions, with SSE 4.1 */
    CPU_VAES = 4,    /* AES on 256-bit registers, with AVX2 */
    CPU_VAES512 = 8, /* ... and on 512-bit ones */
};

/* Before a loop of constant length whose variables are to stay in registers. */
#ifdef __clang__
#define CPU_UNROLL _Pragma("unroll")
#else
#define CPU_UNROLL _Pragma("GCC unroll 16")
#endif

/* enum cpu_feature; 0 on other processors. */
unsigned cpu_features(void);

#endif
