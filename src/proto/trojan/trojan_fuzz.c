/* The layer in front of a relay that reads, answers and ends as the first byte says: no input
 * breaks it, what it reports is well formed. */
#include "proto/trojan/users.h"
#include "proto/trojan/trojan.h"
#include "stream/test_driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_FALLBACK = 1, FUZZ_BYTES = 2, FUZZ_EOF = 4, FUZZ_TIGHT = 8 };

static void after(struct test_driver *f, const struct events *ev)
{
    const struct trojan_conf *conf = f->arg;

    test_driver_must(!(ev->mask & EV_DIVERT) || (conf->fallback && !(ev->mask & EV_REQUEST)));
    test_driver_must(!(ev->mask & EV_REQUEST) || ev->request.user != NULL);
    for (struct span *s = chain_up(&f->chain)->head; s != NULL; s = s->next) {
        test_driver_must(s->len <= BLK_DATA);
        if (s->peer.family != ADDR_NAME)
            continue;
        test_driver_must(span_headroom(s) >= 2);
        /* The answer comes from where it went to, or from somewhere. */
        s->peer = (struct addr){.family = ADDR_IP6, .port = 53};
    }
    test_driver_echo(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct user_rt user = {.uid = 1, .secret = "password"};
    struct user_rt *const list[] = {&user};
    const struct user_index_build build = {.users = list, .count = 1};
    struct user_index *users;
    struct test_driver f;

    if (size < 1)
        return 0;
    const struct trojan_conf conf = {.fallback = data[0] & FUZZ_FALLBACK};
    test_driver_must(trojan_users_ops.build(&build, &users) == ST_OK);
    test_driver_open(&f, &(struct env){.users = users}, &trojan_server_ops, &conf);
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
