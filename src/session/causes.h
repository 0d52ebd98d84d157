/* session/causes.h - how often sessions and datagrams failed, by node and cause: one table a
 * worker, written by it alone, read by the control thread at any time. It outlives the nodes. */
#ifndef SESSION_CAUSES_H
#define SESSION_CAUSES_H

#include <stdatomic.h>
#include <stdint.h>

#define CAUSES_MAX 256u /* pairs of node and cause; some fifty are usual, more are not counted */

struct cause {
    _Atomic(const char *) text; /* static; NULL: free */
    uint32_t node_no;
    _Atomic uint64_t count;
};

/* Zeroed: nothing has failed. */
struct causes {
    struct cause slot[CAUSES_MAX];
};

/* @text: static, names the cause. Its worker only. */
void causes_add(struct causes *c, uint32_t node_no, const char *text);
/* Any thread. */
uint64_t causes_count(const struct causes *c, uint32_t node_no, const char *text);

#endif
