/* Answers of a store, as they come from the wire: the guard holds, and a verdict that is understood
 * speaks of devices that were asked about. */
#include <stdlib.h>

#include "control/redis/device_script.h"
#include "control/redis/redis_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void read_one(const redisReply *reply, size_t asked)
{
    struct device_verdict v;

    check(reply->type != REDIS_REPLY_ARRAY || reply->elements <= REDIS_GUARD_ELEMENTS);
    if (device_script_read(reply, asked, &v) != ST_OK)
        return;
    check(v.refused <= asked);
    for (size_t i = 0; i < v.refused; i++)
        check(v.index[i] < asked);
}

/* The first byte says how many devices were asked for, and where the bytes are cut in two. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *r = redisReaderCreate();
    struct redis_guard g;
    void *reply = NULL;

    if (r == NULL || size == 0)
        goto out;
    size_t asked = data[0] % (DEVICE_SCRIPT_DEVICES + 1);
    const char *part = (const char *)data + 1;
    size_t left = size - 1, n = data[0] % size;
    redis_guard_init(&g, r);
    for (;;) {
        if (redisReaderFeed(r, part, n) != REDIS_OK)
            goto out;
        while (redisReaderGetReply(r, &reply) == REDIS_OK && reply != NULL) {
            read_one(reply, asked);
            freeReplyObject(reply);
            reply = NULL;
        }
        if (n == left)
            break;
        part += n;
        left -= n;
        n = left;
    }
out:
    if (r != NULL)
        redisReaderFree(r);
    return 0;
}
