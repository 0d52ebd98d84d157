#include "panelserver/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "crypto/hash.h"
#include "crypto/mem.h"
#include "crypto/rng.h"
#include "panelserver/api_config.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "panelserver/db_traffic.h"
#include "panelserver/db_user.h"
#include "panelserver/ratelimit.h"
#include "panelserver/report.h"
#include "panelserver/token.h"
#include "panelserver/user_cache.h"

#define RATE_PER_S 50
#define RATE_BURST 500

struct api {
    const struct log *log;
    struct db *db;
    struct user_cache users;
    struct panelserver_counters counters;
    struct ratelimit rate;
};

static const struct {
    const char *name;
    const char *method;
} ACTIONS[] = {
    [API_CONFIG] = {"config", "GET"},       [API_USER] = {"user", "GET"},
    [API_ALIVELIST] = {"alivelist", "GET"}, [API_PUSH] = {"push", "POST"},
    [API_ALIVE] = {"alive", "POST"},
};

struct api *api_new(const struct panelserver_conf *conf)
{
    struct api *a = calloc(1, sizeof *a);
    struct rng rng;
    uint8_t key[16];
    if (a == NULL || rng_init(&rng) != ST_OK) {
        free(a);
        return NULL;
    }
    rng_bytes(&rng, key, sizeof key);
    rng_fini(&rng);
    a->log = conf->log;
    a->db = conf->db;
    user_cache_init(&a->users);
    ratelimit_init(&a->rate, conf->rate_per_s != 0 ? conf->rate_per_s : RATE_PER_S,
                   conf->rate_burst != 0 ? conf->rate_burst : RATE_BURST, key);
    return a;
}

void api_free(struct api *a)
{
    if (a == NULL)
        return;
    user_cache_fini(&a->users);
    free(a);
}

/* ---- admission ------------------------------------------------------------------------------- */

static bool refuse(struct reply *r, unsigned status, const char *code, const char *message,
                   const char *parameter)
{
    reply_error(r, status, code, message, parameter);
    return false;
}

/* The database's failures as a client shall see them; the log gets the cause. */
static void database_failed(struct api *a, enum status st, struct reply *r)
{
    log_line(a->log, LOG_ERROR, NULL, "panel: %s", db_error(a->db));
    if (st == ST_E_BUSY) {
        reply_error(r, 503, "BUSY", "The database is busy, try again", NULL);
        r->retry_after_s = 5;
    } else {
        reply_error(r, 500, "INTERNAL", "Internal error, see the panel's log", NULL);
    }
}

static bool admit_rate(struct api *a, const struct api_request *rq, struct reply *r)
{
    uint64_t wait_us = ratelimit_take(&a->rate, &rq->peer, 1, rq->now_us);
    if (wait_us == 0)
        return true;
    a->counters.rate_limited++;
    refuse(r, 429, "RATE_LIMITED", "Too many requests from this address", NULL);
    r->retry_after_s = (uint32_t)(wait_us / 1000000 + 1);
    return false;
}

/* The endpoint may be given with or without a path: panels are given both ways. */
static bool is_endpoint(struct http1_str path)
{
    static const char *const known[] = {"", "/", "/api", "/api/", "/api/v2sp", "/api/v2sp/"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (http1_str_equal(path, known[i]))
            return true;
    }
    return false;
}

static bool admit_action(const struct api_request *rq, struct api_call *call, struct reply *r)
{
    char action[32];
    if (!is_endpoint(rq->path))
        return refuse(r, 404, "NOT_FOUND", "The API is at /api/v2sp", NULL);
    enum status st = http1_query_get(rq->query, "action", action, sizeof action);
    if (st == ST_E_NOTFOUND)
        return refuse(r, 400, "MISSING_PARAMETER", "Parameter action is missing", "action");
    size_t i = 0;
    while (st == ST_OK && i < sizeof ACTIONS / sizeof ACTIONS[0] &&
           strcmp(action, ACTIONS[i].name) != 0)
        i++;
    if (st != ST_OK || i == sizeof ACTIONS / sizeof ACTIONS[0])
        return refuse(r, 404, "UNKNOWN_ACTION",
                      "Unknown action: config, user, alivelist, push or alive", "action");
    call->action = (enum api_action)i;
    if (!http1_str_equal(rq->method, ACTIONS[i].method)) {
        r->allow = ACTIONS[i].method;
        return refuse(r, 405, "METHOD_NOT_ALLOWED",
                      i == API_PUSH || i == API_ALIVE ? "This action is a POST"
                                                      : "This action is a GET",
                      NULL);
    }
    return true;
}

static bool is_node_type(const char *text)
{
    /* v2ray is what old panels call vmess; v2node means "whatever the node is". */
    static const char *const known[] = {"",       "vless",       "vmess", "trojan",
                                        "v2node", "shadowsocks", "v2ray"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i]) == 0)
            return true;
    }
    return false;
}

static bool admit_parameters(const struct api_request *rq, struct api_call *call, struct reply *r)
{
    char text[24];
    enum status st = http1_query_get(rq->query, "node_id", text, sizeof text);
    if (st == ST_E_NOTFOUND)
        return refuse(r, 400, "MISSING_PARAMETER", "Parameter node_id is missing", "node_id");
    size_t digits = st == ST_OK ? strspn(text, "0123456789") : 0;
    if (digits == 0 || digits > 15 || text[digits] != '\0')
        return refuse(r, 400, "BAD_PARAMETER", "Parameter node_id is not a whole number",
                      "node_id");
    call->node_id = strtoll(text, NULL, 10);
    /* Not sent by all nodes (nsevo/v2sp leaves it out), and not compared with the node's type: a
     * node whose type was changed in the panel must still be able to read its new configuration. */
    st = http1_query_get(rq->query, "node_type", text, sizeof text);
    if (st != ST_E_NOTFOUND && (st != ST_OK || !is_node_type(text)))
        return refuse(r, 400, "BAD_PARAMETER",
                      "Parameter node_type: vless, vmess, trojan or shadowsocks", "node_type");
    if (rq->idempotency_key.len >= sizeof call->key)
        return refuse(r, 400, "BAD_PARAMETER", "Idempotency-Key is longer than 128 bytes",
                      "Idempotency-Key");
    for (size_t i = 0; i < rq->idempotency_key.len; i++) {
        unsigned char c = (unsigned char)rq->idempotency_key.p[i];
        if (c <= 0x20 || c >= 0x7f)
            return refuse(r, 400, "BAD_PARAMETER", "Idempotency-Key: visible ASCII characters only",
                          "Idempotency-Key");
    }
    if (rq->idempotency_key.len > 0)
        memcpy(call->key, rq->idempotency_key.p, rq->idempotency_key.len);
    call->key[rq->idempotency_key.len] = '\0';
    return true;
}

static bool wrong_token(struct api *a, const struct api_request *rq, struct reply *r)
{
    char peer[ADDR_STRLEN];
    struct log_about about = {.peer = addr_str(&rq->peer, peer)};
    a->counters.wrong_token++;
    ratelimit_charge(&a->rate, &rq->peer, API_WRONG_TOKEN_COST - 1, rq->now_us);
    log_line(a->log, LOG_WARNING, &about, "panel: request with a wrong token");
    return refuse(r, 401, "WRONG_TOKEN", "The token is missing or wrong", NULL);
}

/* Who holds no token of this panel gets the same 401 for every node, so that node ids cannot be
 * counted through. */
static bool admit_token(struct api *a, const struct api_request *rq, const struct api_call *call,
                        struct reply *r)
{
    char token[DB_TOKEN_MAX + 1];
    struct db_node node;
    if (http1_query_get(rq->query, "token", token, sizeof token) != ST_OK)
        return wrong_token(a, rq, r);
    size_t len = strlen(token);
    bool admitted = false;
    enum status st = db_node_get(a->db, call->node_id, &node);
    if (st == ST_OK && !token_equal(node.token, token, len)) {
        wrong_token(a, rq, r);
    } else if (st == ST_OK && !node.enabled) {
        refuse(r, 403, "NODE_DISABLED", "This node is disabled in the panel", NULL);
    } else if (st == ST_OK) {
        admitted = true;
    } else if (st == ST_E_NOTFOUND) {
        bool known = false;
        if ((st = db_node_any_token(a->db, token, len, &known)) != ST_OK)
            database_failed(a, st, r);
        else if (known)
            refuse(r, 404, "NODE_NOT_FOUND", "There is no node with this node_id", "node_id");
        else
            wrong_token(a, rq, r);
    } else {
        database_failed(a, st, r);
    }
    crypto_wipe(token, sizeof token);
    crypto_wipe(node.token, sizeof node.token);
    return admitted;
}

bool api_admit(struct api *a, const struct api_request *rq, struct api_call *call,
               struct reply *reply)
{
    memset(reply, 0, sizeof *reply);
    memset(call, 0, sizeof *call);
    if (admit_rate(a, rq, reply) && admit_action(rq, call, reply) &&
        admit_parameters(rq, call, reply) && admit_token(a, rq, call, reply))
        return true;
    api_count_failed(a);
    return false;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answer_config(struct api *a, const struct api_call *call, const struct api_request *rq,
                          struct reply *r)
{
    struct db_node node;
    enum status st = db_node_get(a->db, call->node_id, &node);
    if (st != ST_OK) {
        database_failed(a, st, r);
        return;
    }
    if (db_node_touch(a->db, &node, rq->now_s) != ST_OK)
        log_line(a->log, LOG_DEBUG, NULL, "panel: %s", db_error(a->db));
    struct textbuf t;
    textbuf_init(&t);
    api_config_write(&t, &node);
    crypto_wipe(node.token, sizeof node.token);
    reply_take(r, &t);
}

static void answer_user(struct api *a, const struct api_call *call, const struct api_request *rq,
                        struct reply *r)
{
    enum status st = user_cache_get(&a->users, a->db, call->node_id, rq->now_s, &r->body);
    if (st != ST_OK) {
        database_failed(a, st, r);
        return;
    }
    r->status = 200;
    r->tagged = true;
}

static bool write_alive(void *ctx, int64_t user_id, int64_t devices)
{
    struct textbuf *t = ctx;
    textbuf_printf(t, "%s\"%lld\":%lld", t->p[t->len - 1] == '{' ? "" : ",", (long long)user_id,
                   (long long)devices);
    return !t->failed;
}

static void answer_alivelist(struct api *a, const struct api_request *rq, struct reply *r)
{
    struct textbuf t;
    textbuf_init(&t);
    textbuf_puts(&t, "{\"alive\":{");
    enum status st = t.failed ? ST_E_NOMEM : db_alive_each(a->db, rq->now_s, write_alive, &t);
    if (st != ST_OK) {
        textbuf_fini(&t);
        database_failed(a, st, r);
        return;
    }
    textbuf_puts(&t, "}}");
    reply_take(r, &t);
}

static void bad_body(enum status st, const struct report_error *err, struct reply *r)
{
    char text[240];
    snprintf(text, sizeof text, "%s (byte %llu of the body)", err->text,
             (unsigned long long)err->offset);
    if (st == ST_E_NOMEM)
        reply_error(r, 503, "BUSY", "Out of memory, try again", NULL);
    else
        reply_error(r, 400, "BAD_BODY", text, "body");
}

static void answer_push(struct api *a, const struct api_call *call, const struct api_request *rq,
                        struct reply *r)
{
    struct report_push push;
    struct report_error err;
    struct db_push_result result;
    uint8_t hash[HASH_SHA256_LEN];
    enum status st = report_parse_push(rq->body, rq->body_len, &push, &err);
    if (st != ST_OK) {
        bad_body(st, &err, r);
        goto out;
    }
    if ((st = hash_sum(NULL, HASH_SHA256, rq->body, rq->body_len, hash)) != ST_OK) {
        reply_error(r, 500, "INTERNAL", "Internal error", NULL);
        goto out;
    }
    st = db_traffic_push(a->db, call->node_id, call->key[0] != '\0' ? call->key : NULL, hash, &push,
                         rq->now_s, &result);
    if (st == ST_E_REFUSED) {
        reply_error(r, 409, "KEY_REUSED", "This Idempotency-Key came with another body before",
                    "Idempotency-Key");
        goto out;
    }
    if (st != ST_OK) {
        database_failed(a, st, r);
        goto out;
    }
    a->counters.pushes += !result.replayed;
    a->counters.replays += result.replayed;
    a->counters.up += result.up;
    a->counters.down += result.down;
    a->counters.unknown += result.unknown;
    if (result.unknown > 0)
        log_line(a->log, LOG_INFO, NULL, "panel: node %lld reported %llu users that do not exist",
                 (long long)call->node_id, (unsigned long long)result.unknown);
    reply_ok(r);
out:
    report_push_fini(&push);
}

static void answer_alive(struct api *a, const struct api_call *call, const struct api_request *rq,
                         struct reply *r)
{
    struct report_alive alive;
    struct report_error err;
    uint64_t unknown = 0;
    enum status st = report_parse_alive(rq->body, rq->body_len, &alive, &err);
    if (st != ST_OK) {
        bad_body(st, &err, r);
    } else if ((st = db_alive_put(a->db, call->node_id, &alive, rq->now_s, &unknown)) != ST_OK) {
        database_failed(a, st, r);
    } else {
        a->counters.unknown += unknown;
        reply_ok(r);
    }
    report_alive_fini(&alive);
}

void api_answer(struct api *a, const struct api_request *rq, const struct api_call *call,
                struct reply *reply)
{
    memset(reply, 0, sizeof *reply);
    switch (call->action) {
    case API_CONFIG:
        answer_config(a, call, rq, reply);
        break;
    case API_USER:
        answer_user(a, call, rq, reply);
        break;
    case API_ALIVELIST:
        answer_alivelist(a, rq, reply);
        break;
    case API_PUSH:
        answer_push(a, call, rq, reply);
        break;
    case API_ALIVE:
        answer_alive(a, call, rq, reply);
        break;
    }
    /* alivelist has no tag in the contract: nodes ask for it plainly. */
    if (call->action == API_ALIVELIST)
        reply->tagged = false;
    if (reply->tagged && rq->if_none_match.len > 0 &&
        body_etag_matches(reply->body->etag, rq->if_none_match.p, rq->if_none_match.len)) {
        reply->status = 304;
        a->counters.not_modified++;
    }
    a->counters.requests++;
    a->counters.failed += reply->status >= 400;
}

void api_handle(struct api *a, const struct api_request *rq, struct reply *reply)
{
    struct api_call call;
    if (api_admit(a, rq, &call, reply))
        api_answer(a, rq, &call, reply);
}

void api_tick(struct api *a, int64_t now_s)
{
    if (db_traffic_prune(a->db, now_s) != ST_OK)
        log_line(a->log, LOG_WARNING, NULL, "panel: cannot clean up: %s", db_error(a->db));
}

void api_counters(const struct api *a, struct panelserver_counters *out)
{
    *out = a->counters;
}

void api_count_failed(struct api *a)
{
    a->counters.requests++;
    a->counters.failed++;
}
