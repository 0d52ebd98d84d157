#include "stream/test_driver.h"

#include <stdlib.h>
#include <string.h>

void test_driver_must(bool ok)
{
    if (!ok)
        abort();
}

void test_driver_open(struct test_driver *d, const struct env *env, const struct layer_ops *ops,
                      const void *conf)
{
    const struct chain_stage stage = {ops, conf};

    memset(d, 0, sizeof(*d));
    d->pool = pool_new(0);
    test_driver_must(d->pool != NULL);
    d->env = *env;
    d->env.pool = d->pool;
    d->env.info = &d->info;
    d->now_us = 1;
    d->unix_s = 1;
    test_driver_must(chain_init(&d->chain, &d->env, &stage, 1) == ST_OK);
}

static void run(struct test_driver *d)
{
    struct events ev;

    do {
        d->wake_us = UINT64_MAX;
        d->st = chain_run(&d->chain, &ev, ++d->now_us, d->unix_s, &d->wake_us);
        d->seen |= ev.mask;
        test_driver_must(d->st >= 0 || ev.why.text != NULL);
        if (ev.mask & EV_DIVERT)
            d->st = ST_E_CLOSED;
        d->after(d, &ev);
    } while (d->st == ST_YIELD);
}

void test_driver_feed(struct test_driver *d, const uint8_t *data, size_t size)
{
    while (size > 0 && d->st >= 0) {
        size_t n = d->cut > 0 ? 1 + size % d->cut : size;
        n = n < BLK_READ ? n : BLK_READ;
        n = n < size ? n : size;
        struct span *s = span_new_for(d->pool, n);
        test_driver_must(s != NULL);
        memcpy(span_data(s), data, n);
        s->len = (uint32_t)n;
        bufq_push(chain_bottom_in(&d->chain), s);
        run(d);
        data += n;
        size -= n;
    }
}

void test_driver_end(struct test_driver *d)
{
    if (d->st < 0)
        return;
    chain_bottom_in(&d->chain)->eof = chain_down(&d->chain)->eof = true;
    run(d);
}

void test_driver_close(struct test_driver *d)
{
    chain_fini(&d->chain);
    conn_info_clear(d->pool, &d->info);
    test_driver_must(pool_used(d->pool) == 0);
    pool_free(d->pool);
}

void test_driver_echo(struct test_driver *d)
{
    if (d->st >= 0)
        bufq_move(chain_down(&d->chain), chain_up(&d->chain));
    bufq_clear(chain_bottom_out(&d->chain), d->pool);
}
