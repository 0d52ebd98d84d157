/* crypto/mem.h - memory that holds secrets: wiping it and comparing it without leaking. Pure. */
#ifndef CRYPTO_MEM_H
#define CRYPTO_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Overwrites @n bytes with zeros in a way no compiler removes. @p may be NULL when @n is 0. */
void crypto_wipe(void *p, size_t n);
/* True if both strings of @n bytes are equal; the time depends on @n alone. */
bool crypto_ct_equal(const void *a, const void *b, size_t n);

#endif
