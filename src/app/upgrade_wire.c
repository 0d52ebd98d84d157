#include "app/upgrade_wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC 0x50553256u /* "V2UP" */

struct head {
    uint32_t magic;
    uint16_t version, type;
    uint32_t count;
    uint32_t zero;
};

struct wire_socket {
    uint8_t udp, v6only, family, zero;
    uint16_t port, zero2;
    uint8_t ip[16];
};

struct wire_user {
    uint64_t uid;
    uint32_t row, zero;
    uint8_t uuid[UUID_LEN];
};

struct wire_device {
    uint64_t panel, uid;
    uint8_t ip[16];
    uint8_t family, bits;
    uint16_t zero;
    uint32_t quiet_s, limit, grace_s;
};

struct wire_present {
    uint64_t uid;
    uint32_t row;
    uint8_t family, zero, zero2[2];
    uint8_t ip[16];
};

struct wire_streams {
    struct wire_user user;
    uint32_t tcp, udp;
};

struct wire_cell {
    struct wire_user user;
    uint32_t cell, total;
};

union wire_body {
    uint64_t state;
    uint32_t rows[VIEW_NODES_MAX];
    struct wire_socket sockets[UPGRADE_SOCKETS_MAX];
    struct wire_user users[CONTROLLER_USERS_MAX];
    struct wire_device devices[CONTROLLER_DEVICES_MAX];
    struct wire_streams streams[CONTROLLER_STREAMS_MAX];
    struct wire_cell cells[CONTROLLER_CELLS_MAX];
    struct wire_present present[CONTROLLER_PRESENT_MAX];
    char text[UPGRADE_TEXT_MAX];
};

union wire_control {
    struct cmsghdr head; /* for its alignment */
    char space[CMSG_SPACE(sizeof(int) * UPGRADE_SOCKETS_MAX)];
};

/* Bytes of the body of a message with @count things, and how many there may be. */
static size_t body_size(unsigned type, size_t count, size_t *most)
{
    static const struct {
        size_t each, most;
    } kinds[] = {
        [UPGRADE_HELLO] = {sizeof(uint64_t), 1},
        [UPGRADE_NODES] = {sizeof(uint32_t), VIEW_NODES_MAX},
        [UPGRADE_SOCKETS] = {sizeof(struct wire_socket), UPGRADE_SOCKETS_MAX},
        [UPGRADE_FAILED] = {1, UPGRADE_TEXT_MAX},
        [UPGRADE_REMOVED] = {sizeof(struct wire_user), CONTROLLER_USERS_MAX},
        [UPGRADE_ONLINE] = {sizeof(struct wire_user), CONTROLLER_USERS_MAX},
        [UPGRADE_DEVICES] = {sizeof(struct wire_device), CONTROLLER_DEVICES_MAX},
        [UPGRADE_OUT] = {sizeof(struct wire_device), CONTROLLER_DEVICES_MAX},
        [UPGRADE_MEMORY] = {0, 1},
        [UPGRADE_CELLS] = {sizeof(struct wire_cell), CONTROLLER_CELLS_MAX},
        [UPGRADE_STREAMS] = {sizeof(struct wire_streams), CONTROLLER_STREAMS_MAX},
        [UPGRADE_GRANT] = {sizeof(struct wire_streams), CONTROLLER_STREAMS_MAX},
        [UPGRADE_PRESENT] = {sizeof(struct wire_present), CONTROLLER_PRESENT_MAX},
    };

    *most = type < sizeof(kinds) / sizeof(kinds[0]) ? kinds[type].most : 0;
    return *most > 0 ? kinds[type].each * count : 0;
}

/* Descriptors that come with it. */
static size_t fds_of(unsigned type, size_t count)
{
    return type == UPGRADE_SOCKETS || type == UPGRADE_MEMORY ? count : 0;
}

static void pack_device(struct wire_device *w, const struct controller_device *d)
{
    *w = (struct wire_device){.panel = d->panel,
                              .uid = d->uid,
                              .family = d->seen.ip.family,
                              .bits = d->seen.bits,
                              .quiet_s = d->seen.quiet_s,
                              .limit = d->seen.limit,
                              .grace_s = d->seen.grace_s};
    memcpy(w->ip, d->seen.ip.ip, sizeof(w->ip));
}

static void unpack_device(struct controller_device *d, const struct wire_device *w)
{
    *d = (struct controller_device){.panel = w->panel,
                                    .uid = w->uid,
                                    .seen = {.ip = {.family = w->family},
                                             .bits = w->bits,
                                             .quiet_s = w->quiet_s,
                                             .limit = w->limit,
                                             .grace_s = w->grace_s}};
    memcpy(d->seen.ip.ip, w->ip, sizeof(w->ip));
}

static void pack_user(struct wire_user *w, const struct controller_user *u)
{
    *w = (struct wire_user){.uid = u->uid, .row = u->row};
    memcpy(w->uuid, u->uuid, UUID_LEN);
}

static void unpack_user(struct controller_user *u, const struct wire_user *w)
{
    *u = (struct controller_user){.uid = w->uid, .row = w->row};
    memcpy(u->uuid, w->uuid, UUID_LEN);
}

static void pack_streams(struct wire_streams *w, const struct controller_streams *s)
{
    pack_user(&w->user, &s->user);
    w->tcp = s->count[CONN_TCP];
    w->udp = s->count[CONN_UDP];
}

static void unpack_streams(struct controller_streams *s, const struct wire_streams *w)
{
    unpack_user(&s->user, &w->user);
    s->count[CONN_TCP] = w->tcp;
    s->count[CONN_UDP] = w->udp;
}

static void pack_cell(struct wire_cell *w, const struct controller_cell *c)
{
    pack_user(&w->user, &c->user);
    w->cell = c->cell;
    w->total = c->total;
}

static void unpack_cell(struct controller_cell *c, const struct wire_cell *w)
{
    unpack_user(&c->user, &w->user);
    c->cell = w->cell;
    c->total = w->total != 0;
}

static void pack_present(struct wire_present *w, const struct controller_present *p)
{
    *w = (struct wire_present){.uid = p->uid, .row = p->row, .family = p->ip.family};
    memcpy(w->ip, p->ip.ip, sizeof(w->ip));
}

static void unpack_present(struct controller_present *p, const struct wire_present *w)
{
    *p = (struct controller_present){.uid = w->uid, .row = w->row, .ip = {.family = w->family}};
    memcpy(p->ip.ip, w->ip, sizeof(w->ip));
}

static void pack(const struct upgrade_message *m, union wire_body *b, int *fds)
{
    switch (m->type) {
    case UPGRADE_HELLO:
        b->state = m->state;
        return;
    case UPGRADE_NODES:
        memcpy(b->rows, m->rows, m->count * sizeof(b->rows[0]));
        return;
    case UPGRADE_FAILED:
        memcpy(b->text, m->text, m->count);
        return;
    case UPGRADE_SOCKETS:
        for (size_t i = 0; i < m->count; i++) {
            const struct handoff_key *k = &m->sockets[i].key;
            b->sockets[i] = (struct wire_socket){.udp = k->udp,
                                                 .v6only = k->v6only,
                                                 .family = k->where.family,
                                                 .port = k->where.port};
            memcpy(b->sockets[i].ip, k->where.ip, sizeof(k->where.ip));
            fds[i] = m->sockets[i].fd;
        }
        return;
    case UPGRADE_REMOVED:
    case UPGRADE_ONLINE:
        for (size_t i = 0; i < m->count; i++)
            pack_user(&b->users[i], &m->users[i]);
        return;
    case UPGRADE_STREAMS:
    case UPGRADE_GRANT:
        for (size_t i = 0; i < m->count; i++)
            pack_streams(&b->streams[i], &m->streams[i]);
        return;
    case UPGRADE_MEMORY:
        fds[0] = m->memory;
        return;
    case UPGRADE_CELLS:
        for (size_t i = 0; i < m->count; i++)
            pack_cell(&b->cells[i], &m->cells[i]);
        return;
    case UPGRADE_DEVICES:
    case UPGRADE_OUT:
        for (size_t i = 0; i < m->count; i++)
            pack_device(&b->devices[i], &m->devices[i]);
        return;
    case UPGRADE_PRESENT:
        for (size_t i = 0; i < m->count; i++)
            pack_present(&b->present[i], &m->present[i]);
        return;
    default:
        return;
    }
}

static void unpack(struct upgrade_message *m, const union wire_body *b, const int *fds)
{
    switch (m->type) {
    case UPGRADE_HELLO:
        m->state = b->state;
        return;
    case UPGRADE_NODES:
        memcpy(m->rows, b->rows, m->count * sizeof(b->rows[0]));
        return;
    case UPGRADE_FAILED:
        memcpy(m->text, b->text, m->count);
        m->text[m->count < UPGRADE_TEXT_MAX ? m->count : UPGRADE_TEXT_MAX - 1] = '\0';
        return;
    case UPGRADE_SOCKETS:
        for (size_t i = 0; i < m->count; i++) {
            const struct wire_socket *s = &b->sockets[i];
            m->sockets[i].key =
                (struct handoff_key){.where = {.family = s->family, .port = s->port},
                                     .udp = s->udp != 0,
                                     .v6only = s->v6only != 0};
            memcpy(m->sockets[i].key.where.ip, s->ip, sizeof(s->ip));
            m->sockets[i].fd = fds[i];
        }
        return;
    case UPGRADE_REMOVED:
    case UPGRADE_ONLINE:
        for (size_t i = 0; i < m->count; i++)
            unpack_user(&m->users[i], &b->users[i]);
        return;
    case UPGRADE_STREAMS:
    case UPGRADE_GRANT:
        for (size_t i = 0; i < m->count; i++)
            unpack_streams(&m->streams[i], &b->streams[i]);
        return;
    case UPGRADE_MEMORY:
        m->memory = fds[0];
        return;
    case UPGRADE_CELLS:
        for (size_t i = 0; i < m->count; i++)
            unpack_cell(&m->cells[i], &b->cells[i]);
        return;
    case UPGRADE_DEVICES:
    case UPGRADE_OUT:
        for (size_t i = 0; i < m->count; i++)
            unpack_device(&m->devices[i], &b->devices[i]);
        return;
    case UPGRADE_PRESENT:
        for (size_t i = 0; i < m->count; i++)
            unpack_present(&m->present[i], &b->present[i]);
        return;
    default:
        return;
    }
}

static enum status status_of_errno(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return ST_FULL;
    return errno == EPIPE || errno == ECONNRESET ? ST_E_CLOSED : ST_E_IO;
}

enum status upgrade_send(int fd, const struct upgrade_message *m)
{
    struct head h = {.magic = MAGIC,
                     .version = UPGRADE_VERSION,
                     .type = (uint16_t)m->type,
                     .count = (uint32_t)m->count};
    union wire_body body;
    union wire_control control;
    int fds[UPGRADE_SOCKETS_MAX];
    size_t most, size = body_size(m->type, m->count, &most);
    struct iovec iov[2] = {{&h, sizeof(h)}, {&body, size}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    BUG_ON(m->count > most);
    pack(m, &body, fds);
    size_t fd_count = fds_of(m->type, m->count);
    if (fd_count > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        memset(&control, 0, msg.msg_controllen);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        if (sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0)
            return ST_OK;
        if (errno != EINTR)
            return status_of_errno();
    }
}

/* Descriptors that came along, into @fds. */
static size_t take_fds(struct msghdr *msg, int *fds)
{
    size_t n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t came = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < came && n < UPGRADE_SOCKETS_MAX; i++)
            memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

static enum status check(const struct head *h, size_t got, size_t fd_count, int flags)
{
    size_t most;

    if (got < sizeof(*h) || h->magic != MAGIC)
        return ST_E_PROTO;
    if (h->version != UPGRADE_VERSION)
        return ST_E_UNSUPPORTED;
    size_t size = body_size(h->type, h->count, &most);
    if (h->type < UPGRADE_HELLO || h->type > UPGRADE_OUT ||
        (h->type == UPGRADE_MEMORY && h->count != 1) || h->count > most ||
        got != sizeof(*h) + size || (flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        fd_count != fds_of(h->type, h->count))
        return ST_E_PROTO;
    return ST_OK;
}

enum status upgrade_recv(int fd, struct upgrade_message *m)
{
    struct head h;
    union wire_body body;
    union wire_control control;
    int fds[UPGRADE_SOCKETS_MAX];
    struct iovec iov[2] = {{&h, sizeof(h)}, {&body, sizeof(body)}};
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = 2,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t got;

    do {
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        enum status st = status_of_errno();
        return st == ST_FULL ? ST_MORE : st;
    }
    if (got == 0)
        return ST_E_CLOSED;
    size_t fd_count = take_fds(&msg, fds);
    enum status st = check(&h, (size_t)got, fd_count, msg.msg_flags);
    if (st != ST_OK) {
        while (fd_count > 0)
            close(fds[--fd_count]);
        return st;
    }
    m->type = (enum upgrade_type)h.type;
    m->count = h.count;
    unpack(m, &body, fds);
    return ST_OK;
}
