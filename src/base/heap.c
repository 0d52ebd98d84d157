#include "base/heap.h"

#include <stdlib.h>

void *heap_new(size_t size)
{
    return calloc(1, size);
}

void heap_free(void *p)
{
    free(p);
}
