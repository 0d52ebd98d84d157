/* panel/v2sp/alive_list.h - the answer to action=alivelist, read as it arrives:
 * {"alive":{"<uid>":devices,...}}. Pure.
 *
 * [] and null are the empty list (docs/panel-api.md, "alivelist"); an entry that is no number is
 * left out. Life: v2sp_alive_list_init -> v2sp_alive_list_feed* -> v2sp_alive_list_end. One a
 * reply, not thread-safe. */
#ifndef PANEL_V2SP_ALIVE_LIST_H
#define PANEL_V2SP_ALIVE_LIST_H

#include "codec/json_pull.h"
#include "panel/v2sp/node_object.h"

struct v2sp_alive_list {
    /* Takes one entry; an error ends the reading and is what feed returns. */
    enum status (*entry)(void *arg, uint64_t uid, uint32_t devices);
    void *arg;

    /* Private. */
    struct json_pull pull;
    uint64_t uid;
    uint8_t place;
    bool wanted, found, has_uid;
};

/* Nothing was read yet. Nothing to free. */
void v2sp_alive_list_init(struct v2sp_alive_list *l,
                          enum status (*entry)(void *, uint64_t, uint32_t), void *arg);
/* ST_OK; ST_E_PROTO with @err: no JSON; what the callback returned. */
NODISCARD enum status v2sp_alive_list_feed(struct v2sp_alive_list *l, const void *data, size_t len,
                                           struct v2sp_reply_error *err);
/* ST_OK: "alive" was there; ST_E_PROTO with @err: half an answer, or no "alive" in it. */
NODISCARD enum status v2sp_alive_list_end(struct v2sp_alive_list *l, struct v2sp_reply_error *err);

#endif
