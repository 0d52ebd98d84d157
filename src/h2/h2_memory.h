/* h2/h2_memory.h - nghttp2's memory out of a pool, so that it counts in the pool's budget.
 * Inside of the h2 module. */
#ifndef H2_H2_MEMORY_H
#define H2_H2_MEMORY_H

#include <nghttp2/nghttp2.h>

struct pool;

/* What nghttp2_session_server_new3 takes; the pool must outlive the session. */
nghttp2_mem h2_memory(struct pool *p);

#endif
