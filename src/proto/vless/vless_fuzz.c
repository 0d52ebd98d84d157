/* The layer in front of a relay that reads, answers and ends as the first byte says: no input
 * breaks it, what it reports is well formed. */
#include <string.h>

#include "policy/key_index.h"
#include "proto/vless/vless.h"
#include "stream/test_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_FALLBACK = 1, FUZZ_BYTES = 2, FUZZ_EOF = 4, FUZZ_TIGHT = 8 };

static void after(struct test_driver *f, const struct events *ev)
{
    const struct vless_conf *conf = f->arg;

    test_driver_must(!(ev->mask & EV_DIVERT) || (conf->fallback && !(ev->mask & EV_REQUEST)));
    test_driver_must(!(ev->mask & EV_REQUEST) || ev->request.user != NULL);
    for (const struct span *s = chain_up(&f->chain)->head; s != NULL; s = s->next)
        test_driver_must(s->peer.family == ADDR_NONE && s->len <= BLK_DATA);
    test_driver_echo(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t uuid[] = {0x66, 0xad, 0x45, 0x40, 0xb5, 0x8c, 0x4a, 0xd2,
                                   0x99, 0x26, 0xea, 0x63, 0x44, 0x5a, 0x9b, 0x57};
    struct user_rt user = {.uid = 1};
    struct user_rt *const list[] = {&user};
    const struct user_index_build build = {.users = list, .count = 1};
    struct user_index *users;
    struct test_driver f;

    if (size < 1)
        return 0;
    memcpy(user.uuid, uuid, sizeof(uuid));
    const struct vless_conf conf = {.fallback = data[0] & FUZZ_FALLBACK};
    test_driver_must(uuid_index_ops.build(&build, &users) == ST_OK);
    test_driver_open(&f, &(struct env){.users = users}, &vless_server_ops, &conf);
    f.after = after;
    f.arg = &conf;
    f.cut = data[0] & FUZZ_BYTES ? 3 : 0;
    if (data[0] & FUZZ_TIGHT)
        chain_up(&f.chain)->cap = chain_bottom_out(&f.chain)->cap = 1;
    test_driver_feed(&f, data + 1, size - 1);
    if (data[0] & FUZZ_EOF)
        test_driver_end(&f);
    test_driver_close(&f);
    user_index_free(users);
    return 0;
}
