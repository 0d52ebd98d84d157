#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "panel/v2sp/alive_list.h"
#include "panel/v2sp/user_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum status on_user(void *arg, const struct v2sp_user *u)
{
    if (u->id == 0 || u->credential_len == 0 || u->credential_len > V2SP_CREDENTIAL_MAX ||
        strlen(u->credential) != u->credential_len)
        __builtin_trap();
    ++*(unsigned *)arg;
    return ST_OK;
}

static enum status on_entry(void *arg, uint64_t uid, uint32_t devices)
{
    (void)devices;
    if (uid == 0)
        __builtin_trap();
    ++*(unsigned *)arg;
    return ST_OK;
}

static unsigned users_of(const uint8_t *p, size_t len, size_t step)
{
    struct v2sp_user_list l;
    struct v2sp_reply_error err;
    unsigned n = 0;
    enum status st = ST_OK;

    v2sp_user_list_init(&l, on_user, NULL, NULL, &n);
    for (size_t at = 0; at < len && st == ST_OK; at += step)
        st = v2sp_user_list_feed(&l, p + at, len - at < step ? len - at : step, &err);
    if (st == ST_OK)
        st = v2sp_user_list_end(&l, &err);
    return st == ST_OK ? n : UINT32_MAX;
}

/* The first byte says how the rest is cut; the cut must not change what is read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct v2sp_alive_list l;
    struct v2sp_reply_error err;
    unsigned n = 0;

    if (size == 0)
        return 0;
    size_t step = (size_t)data[0] + 1;
    data++;
    size--;
    if (users_of(data, size, step) != users_of(data, size, size + 1))
        __builtin_trap();
    v2sp_alive_list_init(&l, on_entry, &n);
    enum status st = ST_OK;
    for (size_t at = 0; at < size && st == ST_OK; at += step)
        st = v2sp_alive_list_feed(&l, data + at, size - at < step ? size - at : step, &err);
    if (st == ST_OK)
        st = v2sp_alive_list_end(&l, &err);
    (void)st;
    return 0;
}
