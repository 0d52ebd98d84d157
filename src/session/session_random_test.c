/* Random visits through random chains: whatever way bytes are cut, whoever pauses when, each stream
 * delivers its bytes and its end. What is found here is what lies in some queue while nothing is
 * due that would move it.
 *
 * A seed decides the chain, the streams, their sizes and manners; only time is not its own. When
 * nothing has moved for long the test names the seed, the streams and the queues. More seeds:
 * V2SP_SEEDS=n, beginning with V2SP_SEED. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proto/mux/frame.h"
#include "proto/vmess/test_vmess.h"
#include "session/test_plane.h"
#include "session/session.h"
#include "session/test_wire.h"
#include "session/worker.h"

/* Seed 73 nearly always finds a carrier that is not read on although the mux has made room. */
#define SEED_FIRST  60
#define SEEDS       16
#define LINKS_MAX   3
#define STREAMS_MAX 6
#define STRAYS_MAX  (LINKS_MAX * STREAMS_MAX)
#define STUCK_MS    30000 /* without a byte */
#define QUIET_MS    8     /* nothing moves: who waited for that goes on */
#define PIECE_MAX   60000
#define OUT_MAX     65536 /* of a client, unsent */

/* How one end goes about one direction. */
struct manner {
    size_t piece;       /* at most so much at a time */
    unsigned rests;     /* in a hundred: how often it pauses after a piece, for some ms */
    size_t waits_at;    /* here it waits until nothing moves; SIZE_MAX: nowhere */
    uint64_t paused_ms; /* until then */
    bool waits;
};

struct flow {
    size_t n, sent, got;
    size_t tide; /* so far it goes while nobody reads, then all of it is read; SIZE_MAX: no tides */
    struct manner writer, reader;
    bool end_soon; /* its writer does not wait for the other direction */
    bool end_said, end_seen;
};

struct stream {
    uint16_t id; /* the first two bytes it sends, so that the target knows it */
    bool opened, client_ends, done;
    int target; /* -1: not there yet, or closed */
    struct flow up, down;
};

struct link {
    struct test_wire wire;
    struct test_vmess vmess;
    struct test_bytes frames; /* of a carrier, not whole yet */
    int fd;
    unsigned count;    /* streams */
    unsigned response; /* bytes of its header that are to come */
    struct stream streams[STREAMS_MAX];
    bool shut, over; /* FIN sent; seen */
};

struct run {
    struct bench *b;
    uint64_t seed, x;
    uint16_t tls;
    unsigned ws, links, stray_count;
    bool vmess;      /* or VLESS */
    bool mux, whole; /* whole: the end of one direction ends both */
    bool limits;
    /* Much goes one way and next to nothing the other, whose events would bring a stuck one on. */
    bool one_way, upward;
    int strays[STRAYS_MAX]; /* at the target, not known yet */
    struct link link[LINKS_MAX];
    uint64_t moved, moved_ms; /* bytes and ends so far; when the last came */
    uint8_t buf[PIECE_MAX];
};

static uint32_t below(struct run *r, uint32_t n)
{
    r->x ^= r->x << 13;
    r->x ^= r->x >> 7;
    r->x ^= r->x << 17;
    return (uint32_t)((r->x >> 20) % n);
}

static bool chance(struct run *r, unsigned percent)
{
    return below(r, 100) < percent;
}

static uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void moved(struct run *r, size_t n)
{
    r->moved += n;
    r->moved_ms = clock_ms();
}

/* ---- what a stuck run says ------------------------------------------------------------------- */

static void print_queues(const char *name, const struct chain *c)
{
    fprintf(stderr, " %s", name);
    for (unsigned i = 0; c->in != NULL && i <= c->count; i++)
        fprintf(stderr, " %u%s/%u%s", c->in[i].bytes, c->in[i].eof ? "." : "", c->out[i].bytes,
                c->out[i].eof ? "." : "");
}

/* Unlocked: nothing moves. */
static void print_sessions(const struct worker_node *wn)
{
    LIST_FOREACH(n, tmp, &wn->sessions) {
        const struct session *s = LIST_ENTRY(n, struct session, node);
        fprintf(stderr,
                "  session state %u%s client r%d w%d eof%d target r%d w%d eof%d up%d down%d",
                s->state, s->port ? " stream" : "", s->client.readable, s->client.writable,
                s->client.eof, s->target.readable, s->target.writable, s->target.eof, s->up_done,
                s->down_done);
        print_queues("in", &s->in);
        print_queues("out", &s->out);
        fputc('\n', stderr);
    }
}

static void fail_stuck(struct run *r, const char *text)
{
    fprintf(stderr, "seed %llu: %s; tls %x, ws %u, %s, mux %d, limits %d\n",
            (unsigned long long)r->seed, text, r->tls, r->ws, r->vmess ? "vmess" : "vless", r->mux,
            r->limits);
    for (unsigned i = 0; i < r->links; i++) {
        const struct link *l = &r->link[i];
        fprintf(stderr, " link %u: %zu to write\n", i, l->wire.out.len);
        for (unsigned j = 0; j < l->count; j++) {
            const struct stream *s = &l->streams[j];
            fprintf(stderr,
                    "  stream %u%s: up %zu sent %zu got %zu end %d%d, down %zu sent %zu got %zu "
                    "end %d%d, the %s ends\n",
                    s->id, s->done ? " (done)" : "", s->up.n, s->up.sent, s->up.got, s->up.end_said,
                    s->up.end_seen, s->down.n, s->down.sent, s->down.got, s->down.end_said,
                    s->down.end_seen, s->client_ends ? "client" : "target");
        }
    }
    for (unsigned i = 0; i < r->b->worker_count; i++)
        if (workers_get(r->b->workers, i)->nodes[0] != NULL)
            print_sessions(workers_get(r->b->workers, i)->nodes[0]);
    fail_msg("seed %llu: %s", (unsigned long long)r->seed, text);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static uint8_t byte_of(const struct stream *s, const struct flow *f, size_t at)
{
    return bench_pattern(at + s->id * 1000u + (f == &s->down ? 500u : 0u));
}

/* The next piece of @f into r->buf; 0: not now, or none is left. */
static size_t next_piece(struct run *r, const struct stream *s, struct flow *f, size_t most)
{
    struct manner *m = &f->writer;
    size_t left = (f->tide < f->n ? f->tide : f->n) - f->sent;
    if (left == 0 || m->waits || clock_ms() < m->paused_ms)
        return 0;
    size_t n = 1 + below(r, (uint32_t)m->piece);
    n = n < left ? n : left;
    n = n < most ? n : most;
    for (size_t i = 0; i < n; i++)
        r->buf[i] = byte_of(s, f, f->sent + i);
    return n;
}

/* After @n bytes have passed through the end that @m belongs to, at @at in all. */
static void rest(struct run *r, struct manner *m, size_t at)
{
    if (at >= m->waits_at) {
        m->waits = true;
        m->waits_at = SIZE_MAX;
    } else if (chance(r, m->rests)) {
        m->paused_ms = clock_ms() + 1 + below(r, 4);
    }
}

static bool resting(const struct manner *m)
{
    return m->waits || clock_ms() < m->paused_ms;
}

/* Where the last bytes lie when the reader begins is another place each time. */
static void next_tide(struct run *r, struct flow *f)
{
    f->tide += 200000 + below(r, 600000);
    f->reader.waits = true;
}

static void check(struct run *r, struct stream *s, struct flow *f, const uint8_t *p, size_t n)
{
    if (n > f->n - f->got)
        fail_stuck(r, "more bytes than were sent");
    for (size_t i = 0; i < n; i++)
        if (p[i] != byte_of(s, f, f->got + i))
            fail_stuck(r, "a byte is wrong");
    f->got += n;
    moved(r, n);
    rest(r, &f->reader, f->got);
    if (f->got == f->tide)
        next_tide(r, f);
}

static const char early_down[] = "a client is told the end before the last byte";

static void end_seen(struct run *r, struct flow *f, const char *text)
{
    if (f->end_seen)
        return;
    if (f->got != f->n)
        fail_stuck(r, text);
    f->end_seen = true;
    moved(r, 1);
}

static struct manner some_manner(struct run *r, size_t n)
{
    static const uint32_t pieces[] = {40, 1500, 9000, PIECE_MAX};
    struct manner m = {.piece = pieces[below(r, 4)], .waits_at = SIZE_MAX};
    if (n / 400 > m.piece)
        m.piece = n / 400;
    if (chance(r, 30))
        m.rests = (unsigned)(1 + 20 * m.piece / (n + 1));
    if (chance(r, 60))
        m.waits_at = chance(r, 60) ? 0 : below(r, (uint32_t)n + 1);
    return m;
}

static struct flow some_flow(struct run *r, bool up)
{
    static const uint32_t most[] = {3000, 100000, 1300000};
    unsigned kind = below(r, 100);
    struct flow f = {.n = below(r, most[kind < 35 ? 0 : kind < 60 ? 1 : 2])};
    if (r->one_way)
        f.n = up == r->upward ? 2500000 : below(r, 100);
    f.writer = some_manner(r, f.n);
    f.reader = some_manner(r, f.n);
    if (r->one_way || chance(r, 70))
        f.writer.waits_at = SIZE_MAX;
    f.tide = SIZE_MAX;
    if (r->one_way)
        f.reader.waits_at = SIZE_MAX;
    if (r->one_way && up == r->upward) {
        f.tide = 0;
        next_tide(r, &f);
    }
    f.end_soon = chance(r, 50);
    return f;
}

/* ---- the client ------------------------------------------------------------------------------ */

/* Small segments, as a real path has them, keep the kernel's own buffers small on both sides: bytes
 * wait in ours. */
static void choose_buffers(struct run *r, int fd)
{
    static const int sizes[] = {4096, 16384, 65536}, segment = 1400;
    if (!chance(r, 75))
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &sizes[below(r, 3)], sizeof(int));
}

static void ask_by_vless(struct run *r, struct link *l)
{
    uint8_t head[80];
    size_t n = bench_header(r->b, 0, r->mux ? 3 : 1, r->b->target_port, head);
    l->response = 2;
    test_wire_send(&l->wire, head, r->mux ? 19 : n); /* a carrier has no port and no address */
}

static void ask_by_vmess(struct run *r, struct link *l)
{
    static const size_t chunks[] = {1000, 8192, 15000};
    uint8_t hello[VMESS_REQUEST_MAX];
    struct test_vmess *c = &l->vmess;
    test_vmess_open(c, VMESS_AES_128_GCM, VMESS_CHUNKS | VMESS_MASKED,
                    r->mux ? VMESS_MUX : VMESS_TCP, r->mux ? NULL : "127.0.0.1");
    c->h.target.addr.port = r->b->target_port;
    l->wire.chunk = chunks[below(r, 3)];
    size_t n = test_vmess_hello(c, r->b->users[0].uuid, (int64_t)time(NULL), hello);
    test_wire_speak_vmess(&l->wire, c, hello, n);
}

static void open_link(struct run *r, struct link *l)
{
    const struct sockaddr_in node = {.sin_family = AF_INET,
                                     .sin_port = htons(r->b->port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t id[2];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_ON(fd < 0);
    choose_buffers(r, fd);
    BUG_ON(connect(fd, (const struct sockaddr *)&node, sizeof(node)) != 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    l->fd = fd;
    test_wire_init(&l->wire, r->tls, r->ws);
    if (r->vmess)
        ask_by_vmess(r, l);
    else
        ask_by_vless(r, l);
    if (r->mux)
        return;
    put_be16(id, l->streams[0].id);
    test_wire_send(&l->wire, id, sizeof(id));
    l->streams[0].opened = true;
}

static void open_stream(struct run *r, struct link *l, struct stream *s)
{
    uint8_t f[20] = {0, 12, 0, 0, MUX_NEW, MUX_OPT_DATA, MUX_TCP, 0, 0, 1, 127, 0, 0, 1, 0, 2};
    put_be16(f + 2, s->id);
    put_be16(f + 7, r->b->target_port);
    put_be16(f + 16, s->id);
    test_wire_send(&l->wire, f, 18);
    s->opened = true;
}

static void say(struct run *r, struct link *l, struct stream *s)
{
    size_t n = next_piece(r, s, &s->up, PIECE_MAX);
    if (n == 0)
        return;
    if (r->mux) {
        uint8_t head[MUX_KEEP_LEN];
        test_wire_send(&l->wire, head, mux_frame_keep(head, s->id, (uint16_t)n));
    }
    test_wire_send(&l->wire, r->buf, n);
    s->up.sent += n;
    moved(r, n);
    rest(r, &s->up.writer, s->up.sent);
}

/* Whether the end of @f may be said now. */
static bool may_end(const struct flow *f, const struct flow *other)
{
    return !f->end_said && f->sent == f->n && (f->end_soon || other->got == other->n);
}

static void say_end(struct run *r, struct link *l, struct stream *s)
{
    bool mine = !r->whole || s->client_ends;
    if (!mine || !s->opened || l->wire.early.len > 0 || !may_end(&s->up, &s->down))
        return;
    s->up.end_said = true;
    moved(r, 1);
    if (r->mux) {
        uint8_t end[MUX_END_LEN];
        test_wire_send(&l->wire, end, mux_frame_end(end, s->id, false));
    } else {
        test_wire_end(&l->wire);
        l->shut = true;
    }
}

static void client_writes(struct run *r, struct link *l)
{
    for (unsigned i = 0; i < l->count && l->wire.out.len < OUT_MAX; i++) {
        struct stream *s = &l->streams[(i + r->moved) % l->count];
        if (!s->opened && chance(r, 50))
            open_stream(r, l, s);
        if (s->opened && !s->up.end_said && !(r->whole && s->down.end_seen))
            say(r, l, s);
        say_end(r, l, s);
    }
    if (l->wire.out.len > 0) {
        ssize_t n = send(l->fd, l->wire.out.p, l->wire.out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            fail_stuck(r, "the node has closed on a client that writes");
        if (n > 0) {
            test_bytes_drop(&l->wire.out, (size_t)n);
            moved(r, (size_t)n);
        }
    }
    if (l->shut && l->wire.out.len == 0) {
        shutdown(l->fd, SHUT_WR);
        l->shut = false;
    }
}

/* Whole frames of a carrier, to their streams. */
static void take_frames(struct run *r, struct link *l)
{
    struct mux_frame f;
    struct why why = {0};
    size_t at = 0, head;
    while (mux_frame_parse(l->frames.p + at, l->frames.len - at, &f, &head, &why) == ST_OK &&
           l->frames.len - at - head >= f.data_len) {
        struct stream *s = &l->streams[f.id - l->streams[0].id];
        if (f.id < l->streams[0].id || s >= l->streams + l->count)
            fail_stuck(r, "a frame for a stream that is not there");
        if (!s->up.end_said || f.data_len == 0 || s->down.got < s->down.n)
            check(r, s, &s->down, l->frames.p + at + head, f.data_len);
        if (f.status == MUX_END && (f.option & MUX_OPT_ERROR) && !s->client_ends)
            fail_stuck(r, "a target that ended is told as failed");
        if (f.status == MUX_END && s->client_ends)
            s->down.end_seen = true; /* the answer to ours */
        else if (f.status == MUX_END)
            end_seen(r, &s->down, early_down);
        at += head + f.data_len;
    }
    test_bytes_drop(&l->frames, at);
}

/* What came out of the layers. */
static void take_plain(struct run *r, struct link *l)
{
    struct test_bytes *p = &l->wire.plain;
    for (; l->response > 0 && p->len > 0; l->response--)
        test_bytes_drop(p, 1);
    if (p->len == 0)
        return;
    if (r->mux) {
        test_bytes_add(&l->frames, p->p, p->len);
        take_frames(r, l);
    } else {
        check(r, &l->streams[0], &l->streams[0].down, p->p, p->len);
    }
    test_bytes_drop(p, p->len);
}

/* A carrier rests when any of its streams would. */
static bool client_rests(const struct link *l)
{
    for (unsigned i = 0; i < l->count; i++)
        if (!l->streams[i].done && resting(&l->streams[i].down.reader))
            return true;
    return false;
}

static void client_reads(struct run *r, struct link *l)
{
    struct flow *f = &l->streams[0].down;
    ssize_t n = recv(l->fd, r->buf, 1 + below(r, (uint32_t)f->reader.piece), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0)
        fail_stuck(r, "the node has reset a client");
    if (n > 0) {
        moved(r, (size_t)n);
        test_wire_feed(&l->wire, r->buf, (size_t)n);
        if (l->wire.broken)
            fail_stuck(r, "the client's layers do not understand");
        take_plain(r, l);
        return;
    }
    l->over = true;
    moved(r, 1);
    if (r->mux)
        fail_stuck(r, "the node has ended a carrier");
    if ((r->tls != 0 || r->ws > 0) && !l->wire.ended)
        fail_stuck(r, "the connection ends without a goodbye");
    if (!l->streams[0].client_ends || !r->whole)
        end_seen(r, f, early_down);
}

/* ---- the target ------------------------------------------------------------------------------ */

static void stray_reads(struct run *r, unsigned i)
{
    uint8_t id[2];
    int fd = r->strays[i];
    if (recv(fd, id, 2, MSG_PEEK | MSG_DONTWAIT) < 2)
        return;
    (void)recv(fd, id, 2, 0);
    r->strays[i] = r->strays[--r->stray_count];
    for (unsigned j = 0; j < r->links; j++)
        for (unsigned k = 0; k < r->link[j].count; k++)
            if (r->link[j].streams[k].id == get_be16(id))
                r->link[j].streams[k].target = fd;
    moved(r, 2);
}

static void target_reads(struct run *r, struct stream *s)
{
    ssize_t n = recv(s->target, r->buf, 1 + below(r, (uint32_t)s->up.reader.piece), MSG_DONTWAIT);
    if (n > 0)
        check(r, s, &s->up, r->buf, (size_t)n);
    else if (n == 0)
        end_seen(r, &s->up, "a target is told the end before the last byte");
    else if (errno != EAGAIN)
        fail_stuck(r, "the node has reset a target");
}

static void target_writes(struct run *r, struct stream *s)
{
    bool cut = r->whole && s->up.end_seen; /* nobody reads it any more */
    size_t n = cut ? 0 : next_piece(r, s, &s->down, PIECE_MAX);
    ssize_t put = n > 0 ? send(s->target, r->buf, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (put > 0) {
        s->down.sent += (size_t)put;
        moved(r, (size_t)put);
        rest(r, &s->down.writer, s->down.sent);
    }
    if (r->whole && s->client_ends)
        return;
    if (r->whole && s->up.got < s->up.n)
        return; /* its end would end both */
    if (may_end(&s->down, &s->up)) {
        s->down.end_said = true;
        shutdown(s->target, SHUT_WR);
        moved(r, 1);
    }
}

/* ---- a run ----------------------------------------------------------------------------------- */

/* Both directions have come to the end that they are to come to. */
static bool is_done(const struct run *r, const struct stream *s)
{
    if (!r->whole)
        return s->up.end_seen && s->down.end_seen;
    return s->client_ends ? s->up.end_seen : s->down.end_seen;
}

static bool note_done(struct run *r)
{
    bool all = true;
    for (unsigned i = 0; i < r->links; i++)
        for (unsigned j = 0; j < r->link[i].count; j++) {
            struct stream *s = &r->link[i].streams[j];
            if (!s->done && is_done(r, s)) {
                s->done = true;
                close(s->target);
                s->target = -1;
            }
            all &= s->done;
        }
    return all;
}

/* Nothing has moved for a while: one of those who wait for that goes on, the others wait until
 * nothing moves again. False: nobody waits. */
static bool end_a_wait(struct run *r)
{
    struct manner *all[4 * STRAYS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < r->links; i++)
        for (unsigned j = 0; j < r->link[i].count; j++) {
            struct stream *s = &r->link[i].streams[j];
            struct manner *of[] = {&s->up.writer, &s->up.reader, &s->down.writer, &s->down.reader};
            for (unsigned k = 0; k < 4 && !s->done; k++)
                if (of[k]->waits)
                    all[n++] = of[k];
        }
    if (n > 0)
        all[below(r, n)]->waits = false;
    return n > 0;
}

static void turn_limits(struct run *r)
{
    static const uint32_t rates[] = {0, 30000, 60000, 800000};
    if (r->limits && chance(r, 2))
        atomic_store(&r->b->users[0].speed_kbps, rates[below(r, 4)]);
}

static void accept_targets(struct run *r)
{
    int fd = accept4(r->b->target_fd, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    BUG_ON(r->stray_count == STRAYS_MAX);
    r->strays[r->stray_count++] = fd;
    moved(r, 1);
}

/* Waits a moment for any of the sockets; the ends look for themselves. */
static void wait_a_moment(struct run *r)
{
    struct pollfd p[1 + LINKS_MAX * (STREAMS_MAX + 1) + STRAYS_MAX] = {
        {.fd = r->b->target_fd, .events = POLLIN}};
    nfds_t n = 1;
    for (unsigned i = 0; i < r->stray_count; i++)
        p[n++] = (struct pollfd){.fd = r->strays[i], .events = POLLIN};
    for (unsigned i = 0; i < r->links; i++) {
        struct link *l = &r->link[i];
        short in = l->over || client_rests(l) ? 0 : POLLIN, out = l->wire.out.len > 0 ? POLLOUT : 0;
        if (in | out)
            p[n++] = (struct pollfd){.fd = l->fd, .events = (short)(in | out)};
        for (unsigned j = 0; j < l->count; j++) {
            struct stream *s = &l->streams[j];
            if (s->target >= 0 && !s->up.end_seen && !resting(&s->up.reader))
                p[n++] = (struct pollfd){.fd = s->target, .events = POLLIN};
        }
    }
    (void)poll(p, n, 1);
}

static void step(struct run *r)
{
    accept_targets(r);
    for (unsigned i = r->stray_count; i-- > 0;)
        stray_reads(r, i);
    for (unsigned i = 0; i < r->links; i++) {
        struct link *l = &r->link[i];
        if (!l->over || !r->whole)
            client_writes(r, l);
        if (!l->over && !client_rests(l))
            client_reads(r, l);
        for (unsigned j = 0; j < l->count; j++) {
            struct stream *s = &l->streams[j];
            if (s->target >= 0 && !s->up.end_seen && !resting(&s->up.reader))
                target_reads(r, s);
            if (s->target >= 0 && !s->down.end_said)
                target_writes(r, s);
        }
    }
}

static void run_visits(struct run *r)
{
    r->moved_ms = clock_ms();
    while (!note_done(r)) {
        uint64_t before = r->moved;
        step(r);
        turn_limits(r);
        if (r->moved != before)
            continue;
        wait_a_moment(r);
        uint64_t still = clock_ms() - r->moved_ms;
        if (still > QUIET_MS && end_a_wait(r))
            r->moved_ms = clock_ms();
        else if (still > STUCK_MS)
            fail_stuck(r, "nothing moves any more");
    }
}

static void some_streams(struct run *r)
{
    uint16_t id = 1;
    for (unsigned i = 0; i < r->links; i++) {
        struct link *l = &r->link[i];
        l->count = r->mux ? 1 + below(r, r->one_way ? 2 : STREAMS_MAX) : 1;
        for (unsigned j = 0; j < l->count; j++) {
            struct stream *s = &l->streams[j];
            *s = (struct stream){
                .id = id++, .target = -1, .up = some_flow(r, true), .down = some_flow(r, false)};
            s->client_ends = chance(r, 50);
            /* Only a carrier says the end of a stream and has the rest of it thrown away. */
            if (r->whole && !r->mux)
                s->up.end_soon = false;
        }
    }
}

static void open_node(struct run *r)
{
    static const struct conf_context tls = {.self_signed = true, .cert_domain = "a.test"};
    static const struct conf_context none;
    for (unsigned i = 0; i < r->ws; i++)
        bench_put_below(r->b, "ws", "{\"path\": \"/w\"}", &none);
    if (r->tls != 0)
        bench_put_below(r->b, "tls", NULL, &tls);
    bench_open(r->b);
}

/* Every byte that arrived was counted, and no other. What a carrier's client did not wait for may
 * have been counted or not. */
static void check_counts(const struct run *r)
{
    uint64_t up = 0, down = 0;
    bool exact = true;
    for (unsigned i = 0; i < r->links; i++)
        for (unsigned j = 0; j < r->link[i].count; j++) {
            const struct stream *s = &r->link[i].streams[j];
            up += s->up.got + 2;
            down += s->down.got;
            exact &= s->down.got == s->down.n;
        }
    assert_int_equal(bench_counted(r->b, 0, true), up);
    if (exact)
        assert_int_equal(bench_counted(r->b, 0, false), down);
}

static void one_seed(uint64_t seed)
{
    static const uint16_t versions[] = {0, 0, 0x0303, 0x0304};
    static struct run r;
    memset(&r, 0, sizeof(r));
    r.seed = seed;
    r.x = seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
    for (unsigned i = 0; i < 8; i++)
        (void)below(&r, 2);
    r.vmess = chance(&r, 40);
    r.tls = versions[below(&r, 4)];
    r.ws = below(&r, 3);
    r.mux = chance(&r, 60);
    r.whole = r.mux || r.ws > 0;
    r.limits = chance(&r, 50);
    r.one_way = chance(&r, 50);
    r.upward = chance(&r, 60);
    r.links = 1 + below(&r, LINKS_MAX);
    const struct bench_conf conf = {.proto = r.vmess ? "vmess" : "vless"};
    r.b = bench_new(&conf);
    fcntl(r.b->target_fd, F_SETFL, O_NONBLOCK);
    choose_buffers(&r, r.b->target_fd);
    open_node(&r);
    some_streams(&r);
    for (unsigned i = 0; i < r.links; i++)
        open_link(&r, &r.link[i]);
    run_visits(&r);
    for (unsigned i = 0; i < r.links; i++) {
        close(r.link[i].fd);
        test_wire_fini(&r.link[i].wire);
        if (r.vmess) {
            test_vmess_close(&r.link[i].vmess);
            test_vmess_fini(&r.link[i].vmess);
        }
        test_bytes_free(&r.link[i].frames);
    }
    bench_wait_open(r.b, 0);
    check_counts(&r);
    bench_free(r.b);
}

static uint64_t number(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : usual;
}

static void every_stream_delivers_its_bytes_and_its_end(void **state)
{
    (void)state;
    uint64_t first = number("V2SP_SEED", SEED_FIRST), count = number("V2SP_SEEDS", SEEDS);
    for (uint64_t seed = first; seed < first + count; seed++)
        one_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stream_delivers_its_bytes_and_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
