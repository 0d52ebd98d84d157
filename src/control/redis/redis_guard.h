/* control/redis/redis_guard.h - what a Redis server may say, in front of hiredis' reader. Pure.
 *
 * hiredis asks for as much memory as an array claims to need; behind the guard that is an error of
 * the reader. */
#ifndef CONTROL_REDIS_REDIS_GUARD_H
#define CONTROL_REDIS_REDIS_GUARD_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#define REDIS_GUARD_ELEMENTS 1024 /* of an array */

struct redis_guard {
    redisReplyObjectFunctions makers;       /* ours ... */
    const redisReplyObjectFunctions *usual; /* ... before hiredis' own */
    bool refused;                           /* something that was said; stays */
};

/* Before the first byte is read; @g stays the caller's as long as @r lives. */
void redis_guard_init(struct redis_guard *g, redisReader *r);

#endif
