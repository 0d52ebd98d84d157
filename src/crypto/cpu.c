#include "crypto/cpu.h"

#ifdef __x86_64__

#include <cpuid.h>

#define BIT(n) (1u << (n))

/* State components that the kernel saves: a register is usable only if its parts are here. */
#define XCR0_AVX    0x06u /* SSE, AVX */
#define XCR0_AVX512 0xe6u /* and the masks and the upper halves */

static unsigned saved_state(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

unsigned cpu_features(void)
{
    unsigned a, b, c, d, found = 0, xcr0 = 0;

    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    unsigned basic = c;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        b = c = 0;
    if (basic & BIT(27)) /* OSXSAVE */
        xcr0 = saved_state();
    if (basic & BIT(25))
        found |= CPU_AES;
    if ((b & BIT(29)) && (basic & BIT(19)) && (basic & BIT(9)))
        found |= CPU_SHA;
    if ((c & BIT(9)) && (b & BIT(5)) && (xcr0 & XCR0_AVX) == XCR0_AVX)
        found |= CPU_VAES;
    if ((found & CPU_VAES) && (b & BIT(16)) && (xcr0 & XCR0_AVX512) == XCR0_AVX512)
        found |= CPU_VAES512;
    return found;
}

#else

unsigned cpu_features(void)
{
    return 0;
}

#endif
