#include "control/redis_guard.h"

/* NULL from a maker ends the connection. */
static bool may_make(const redisReadTask *t, size_t elements)
{
    struct redis_guard *g = t->privdata;
    bool whole = t->parent == NULL;
    bool unasked = whole && g->owed == 0 && t->type != REDIS_REPLY_ERROR; /* "too many clients" */

    if (unasked || elements > REDIS_GUARD_ELEMENTS) {
        g->refused = true;
        return false;
    }
    g->owed -= whole && g->owed > 0;
    return true;
}

static const redisReplyObjectFunctions *usual(const redisReadTask *t)
{
    return ((const struct redis_guard *)t->privdata)->usual;
}

static void *make_string(const redisReadTask *t, char *text, size_t len)
{
    return may_make(t, 0) ? usual(t)->createString(t, text, len) : NULL;
}

static void *make_integer(const redisReadTask *t, long long n)
{
    return may_make(t, 0) ? usual(t)->createInteger(t, n) : NULL;
}

static void *make_nil(const redisReadTask *t)
{
    return may_make(t, 0) ? usual(t)->createNil(t) : NULL;
}

#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *t, size_t n)
{
    return may_make(t, n) ? usual(t)->createArray(t, n) : NULL;
}

static void *make_double(const redisReadTask *t, double d, char *text, size_t len)
{
    return may_make(t, 0) ? usual(t)->createDouble(t, d, text, len) : NULL;
}

static void *make_bool(const redisReadTask *t, int yes)
{
    return may_make(t, 0) ? usual(t)->createBool(t, yes) : NULL;
}
#else
static void *make_array(const redisReadTask *t, int n)
{
    return n >= 0 && may_make(t, (size_t)n) ? usual(t)->createArray(t, n) : NULL;
}
#endif

void redis_guard_init(struct redis_guard *g, redisReader *r)
{
    *g = (struct redis_guard){.makers = *r->fn, .usual = r->fn};
    g->makers.createString = make_string;
    g->makers.createArray = make_array;
    g->makers.createInteger = make_integer;
    g->makers.createNil = make_nil;
#if HIREDIS_MAJOR >= 1
    g->makers.createDouble = make_double;
    g->makers.createBool = make_bool;
#endif
    r->fn = &g->makers;
    r->privdata = g;
}

void redis_guard_expect(struct redis_guard *g)
{
    g->owed++;
}
