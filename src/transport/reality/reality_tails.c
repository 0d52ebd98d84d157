#include "transport/reality/reality_tails.h"

#include <string.h>

const struct reality_tail *reality_tails_find(const struct reality_tails *t, struct reader name,
                                              uint8_t alpn, uint16_t suite)
{
    const struct reality_tail_list *l =
        t != NULL ? atomic_load_explicit(&t->now, memory_order_acquire) : NULL;

    for (size_t i = 0; l != NULL && i < l->count; i++) {
        const struct reality_tail *tail = &l->at[i];
        if (tail->alpn == alpn && (tail->suite == 0 || tail->suite == suite) &&
            strlen(tail->server_name) == reader_left(&name) &&
            memcmp(tail->server_name, name.p, reader_left(&name)) == 0)
            return tail;
    }
    return NULL;
}

void reality_tails_publish(struct reality_tails *t, const struct reality_tail_list *l)
{
    atomic_store_explicit(&t->now, l, memory_order_release);
}
