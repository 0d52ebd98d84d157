#include "control/redis_link.h"

#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/config_device_store.h"
#include "control/redis_guard.h"
#include "crypto/mem.h"
#include "io/loop.h"
#include "io/resolver.h"

#define SHA_LEN      40u
#define RETRY_MS     1000u
#define RETRY_MAX_MS 30000u
#define REPLY_MAX    (256u * 1024) /* bytes of answers that were not understood yet */
#define REASON_MAX   120u

struct redis_link {
    struct redis_link_conf conf;
    struct config_device_store store; /* its texts are ours */
    redisAsyncContext *ac;            /* NULL: no connection */
    struct watch watch;
    uint32_t events; /* wanted of the socket */
    struct timer retry;
    struct timer late; /* armed while an answer, or the connection, is waited for */
    struct resolve_req resolving;
    unsigned waiting; /* commands whose callbacks have not been called */
    struct redis_guard guard;
    unsigned fails;               /* in a row */
    unsigned addresses;           /* of its name */
    bool is_up, has_said, ending; /* ending: it goes, nothing is made again */
    bool proven;                  /* a command was answered since it is up */
    bool doubted; /* it took the script, but no command: a replica, a full one, no Redis at all */
    enum redis_link_phase phase;
    int64_t since_s; /* it is in it */
    uint64_t answered, failed;
    char sha[SHA_LEN + 1];
    char reason[REASON_MAX]; /* why the connection ends; "" = hiredis knows */
    char error[REASON_MAX];  /* why it ended last */
};

/* One command under way. */
struct command {
    struct redis_link *link;
    enum status (*fn)(void *arg, const struct redisReply *);
    void *arg;
};

/* ---- trouble ---- */

/* The first characters of @text that are plain; what a server says is not to be trusted. */
static void set_reason(struct redis_link *l, const char *text)
{
    size_t n = 0;

    if (l->reason[0] != '\0')
        return; /* the first one is the cause */
    for (; text[n] >= ' ' && text[n] <= '~' && n + 1 < sizeof(l->reason); n++)
        l->reason[n] = text[n];
    l->reason[n] = '\0';
}

static void try_later(struct redis_link *l)
{
    uint32_t pause = RETRY_MS << (l->fails < 5 ? l->fails : 5);

    l->fails++;
    loop_timer_in(l->conf.loop, &l->retry, pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS);
}

static void enter(struct redis_link *l, enum redis_link_phase phase)
{
    if (l->phase != phase || l->since_s == 0)
        l->since_s = loop_unix_s(l->conf.loop);
    l->phase = phase;
}

static void works(struct redis_link *l)
{
    enter(l, REDIS_LINK_UP);
    l->doubted = false;
    l->fails = 0;
    log_line(l->conf.log, LOG_INFO, NULL, "DeviceStore %.100s: %s", l->store.address,
             l->has_said ? "works again" : "connected");
    l->has_said = false;
}

/* There is no connection (any more). */
static void is_down(struct redis_link *l)
{
    bool was_up = l->is_up;

    l->doubted = l->doubted || (was_up && !l->proven && l->waiting > 0);
    l->failed += was_up ? l->waiting : 0;
    l->waiting = 0;
    l->is_up = l->proven = false;
    l->sha[0] = '\0';
    loop_timer_del(l->conf.loop, &l->late);
    if (l->ending)
        return;
    if (!was_up && l->fails + 1 < l->addresses) {
        l->fails++;
        l->reason[0] = '\0';
        loop_timer_in(l->conf.loop, &l->retry, 0); /* the next address */
        return;
    }
    enter(l, REDIS_LINK_DOWN);
    snprintf(l->error, sizeof(l->error), "%s",
             l->reason[0] != '\0' ? l->reason : "the connection has ended");
    if (!l->has_said)
        log_line(l->conf.log, LOG_WARNING, NULL,
                 "DeviceStore %.100s: %s; devices are counted without it until it is back",
                 l->store.address, l->error);
    l->has_said = true;
    l->reason[0] = '\0';
    try_later(l);
    if (was_up)
        l->conf.down(l->conf.arg);
}

/* Ends the connection, now or when hiredis has returned to the loop. */
static void drop(struct redis_link *l, const char *why)
{
    set_reason(l, why);
    if (l->ac != NULL)
        redisAsyncFree(l->ac); /* on_cleanup follows */
    else
        is_down(l);
}

static void on_late(struct timer *t)
{
    struct redis_link *l = LIST_ENTRY(t, struct redis_link, late);

    resolve_cancel(&l->resolving);
    drop(l, l->is_up ? "no answer in time" : "cannot be reached in time");
}

static void expect_answer(struct redis_link *l)
{
    loop_timer_in(l->conf.loop, &l->late, l->store.timeout_ms);
}

/* ---- hiredis and the loop ---- */

static void on_events(struct watch *w, uint32_t events)
{
    struct redis_link *l = LIST_ENTRY(w, struct redis_link, watch);

    /* Either call may end the connection. */
    if ((events & (LOOP_IN | LOOP_HUP)) != 0)
        redisAsyncHandleRead(l->ac);
    if (l->ac != NULL && (events & LOOP_OUT) != 0)
        redisAsyncHandleWrite(l->ac);
    if (l->ac != NULL && l->ac->c.reader->len > REPLY_MAX)
        drop(l, "its answer is too large");
}

static void want(struct redis_link *l, uint32_t events)
{
    if (events == l->events || l->watch.fd < 0)
        return;
    l->events = events;
    if (loop_watch_mod(l->conf.loop, &l->watch, events) != ST_OK)
        set_reason(l, "the socket cannot be watched"); /* and the answer comes late */
}

static void add_read(void *data)
{
    struct redis_link *l = data;
    want(l, l->events | LOOP_IN);
}

static void del_read(void *data)
{
    struct redis_link *l = data;
    want(l, l->events & ~(uint32_t)LOOP_IN);
}

static void add_write(void *data)
{
    struct redis_link *l = data;
    want(l, l->events | LOOP_OUT);
}

static void del_write(void *data)
{
    struct redis_link *l = data;
    want(l, l->events & ~(uint32_t)LOOP_OUT);
}

/* hiredis frees the connection; it has called the callbacks of all commands. */
static void on_cleanup(void *data)
{
    struct redis_link *l = data;

    if (l->guard.refused)
        set_reason(l, "it answers something else");
    if (l->ac->errstr != NULL && l->ac->errstr[0] != '\0')
        set_reason(l, l->ac->errstr);
    loop_watch_del(l->conf.loop, &l->watch);
    l->ac = NULL;
    is_down(l);
}

/* ---- commands ---- */

static void on_reply(redisAsyncContext *ac, void *r, void *privdata)
{
    struct command *c = privdata;
    struct redis_link *l = c->link;
    const struct redisReply *reply = r;
    bool asked = l->is_up; /* it was for a command, not for becoming ready */
    enum status st = c->fn(c->arg, reply);

    (void)ac;
    free(c);
    if (reply == NULL)
        return;
    if (st != ST_OK) {
        drop(l, reply->type == REDIS_REPLY_ERROR ? reply->str : "it answers something else");
        return;
    }
    l->waiting--;
    if (l->waiting > 0)
        expect_answer(l);
    else
        loop_timer_del(l->conf.loop, &l->late);
    l->proven = l->proven || asked;
    l->answered += asked;
    if (asked && l->doubted)
        works(l);
}

static enum status send(struct redis_link *l, int argc, const char **argv, const size_t *len,
                        enum status (*fn)(void *arg, const struct redisReply *), void *arg)
{
    struct command *c = malloc(sizeof(*c));

    if (c == NULL)
        return ST_E_NOMEM;
    *c = (struct command){.link = l, .fn = fn, .arg = arg};
    if (redisAsyncCommandArgv(l->ac, on_reply, c, argc, argv, len) != REDIS_OK) {
        free(c);
        return ST_E_IO;
    }
    redis_guard_expect(&l->guard);
    if (l->waiting++ == 0)
        expect_answer(l);
    return ST_OK;
}

enum status redis_link_send(struct redis_link *l, int argc, const char **argv, const size_t *len,
                            enum status (*fn)(void *arg, const struct redisReply *), void *arg)
{
    if (!l->is_up)
        return ST_E_IO;
    if (l->waiting >= REDIS_LINK_MAX)
        return ST_E_LIMIT;
    return send(l, argc, argv, len, fn, arg);
}

/* ---- becoming ready ---- */

static enum status on_auth(void *arg, const struct redisReply *r)
{
    struct redis_link *l = arg;

    if (r == NULL || r->type == REDIS_REPLY_STATUS)
        return ST_OK;
    /* Not its own words: servers repeat the arguments of a command that they do not know. But a
     * full one has said so before it was asked. */
    bool full = r->type == REDIS_REPLY_ERROR && strstr(r->str, "max number of clients") != NULL;
    set_reason(l, full ? "it has too many clients" : "it refuses Username and Password");
    return ST_E_IO;
}

static enum status on_select(void *arg, const struct redisReply *r)
{
    (void)arg;
    return r == NULL || r->type == REDIS_REPLY_STATUS ? ST_OK : ST_E_IO;
}

static enum status on_script(void *arg, const struct redisReply *r)
{
    struct redis_link *l = arg;

    if (r == NULL)
        return ST_OK;
    if (r->type != REDIS_REPLY_STRING || r->len != SHA_LEN)
        return ST_E_IO;
    memcpy(l->sha, r->str, SHA_LEN);
    l->sha[SHA_LEN] = '\0';
    l->is_up = true;
    if (!l->doubted)
        works(l);
    l->conf.up(l->conf.arg);
    return ST_OK;
}

static enum status send_texts(struct redis_link *l, int argc, const char **argv,
                              enum status (*fn)(void *arg, const struct redisReply *))
{
    size_t len[4];

    for (int i = 0; i < argc; i++)
        len[i] = strlen(argv[i]);
    return send(l, argc, argv, len, fn, l);
}

static enum status set_up(struct redis_link *l)
{
    const struct config_device_store *s = &l->store;
    const char *load[] = {"SCRIPT", "LOAD", l->conf.script};
    char number[16];
    const char *select[] = {"SELECT", number};
    const char *auth[3] = {"AUTH"};
    enum status st = ST_OK;
    int n = 1;

    if (s->username[0] != '\0')
        auth[n++] = s->username;
    auth[n++] = s->password;
    snprintf(number, sizeof(number), "%u", (unsigned)s->db);
    if (s->password[0] != '\0')
        st = send_texts(l, n, auth, on_auth);
    if (st == ST_OK && s->db != 0)
        st = send_texts(l, 2, select, on_select);
    if (st == ST_OK)
        st = send_texts(l, 3, load, on_script);
    return st;
}

static void on_connected(const redisAsyncContext *ac, int status)
{
    struct redis_link *l = ac->ev.data;

    /* After a failure hiredis cleans up by itself. In here the connection must not be freed. */
    if (status != REDIS_OK || set_up(l) == ST_OK)
        return;
    set_reason(l, "no memory");
    loop_timer_in(l->conf.loop, &l->late, 0);
}

static void attach(struct redis_link *l, redisAsyncContext *ac)
{
    if (ac == NULL || ac->err != 0) {
        set_reason(l, ac != NULL && ac->errstr != NULL ? ac->errstr : "no memory");
        if (ac != NULL)
            redisAsyncFree(ac);
        is_down(l);
        return;
    }
    l->ac = ac;
    ac->ev.data = l;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = on_cleanup;
    redis_guard_init(&l->guard, ac->c.reader);
    l->events = LOOP_OUT;
    if (loop_watch_add(l->conf.loop, &l->watch, (int)ac->c.fd, LOOP_OUT, on_events) != ST_OK) {
        drop(l, "the socket cannot be watched");
        return;
    }
    redisAsyncSetConnectCallback(ac, on_connected);
    expect_answer(l);
}

static void on_resolved(struct resolve_req *req, const struct resolve_answer *a)
{
    struct redis_link *l = LIST_ENTRY(req, struct redis_link, resolving);
    char ip[ADDR_STRLEN];

    loop_timer_del(l->conf.loop, &l->late);
    if (a->status != ST_OK) {
        l->addresses = 0;
        drop(l, "its name cannot be found");
        return;
    }
    /* One address may lead nowhere from here: each try takes the next. */
    l->addresses = (unsigned)a->count;
    const struct addr *to = &a->addrs[l->fails % a->count];
    attach(l, redisAsyncConnect(addr_ip_str(to, ip), l->store.port));
}

/* hiredis would look a name up by a call that blocks. */
static void connect_now(struct redis_link *l)
{
    struct resolver **r = l->conf.resolver;
    struct resolve_answer now;
    struct addr a;

    if (l->store.path[0] != '\0') {
        attach(l, redisAsyncConnectUnix(l->store.path));
        return;
    }
    if (addr_parse_ip(&a, l->store.host, strlen(l->store.host)) == ST_OK) {
        attach(l, redisAsyncConnect(l->store.host, l->store.port));
        return;
    }
    if (*r == NULL && resolver_new(l->conf.loop, NULL, r) != ST_OK) {
        *r = NULL;
        drop(l, "no resolver for its name");
        return;
    }
    enum status st = resolver_get(*r, l->store.host, RESOLVE_ANY, &l->resolving, on_resolved, &now);
    if (st == ST_MORE)
        expect_answer(l);
    else
        on_resolved(&l->resolving, &now);
}

static void on_retry(struct timer *t)
{
    connect_now(LIST_ENTRY(t, struct redis_link, retry));
}

/* ---- life ---- */

static bool copy_texts(struct config_device_store *s)
{
    const char **texts[] = {&s->address,  &s->path,     &s->host,
                            &s->username, &s->password, &s->prefix};
    bool all = true;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = strdup(*texts[i]);
        all = all && *texts[i] != NULL;
    }
    return all;
}

static void free_texts(struct config_device_store *s)
{
    if (s->password != NULL)
        crypto_wipe((char *)s->password, strlen(s->password));
    free((char *)s->address);
    free((char *)s->path);
    free((char *)s->host);
    free((char *)s->username);
    free((char *)s->password);
    free((char *)s->prefix);
}

struct redis_link *redis_link_new(const struct redis_link_conf *conf)
{
    struct redis_link *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    l->conf = *conf;
    l->store = *conf->store;
    l->conf.store = &l->store;
    l->watch.fd = -1;
    timer_init(&l->retry, on_retry);
    timer_init(&l->late, on_late);
    if (!copy_texts(&l->store)) {
        free_texts(&l->store);
        free(l);
        return NULL;
    }
    enter(l, REDIS_LINK_CONNECTING);
    loop_timer_in(conf->loop, &l->retry, 0);
    return l;
}

void redis_link_free(struct redis_link *l)
{
    if (l == NULL)
        return;
    l->ending = true;
    resolve_cancel(&l->resolving);
    if (l->ac != NULL)
        redisAsyncFree(l->ac);
    loop_timer_del(l->conf.loop, &l->retry);
    loop_timer_del(l->conf.loop, &l->late);
    free_texts(&l->store);
    free(l);
}

const struct config_device_store *redis_link_store(const struct redis_link *l)
{
    return &l->store;
}

bool redis_link_is_up(const struct redis_link *l)
{
    return l->is_up;
}

const char *redis_link_sha(const struct redis_link *l)
{
    return l->sha;
}

void redis_link_state(const struct redis_link *l, struct redis_link_state *out)
{
    *out = (struct redis_link_state){.phase = l->phase,
                                     .since_s = l->since_s,
                                     .error = l->error,
                                     .answered = l->answered,
                                     .failed = l->failed};
}
