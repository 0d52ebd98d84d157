#include "control/redis/redis_link.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/config/config_device_store.h"
#include "control/redis/redis_guard.h"
#include "control/redis/redis_stream.h"
#include "crypto/mem.h"
#include "io/loop.h"

#define SHA_LEN      40u
#define RETRY_MS     1000u
#define RETRY_MAX_MS 30000u
#define REPLY_MAX    (256u * 1024) /* bytes of answers that were not understood yet */
#define REASON_MAX   120u
#define TLS_ALERT    0x15 /* what a server that speaks TLS says to anything else begins with it */

struct redis_link {
    struct redis_link_conf conf;
    struct config_device_store store; /* its texts are ours */
    struct redis_stream stream;
    redisReader *reader; /* NULL: no connection */
    struct redis_guard guard;
    struct timer retry;
    struct timer late;            /* armed while an answer, or the connection, is waited for */
    struct list commands;         /* under way, in the order of their answers */
    unsigned waiting;             /* how many */
    unsigned fails;               /* in a row */
    bool heard;                   /* something has come */
    bool is_up, has_said, ending; /* ending: it goes, nothing is made again */
    bool proven;                  /* a command was answered since it is up */
    bool doubted; /* it took the script, but no command: a replica, a full one, no Redis at all */
    enum redis_link_phase phase;
    int64_t since_s; /* it is in it */
    uint64_t answered, failed;
    char sha[SHA_LEN + 1];
    char reason[REASON_MAX]; /* why the connection ends */
    char error[REASON_MAX];  /* why it ended last */
};

/* One command under way. */
struct command {
    struct list node;
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

/* What is under way gets no answer any more. */
static void end_commands(struct redis_link *l)
{
    while (!list_empty(&l->commands)) {
        struct command *c = LIST_ENTRY(l->commands.next, struct command, node);
        list_del(&c->node);
        (void)c->fn(c->arg, NULL);
        free(c);
    }
    l->waiting = 0;
}

/* There is no connection (any more). */
static void is_down(struct redis_link *l)
{
    bool was_up = l->is_up;

    l->doubted = l->doubted || (was_up && !l->proven && l->waiting > 0);
    l->failed += was_up ? l->waiting : 0;
    l->is_up = l->proven = l->heard = false;
    l->sha[0] = '\0';
    loop_timer_del(l->conf.loop, &l->late);
    if (l->reader != NULL)
        redisReaderFree(l->reader);
    l->reader = NULL;
    end_commands(l);
    if (l->ending)
        return;
    enter(l, REDIS_LINK_DOWN);
    snprintf(l->error, sizeof(l->error), "%s",
             l->reason[0] != '\0' ? l->reason : "it answers something else");
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

static void drop(struct redis_link *l, const char *why)
{
    set_reason(l, why);
    redis_stream_close(&l->stream);
    is_down(l);
}

static void on_failed(struct redis_stream *s, const char *why)
{
    struct redis_link *l = LIST_ENTRY(s, struct redis_link, stream);

    /* Its alert may have been lost to the reset that follows when it leaves ours unread. */
    bool mute = l->reader != NULL && !l->heard && !l->store.tls && l->store.path[0] == '\0';
    set_reason(l, mute ? "it ends the connection without an answer, as one that wants TLS" : why);
    is_down(l);
}

static void on_late(struct timer *t)
{
    struct redis_link *l = LIST_ENTRY(t, struct redis_link, late);

    if (l->is_up)
        drop(l, "no answer in time");
    else if (redis_stream_shakes_hands(&l->stream))
        drop(l, "no answer to the TLS handshake in time");
    else
        drop(l, "cannot be reached in time");
}

static void expect_answer(struct redis_link *l)
{
    loop_timer_in(l->conf.loop, &l->late, l->store.timeout_ms);
}

/* ---- commands ---- */

/* Takes @reply. */
static void take_reply(struct redis_link *l, struct redisReply *reply)
{
    bool asked = l->is_up; /* it was for a command, not for becoming ready */
    enum status st = ST_E_PROTO;

    if (!list_empty(&l->commands)) {
        struct command *c = LIST_ENTRY(l->commands.next, struct command, node);
        list_del(&c->node);
        st = c->fn(c->arg, reply);
        free(c);
    }
    if (st != ST_OK)
        set_reason(l, reply->type == REDIS_REPLY_ERROR ? reply->str : "it answers something else");
    freeReplyObject(reply);
    if (st != ST_OK) {
        drop(l, "");
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

static void on_bytes(struct redis_stream *s, const void *data, size_t len)
{
    struct redis_link *l = LIST_ENTRY(s, struct redis_link, stream);
    void *reply = NULL;
    bool whole = true;

    if (!l->heard && !l->store.tls && *(const uint8_t *)data == TLS_ALERT) {
        drop(l, "it speaks TLS");
        return;
    }
    l->heard = true;
    if (redisReaderFeed(l->reader, data, len) != REDIS_OK)
        drop(l, "no memory");
    /* Each answer may end the connection. */
    while (whole && l->reader != NULL) {
        if (redisReaderGetReply(l->reader, &reply) != REDIS_OK) {
            drop(l, l->guard.refused ? "it answers something else" : l->reader->errstr);
            return;
        }
        whole = reply != NULL;
        if (whole)
            take_reply(l, reply);
    }
    if (l->reader != NULL && l->reader->len > REPLY_MAX)
        drop(l, "its answer is too large");
}

static enum status write_command(struct redis_link *l, int argc, const char **argv,
                                 const size_t *len)
{
    char *text = NULL;
    long long n = redisFormatCommandArgv(&text, argc, argv, len);

    if (n < 0)
        return ST_E_NOMEM;
    enum status st = redis_stream_write(&l->stream, text, (size_t)n);
    crypto_wipe(text, (size_t)n); /* it may hold the password */
    redisFreeCommand(text);
    return st;
}

static enum status send(struct redis_link *l, int argc, const char **argv, const size_t *len,
                        enum status (*fn)(void *arg, const struct redisReply *), void *arg)
{
    struct command *c = calloc(1, sizeof(*c));

    if (c == NULL || write_command(l, argc, argv, len) != ST_OK) {
        free(c);
        return ST_E_NOMEM;
    }
    c->fn = fn;
    c->arg = arg;
    list_add_tail(&l->commands, &c->node);
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

static void on_opened(struct redis_stream *s)
{
    struct redis_link *l = LIST_ENTRY(s, struct redis_link, stream);

    l->reader = redisReaderCreate();
    if (l->reader != NULL)
        redis_guard_init(&l->guard, l->reader);
    if (l->reader == NULL || set_up(l) != ST_OK)
        drop(l, "no memory");
}

/* One address may lead nowhere from here: each try begins with the next. */
static void on_retry(struct timer *t)
{
    struct redis_link *l = LIST_ENTRY(t, struct redis_link, retry);

    expect_answer(l);
    redis_stream_open(&l->stream, l->fails);
}

/* ---- life ---- */

static bool copy_texts(struct config_device_store *s)
{
    const char **texts[] = {&s->address, &s->path, &s->host,        &s->username,  &s->password,
                            &s->prefix,  &s->ca,   &s->server_name, &s->cert_file, &s->key_file};
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
    free((char *)s->ca);
    free((char *)s->server_name);
    free((char *)s->cert_file);
    free((char *)s->key_file);
}

struct redis_link *redis_link_new(const struct redis_link_conf *conf)
{
    struct redis_link *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    l->conf = *conf;
    l->store = *conf->store;
    l->conf.store = &l->store;
    list_init(&l->commands);
    timer_init(&l->retry, on_retry);
    timer_init(&l->late, on_late);
    const struct redis_stream_conf stream = {.loop = conf->loop,
                                             .resolver = conf->resolver,
                                             .store = &l->store,
                                             .opened = on_opened,
                                             .came = on_bytes,
                                             .failed = on_failed};
    if (!copy_texts(&l->store) || redis_stream_init(&l->stream, &stream) != ST_OK) {
        free_texts(&l->store);
        free(l);
        return NULL;
    }
    if (l->store.tls && l->store.insecure)
        log_line(conf->log, LOG_WARNING, NULL,
                 "DeviceStore %.100s: Insecure: its certificate is not checked", l->store.address);
    enter(l, REDIS_LINK_CONNECTING);
    loop_timer_in(conf->loop, &l->retry, 0);
    return l;
}

void redis_link_free(struct redis_link *l)
{
    if (l == NULL)
        return;
    l->ending = true;
    redis_stream_fini(&l->stream);
    is_down(l);
    loop_timer_del(l->conf.loop, &l->retry);
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
