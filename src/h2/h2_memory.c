#include "h2/h2_memory.h"

#include <stdint.h>
#include <string.h>

#include "base/span.h"

/* A pool wants to be told how much it gets back: the size stands before what nghttp2 sees. */
#define BEFORE _Alignof(max_align_t)

static void *get(size_t size, void *pool)
{
    if (size > SIZE_MAX - BEFORE)
        return NULL;
    uint8_t *p = pool_alloc(pool, size + BEFORE);
    if (p == NULL)
        return NULL;
    memcpy(p, &size, sizeof(size));
    return p + BEFORE;
}

static size_t size_of(const void *mem)
{
    size_t size;
    memcpy(&size, (const uint8_t *)mem - BEFORE, sizeof(size));
    return size;
}

static void give(void *mem, void *pool)
{
    if (mem != NULL)
        pool_release(pool, (uint8_t *)mem - BEFORE, size_of(mem) + BEFORE);
}

static void *get_zeroed(size_t n, size_t size, void *pool)
{
    return size == 0 || n <= SIZE_MAX / size ? get(n * size, pool) : NULL;
}

static void *resize(void *mem, size_t size, void *pool)
{
    void *p = get(size, pool);
    if (p == NULL || mem == NULL)
        return p;
    size_t before = size_of(mem);
    memcpy(p, mem, before < size ? before : size);
    give(mem, pool);
    return p;
}

nghttp2_mem h2_memory(struct pool *p)
{
    return (nghttp2_mem){
        .mem_user_data = p, .malloc = get, .free = give, .calloc = get_zeroed, .realloc = resize};
}
