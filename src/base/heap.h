/* base/heap.h - memory that belongs to no worker: small objects that several threads share. The
 * pure folders have no other way to the allocator. Thread-safe. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

/* Zeroed; NULL: no memory. */
void *heap_new(size_t size);
void heap_free(void *p); /* NULL is fine */

#endif
