#include "session/test_plane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/json.h"
#include "registry/registry.h"

/* ---- sockets --------------------------------------------------------------------------------- */

void bench_send(int fd, const void *data, size_t n)
{
    const uint8_t *p = data;
    while (n > 0) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        p += put;
        n -= (size_t)put;
    }
}

bool bench_read(int fd, void *dst, size_t n)
{
    uint8_t *p = dst;
    while (n > 0) {
        ssize_t got = recv(fd, p, n, 0);
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

bool bench_at_end(int fd)
{
    char c;
    return recv(fd, &c, 1, 0) == 0;
}

bool bench_drain(int fd, uint64_t *bytes)
{
    char buf[65536];
    ssize_t n;
    *bytes = 0;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        *bytes += (uint64_t)n;
    return n == 0;
}

void bench_reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

uint8_t bench_pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 253);
}

int bench_listen(uint16_t *port, int backlog)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_ON(fd < 0);
    BUG_ON(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0);
    BUG_ON(listen(fd, backlog) != 0);
    BUG_ON(getsockname(fd, (struct sockaddr *)&sa, &len) != 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

int bench_dial_port(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_ON(fd < 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

int bench_dial(const struct bench *b)
{
    int fd = bench_dial_port(b->port);
    BUG_ON(fd < 0);
    return fd;
}

/* ---- the origin ------------------------------------------------------------------------------ */

static void serve_source(int fd)
{
    uint8_t block[65536];
    for (size_t at = 0; at < BENCH_BULK; at += sizeof(block)) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = bench_pattern(at + i);
        bench_send(fd, block, sizeof(block));
    }
}

static void *serve_one(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char wish = 0, buf[65536];
    uint64_t sum = 0;
    ssize_t n = recv(fd, &wish, 1, 0);
    if (n == 1 && wish == WISH_ECHO) {
        while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
            bench_send(fd, buf, (size_t)n);
    } else if (n == 1 && wish == WISH_SOURCE) {
        serve_source(fd);
    } else if (n == 1 && wish == WISH_COUNT) {
        (void)bench_drain(fd, &sum);
        bench_send(fd, &sum, sizeof(sum));
    } else if (n == 1 && wish == WISH_HOLD) {
        bench_send(fd, "H", 1);
        (void)bench_drain(fd, &sum);
    }
    close(fd);
    return NULL;
}

static void *origin_main(void *arg)
{
    int lfd = (int)(intptr_t)arg, fd;
    while ((fd = accept(lfd, NULL, NULL)) >= 0) {
        pthread_t t;
        if (pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd) == 0)
            pthread_detach(t);
    }
    return NULL;
}

/* ---- what the workers tell ------------------------------------------------------------------- */

static void on_listening(void *self, uint32_t node_no, struct why why, const struct addr *where)
{
    struct bench *b = self;
    (void)node_no;
    (void)where;
    b->listening = why.text == NULL;
    b->busy = why.status == ST_E_BUSY;
}

static void on_gone(void *self, uint32_t node_no)
{
    (void)node_no;
    ((struct bench *)self)->gone = true;
}

static void on_alive(void *self, uint32_t node_no, const struct plane_alive *list, size_t n)
{
    struct bench *b = self;
    (void)node_no;
    b->alive_n = n < 8 ? n : 8;
    if (n > 0)
        memcpy(b->alive, list, b->alive_n * sizeof(list[0]));
    b->alive_told = true;
}

static void on_released(void *self, struct user_rt *u)
{
    (void)u;
    ((struct bench *)self)->released++;
}

static void drop_line(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)line;
    (void)len;
}

/* ---- the plane ------------------------------------------------------------------------------- */

/* A changed node and how many views point at it. */
struct changed {
    struct view_node node;
    struct arena *arena;
    void (*free_conf)(const void *); /* of conf */
    const void *conf;
    struct changed *below; /* whose configurations it uses too: a reference */
    _Atomic unsigned refs;
};

static void changed_unref(struct changed *c)
{
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    if (c->free_conf)
        c->free_conf(c->conf);
    changed_unref(c->below);
    arena_free(c->arena);
    free(c);
}

static void release_view(struct view *v)
{
    changed_unref(v->owner);
    user_index_free(v->users);
    free(v);
}

/* Takes over the reference to what was current. */
static struct changed *change(struct bench *b)
{
    struct changed *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL || (c->arena = arena_new()) == NULL);
    c->node = *b->current;
    c->node.memory = c;
    c->below = b->current->memory;
    atomic_init(&c->refs, 1);
    b->current = &c->node;
    return c;
}

struct view_node *bench_change(struct bench *b)
{
    struct changed *c = change(b);
    changed_unref(c->below);
    c->below = NULL;
    return &c->node;
}

struct view_node *bench_put_below(struct bench *b, const char *name, const char *settings,
                                  const struct conf_context *ctx)
{
    struct changed *c = change(b);
    struct view_node *n = &c->node;
    const struct transport *t = registry_transport(name);
    struct json_t *json = NULL;
    struct json_error jerr;
    struct conf_error err;
    BUG_ON(t == NULL || n->stage_count == VIEW_STAGES_MAX);
    BUG_ON(settings && json_parse(settings, strlen(settings), &json, &jerr) != ST_OK);
    BUG_ON(t->parse_conf(c->arena, json, ctx, &c->conf, &err) != ST_OK);
    json_unref(json);
    c->free_conf = t->free_conf;
    memmove(&n->stages[1], &n->stages[0], n->stage_count * sizeof(n->stages[0]));
    n->stages[0] = (struct view_stage){t->server, c->conf};
    n->stage_count++;
    return n;
}

void bench_publish(struct bench *b, unsigned users, struct user_rt *const *removed, size_t n)
{
    struct user_rt *list[2] = {&b->users[0], &b->users[1]};
    struct view *v = calloc(1, sizeof(*v));
    BUG_ON(v == NULL);
    v->refs = 1;
    v->generation = ++b->generation;
    v->node = b->current;
    v->owner = b->current->memory;
    v->release = release_view;
    if (v->owner)
        atomic_fetch_add(&((struct changed *)v->owner)->refs, 1);
    v->shared = b->shared;
    const struct user_index_build build = {.conf = b->proto_conf, .users = list, .count = users};
    BUG_ON(b->proto->users->build(&build, &v->users) != ST_OK);
    b->plane.publish(b->plane.self, v, removed, n);
}

void bench_pump_until(struct bench *b, const bool *flag)
{
    while (!*flag)
        loop_once(b->loop, 1000);
}

void bench_open(struct bench *b)
{
    b->listening = false;
    bench_publish(b, 2, NULL, 0);
    bench_pump_until(b, &b->listening);
}

void bench_settle(struct bench *b)
{
    b->alive_told = false;
    b->plane.collect_alive(b->plane.self, 0);
    bench_pump_until(b, &b->alive_told);
}

struct plane_stats bench_stats(struct bench *b)
{
    struct plane_stats st;
    b->plane.stats(b->plane.self, 0, &st);
    return st;
}

void bench_wait_open(struct bench *b, uint64_t n)
{
    while (bench_stats(b).open != n)
        bench_settle(b);
    bench_settle(b); /* what was counted down may still be about to go */
}

uint64_t bench_counted(const struct bench *b, unsigned slot, bool up)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < b->worker_count; i++)
        sum += up ? b->cells[i][slot].up : b->cells[i][slot].down;
    return sum;
}

static void prepare_node(struct bench *b, const char *name)
{
    const struct proto *p = registry_proto(name != NULL ? name : "vless");
    const struct conf_context ctx = {0};
    struct conf_error err;
    BUG_ON(p == NULL || p->parse_conf(b->arena, NULL, &ctx, &b->proto_conf, &err) != ST_OK);
    b->proto = p;
    if (p->shared_size > 0) {
        b->shared = calloc(1, p->shared_size);
        BUG_ON(b->shared == NULL || p->shared_init(b->shared, 1) != ST_OK);
    }
    b->node =
        (struct view_node){.tag = "test",
                           .listen = {{.family = ADDR_IP4, .port = b->port, .ip = {127, 0, 0, 1}}},
                           .listen_count = 1,
                           .stages = {{p->server, b->proto_conf}},
                           .stage_count = 1,
                           .timeouts = {.handshake = 20000,
                                        .idle = 60000,
                                        .uplink_only = 60000,
                                        .downlink_only = 60000},
                           .allow_private = true,
                           .source_max = 256};
    b->current = &b->node;
}

struct bench *bench_new(const struct bench_conf *conf)
{
    static const struct bench_conf plain = {0};
    struct rng *rngs[BENCH_WORKERS_MAX] = {0};
    struct crypto_ctx *cryptos[BENCH_WORKERS_MAX] = {0};
    struct bench *b = calloc(1, sizeof(*b));
    BUG_ON(b == NULL);
    signal(SIGPIPE, SIG_IGN);
    conf = conf ? conf : &plain;
    b->worker_count = conf->workers ? conf->workers : 2;
    b->loop = loop_new();
    b->arena = arena_new();
    BUG_ON(b->loop == NULL || b->arena == NULL);
    b->origin_fd = bench_listen(&b->origin_port, 1024);
    b->target_fd = bench_listen(&b->target_port, 1024);
    BUG_ON(pthread_create(&b->origin, NULL, origin_main, (void *)(intptr_t)b->origin_fd) != 0);
    b->port = conf->port;
    if (b->port == 0)
        close(bench_listen(&b->port, 1));
    b->log_sink.write = drop_line;
    b->log = (struct log){.sink = &b->log_sink, .level = LOG_DEBUG};
    b->sink = (struct plane_sink){.self = b,
                                  .listening = on_listening,
                                  .node_gone = on_gone,
                                  .alive = on_alive,
                                  .user_released = on_released};
    BUG_ON(crypto_ctx_init(&b->crypto) != ST_OK);
    for (unsigned i = 0; i < b->worker_count; i++) {
        b->meters[i] = (struct meter){b->cells[i], b->dirty[i], BENCH_SLOTS};
        BUG_ON(rng_init(&b->rngs[i]) != ST_OK || crypto_ctx_init(&b->cryptos[i]) != ST_OK);
        rngs[i] = &b->rngs[i];
        cryptos[i] = &b->cryptos[i];
    }
    struct workers_conf wc = {.count = b->worker_count,
                              .control = b->loop,
                              .sink = &b->sink,
                              .log = &b->log,
                              .access = conf->access,
                              .name_servers = conf->name_servers,
                              .meters = b->meters,
                              .rngs = rngs,
                              .cryptos = cryptos,
                              .memory_budget = conf->memory_budget,
                              .handoff = conf->handoff,
                              .sessions_max = conf->sessions_max ? conf->sessions_max : 4096};
    BUG_ON(workers_new(&wc, &b->workers) != ST_OK);
    workers_plane(b->workers, &b->plane);
    for (unsigned i = 0; i < 2; i++) {
        b->users[i] = (struct user_rt){.uid = 11 + i, .slot = i, .refs = 1};
        memset(b->users[i].uuid, 0x41 + (int)i, UUID_LEN);
        b->users[i].uuid[6] = b->users[i].uuid[7] = 0;
    }
    prepare_node(b, conf->proto);
    return b;
}

void bench_free(struct bench *b)
{
    workers_free(b->workers);
    changed_unref(b->current->memory);
    if (b->shared != NULL && b->proto->shared_fini != NULL)
        b->proto->shared_fini(b->shared);
    free(b->shared);
    if (b->proto->free_conf != NULL)
        b->proto->free_conf(b->proto_conf);
    shutdown(b->origin_fd, SHUT_RDWR);
    pthread_join(b->origin, NULL);
    close(b->origin_fd);
    close(b->target_fd);
    loop_free(b->loop);
    arena_free(b->arena);
    for (unsigned i = 0; i < b->worker_count; i++) {
        rng_fini(&b->rngs[i]);
        crypto_ctx_fini(&b->cryptos[i]);
    }
    crypto_ctx_fini(&b->crypto);
    free(b);
}

/* ---- the client ------------------------------------------------------------------------------ */

size_t bench_header(const struct bench *b, unsigned who, uint8_t cmd, uint16_t port, uint8_t *out)
{
    size_t n = 0;
    out[n++] = 0;
    memcpy(out + n, b->users[who].uuid, UUID_LEN);
    n += UUID_LEN;
    out[n++] = 0;
    out[n++] = cmd;
    out[n++] = (uint8_t)(port >> 8);
    out[n++] = (uint8_t)port;
    out[n++] = 1;
    memcpy(out + n, "\x7f\0\0\1", 4);
    return n + 4;
}

int bench_stream(const struct bench *b, unsigned who, enum bench_wish wish)
{
    uint8_t head[64];
    size_t n = bench_header(b, who, 1, b->origin_port, head);
    head[n++] = (uint8_t)wish;
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    return fd;
}

int bench_pair(const struct bench *b, unsigned who, int *target)
{
    uint8_t head[64];
    size_t n = bench_header(b, who, 1, b->target_port, head);
    int fd = bench_dial(b);
    bench_send(fd, head, n);
    *target = accept(b->target_fd, NULL, NULL);
    BUG_ON(*target < 0);
    return fd;
}

bool bench_answered(int fd)
{
    uint8_t head[2];
    return bench_read(fd, head, sizeof(head)) && head[0] == 0 && head[1] == 0;
}
