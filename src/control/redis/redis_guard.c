#include "control/redis/redis_guard.h"

/* NULL from a maker ends the connection. */
static const struct redisReplyObjectFunctions *admit(const redisReadTask *t, size_t elements)
{
    struct redis_guard *g = t->privdata;

    if (elements <= REDIS_GUARD_ELEMENTS)
        return g->usual;
    g->refused = true;
    return NULL;
}

#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *t, size_t n)
{
    const struct redisReplyObjectFunctions *usual = admit(t, n);
    return usual != NULL ? usual->createArray(t, n) : NULL;
}
#else
static void *make_array(const redisReadTask *t, int n)
{
    const struct redisReplyObjectFunctions *usual = admit(t, n < 0 ? SIZE_MAX : (size_t)n);
    return usual != NULL ? usual->createArray(t, n) : NULL;
}
#endif

void redis_guard_init(struct redis_guard *g, redisReader *r)
{
    *g = (struct redis_guard){.makers = *r->fn, .usual = r->fn};
    g->makers.createArray = make_array;
    r->fn = &g->makers;
    r->privdata = g;
}
