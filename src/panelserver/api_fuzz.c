/* Whole requests, head and body: each gets a reply with a status the contract knows and a JSON
 * body. */
#include <string.h>

#include "base/log.h"
#include "codec/json.h"
#include "panelserver/api.h"
#include "panelserver/test_db.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct reply *r)
{
    static const unsigned known[] = {200, 304, 400, 401, 403, 404, 405, 409, 429};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        found |= r->status == known[i];
    BUG_ON(!found || r->body == NULL);
    struct json_t *v;
    struct json_error err;
    BUG_ON(json_parse(r->body->data, r->body->len, &v, &err) != ST_OK);
    BUG_ON(r->status >= 400 && json_get_str(v, "code", NULL) == NULL);
    json_unref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct db *db;
    static struct api *api;
    static struct log log = {.level = LOG_NONE};
    if (db == NULL) {
        db = test_db_open();
        test_db_node(db, TEST_DB_TOKEN);
        test_db_user(db, "anna", 1000, 0);
        struct panelserver_conf conf = {.log = &log, .db = db, .rate_per_s = UINT32_MAX};
        api = api_new(&conf);
        BUG_ON(api == NULL);
    }
    struct http1_scan scan = {0};
    struct http1_head h;
    if (http1_parse_request((const char *)data, size, &scan, &h) != ST_OK)
        return 0;
    struct api_request rq = {
        .method = h.method,
        .path = h.path,
        .query = h.query,
        .body = (const char *)data + h.size,
        .body_len = size - h.size,
        .peer = {.family = ADDR_IP4, .ip = {192, 0, 2, 1}},
        .now_s = TEST_DB_NOW,
    };
    (void)http1_field_get(&h, "If-None-Match", &rq.if_none_match);
    (void)http1_field_get(&h, "Idempotency-Key", &rq.idempotency_key);
    /* Everything an input writes is taken back, so that no input depends on the ones before. */
    struct reply reply;
    BUG_ON(db_begin(db) != ST_OK);
    api_handle(api, &rq, &reply);
    check(&reply);
    reply_fini(&reply);
    db_rollback(db);
    return 0;
}
