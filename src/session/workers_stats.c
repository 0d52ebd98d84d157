/* What the plane counts, read by the control thread while the workers go on. */
#include <stdlib.h>
#include <string.h>

#include "session/worker.h"
#include "session/workers_state.h"

static uint64_t load(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

void workers_plane_stats(void *self, uint32_t node_no, struct plane_stats *out)
{
    struct workers *ws = self;
    memset(out, 0, sizeof(*out));
    uint32_t from = node_no == UINT32_MAX ? 0 : node_no;
    uint32_t to = node_no == UINT32_MAX ? VIEW_NODES_MAX : node_no + 1;
    for (unsigned i = 0; i < ws->made; i++) {
        for (uint32_t n = from; n < to; n++) {
            const struct worker_stats *st = &ws->list[i]->stats[n];
            out->accepted += load(&st->accepted);
            out->rejected += load(&st->rejected);
            out->open += load(&st->open);
            out->handshaking += load(&st->handshaking);
            out->served += load(&st->served);
            out->diverted += load(&st->diverted);
            out->dropped += load(&st->dropped);
            out->up += load(&st->up);
            out->down += load(&st->down);
        }
    }
}

void workers_plane_worker(void *self, unsigned no, struct plane_worker *out)
{
    const struct workers *ws = self;
    const struct worker *w = ws->list[no];
    struct loop_load l;

    loop_load(w->loop, &l);
    *out = (struct plane_worker){.busy_us = l.busy_us,
                                 .longest_us = l.longest_us,
                                 .memory = load(&w->memory),
                                 .memory_max = ws->conf.memory_budget / ws->conf.count};
    for (uint32_t n = 0; n < VIEW_NODES_MAX; n++)
        out->open += load(&w->stats[n].open);
}

struct cause_count {
    const char *text;
    uint64_t count;
};

static int compare_causes(const void *a, const void *b)
{
    return strcmp(((const struct cause_count *)a)->text, ((const struct cause_count *)b)->text);
}

/* The same words in two files may be two texts. */
void workers_plane_causes(void *self, uint32_t node_no,
                          void (*fn)(void *arg, const char *text, uint64_t count), void *arg)
{
    struct workers *ws = self;
    struct cause_count *all = calloc(ws->made * CAUSES_MAX, sizeof(*all));
    size_t n = 0;
    for (unsigned i = 0; i < ws->made && all != NULL; i++) {
        for (unsigned k = 0; k < CAUSES_MAX; k++) {
            const struct cause *c = &ws->list[i]->causes.slot[k];
            const char *text = atomic_load_explicit(&c->text, memory_order_acquire);
            if (text != NULL && c->node_no == node_no)
                all[n++] = (struct cause_count){text, load(&c->count)};
        }
    }
    if (n > 0)
        qsort(all, n, sizeof(*all), compare_causes);
    for (size_t i = 0; i < n;) {
        uint64_t sum = 0;
        size_t first = i;
        for (; i < n && compare_causes(&all[first], &all[i]) == 0; i++)
            sum += all[i].count;
        fn(arg, all[first].text, sum);
    }
    free(all);
}
