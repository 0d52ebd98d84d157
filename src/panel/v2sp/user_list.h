/* panel/v2sp/user_list.h - the answer to action=user, read as it arrives:
 * {"users":[{"id","uuid","speed_limit","device_limit","conn_limit"},...]}. Pure.
 *
 * A user that cannot be used is skipped and named; an answer that is no list at all is an error, so
 * that the old list stays (docs/panel-api.md, "user"). Life: v2sp_user_list_init ->
 * v2sp_user_list_feed* -> v2sp_user_list_end. One a reply, about 5 KiB, not thread-safe. */
#ifndef PANEL_V2SP_USER_LIST_H
#define PANEL_V2SP_USER_LIST_H

#include "codec/json_pull.h"
#include "panel/v2sp/node_object.h"

#define V2SP_CREDENTIAL_MAX 255

struct v2sp_user {
    uint64_t id; /* > 0 */
    /* "uuid": text of 1..V2SP_CREDENTIAL_MAX bytes; secret; good for the call */
    const char *credential;
    uint32_t credential_len;
    /* 1000 bit/s; the panel sends Mbit/s, fractions allowed; 0 = unlimited, here and below */
    uint32_t speed_kbps;
    uint32_t device_limit, conn_limit;
};

struct v2sp_user_list {
    /* Takes one good user. An error ends the reading and is what feed returns (ST_E_NOMEM,
     * ST_E_LIMIT). */
    enum status (*user)(void *arg, const struct v2sp_user *u);
    /* Names one skipped entry: its id if it had a good one (else 0), its place from 0, and what is
     * wrong with it. May be NULL. */
    void (*skipped)(void *arg, uint64_t id, uint64_t index, const char *text);
    /* Names a user who was taken although a limit of his is no number: it counts as none, so that
     * the node's own limit holds for him. May be NULL. */
    void (*odd_limit)(void *arg, uint64_t id, const char *text);
    void *arg;

    /* Private. */
    struct json_pull pull;
    struct v2sp_user cur;
    char credential[V2SP_CREDENTIAL_MAX + 1];
    char message[120];
    const char *bad, *odd;
    uint64_t index;
    uint8_t place, key;
    bool found, failed;
};

/* Nothing was read yet; the callbacks as above. v2sp_user_list_end wipes, there is nothing to
 * free. */
void v2sp_user_list_init(struct v2sp_user_list *l,
                         enum status (*user)(void *, const struct v2sp_user *),
                         void (*skipped)(void *, uint64_t, uint64_t, const char *),
                         void (*odd_limit)(void *, uint64_t, const char *), void *arg);
/* Eats the next bytes of the reply. ST_OK; ST_E_PROTO with @err: no JSON, or "users" is no list;
 * what the callback returned. */
NODISCARD enum status v2sp_user_list_feed(struct v2sp_user_list *l, const void *data, size_t len,
                                          struct v2sp_reply_error *err);
/* The reply is complete. ST_OK: a list, perhaps empty, was there; ST_E_PROTO with @err: half an
 * answer, no "users" in it, or an error message in place of the list. Wipes the last credential. */
NODISCARD enum status v2sp_user_list_end(struct v2sp_user_list *l, struct v2sp_reply_error *err);

#endif
