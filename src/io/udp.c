#include "io/udp.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/sockaddr.h"

#define OVERFLOW      (UDP_DATAGRAM_MAX - BLK_SMALL_DATA) /* of a datagram, beyond a small blk */
#define SEND_SPANS    256u                                /* laid out at once */
#define SEGMENTS_MAX  32u    /* datagrams in one message; the kernel takes 64 */
#define SEGMENT_MAX   1440u  /* larger ones may not fit a packet, and are not put together */
#define SEGMENTS_SIZE 60000u /* bytes of one message */

/* Datagrams are read into small blks, which hold any that fits a packet of the internet; the rare
 * larger one runs over into scratch and is put together in a full blk. Blks that were not filled
 * stay for the next call. */
struct udp_batch {
    struct pool *pool;
    struct span *spans[UDP_BATCH];
    struct mmsghdr msgs[UDP_BATCH];
    struct iovec iov[UDP_BATCH][2];
    union sockaddr_any names[UDP_BATCH];
    uint8_t scratch[UDP_BATCH][OVERFLOW]; /* touched by large datagrams only */
    /* Sending: one message may be many datagrams of one size to one address. */
    struct iovec pieces[SEND_SPANS];
    uint8_t spans_of[UDP_BATCH];
    union {
        struct cmsghdr head; /* for its alignment */
        uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control[UDP_BATCH];
    bool no_segments; /* the kernel cannot cut messages */
};

enum status udp_batch_new(struct pool *pool, struct udp_batch **out)
{
    struct udp_batch *b = pool_alloc(pool, sizeof(*b));

    *out = b;
    if (b == NULL)
        return ST_E_NOMEM;
    b->pool = pool;
    return ST_OK;
}

void udp_batch_free(struct udp_batch *b)
{
    if (b == NULL)
        return;
    for (unsigned i = 0; i < UDP_BATCH; i++)
        span_free(b->pool, b->spans[i]);
    pool_release(b->pool, b, sizeof(*b));
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_family(int family, const struct addr *bind_to, int *err)
{
    union sockaddr_any sa;
    const int off = 0;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);

    if (fd < 0) {
        *err = errno;
        return -1;
    }
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    /* Without an address the kernel binds at the first send: nothing to do. */
    socklen_t len = sockaddr_from_addr(&sa, bind_to);
    if (len > 0 && bind(fd, &sa.any, len) != 0) {
        *err = errno;
        close(fd);
        return -1;
    }
    return fd;
}

enum status udp_open(const struct addr *bind_to, int *fd, bool *dual, int *err)
{
    int code = 0;

    *dual = bind_to->family != ADDR_IP4;
    *fd = open_family(*dual ? AF_INET6 : AF_INET, bind_to, &code);
    if (*fd < 0 && bind_to->family == ADDR_NONE && code == EAFNOSUPPORT) {
        *dual = false;
        *fd = open_family(AF_INET, bind_to, &code);
    }
    if (err != NULL)
        *err = *fd < 0 ? code : 0;
    if (*fd >= 0)
        return ST_OK;
    if (code == EMFILE || code == ENFILE)
        return ST_E_LIMIT;
    return code == EADDRINUSE ? ST_E_BUSY : ST_E_IO;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Lays out at most UDP_BATCH buffers; returns how many there was memory for. */
static unsigned prepare(struct udp_batch *b, unsigned want)
{
    unsigned n = 0;

    for (; n < want; n++) {
        if (b->spans[n] == NULL)
            b->spans[n] = span_new_small(b->pool);
        if (b->spans[n] == NULL)
            break;
        b->iov[n][0] = (struct iovec){span_data(b->spans[n]), BLK_SMALL_DATA};
        b->iov[n][1] = (struct iovec){b->scratch[n], OVERFLOW};
        b->msgs[n].msg_hdr = (struct msghdr){
            .msg_name = &b->names[n],
            .msg_namelen = sizeof(b->names[n]),
            .msg_iov = b->iov[n],
            .msg_iovlen = 2,
        };
    }
    return n;
}

/* The span of message @i, whole; NULL when it is too large or memory is out: datagrams may be
 * lost. */
static struct span *take_message(struct udp_batch *b, unsigned i)
{
    const struct mmsghdr *m = &b->msgs[i];
    uint32_t len = m->msg_len;
    struct span *s;

    if (m->msg_hdr.msg_flags & MSG_TRUNC)
        return NULL;
    if (len <= BLK_SMALL_DATA) {
        s = b->spans[i];
        b->spans[i] = NULL;
    } else {
        s = span_new(b->pool);
        if (s == NULL)
            return NULL;
        memcpy(span_data(s), span_data(b->spans[i]), BLK_SMALL_DATA);
        memcpy(span_data(s) + BLK_SMALL_DATA, b->scratch[i], len - BLK_SMALL_DATA);
    }
    s->len = len;
    sockaddr_to_addr(&s->peer, &b->names[i].any, m->msg_hdr.msg_namelen);
    return s;
}

enum status udp_recv(struct udp_batch *b, int fd, struct bufq *q)
{
    unsigned want = UDP_BATCH, n, tries = 3;
    int got;

    if (bufq_room(q) == 0)
        return ST_FULL;
    if (bufq_room(q) / BLK_SMALL_DATA < want)
        want = bufq_room(q) / BLK_SMALL_DATA + 1;
    n = prepare(b, want);
    if (n == 0)
        return ST_E_NOMEM;
    do {
        got = recvmmsg(fd, b->msgs, n, 0, NULL);
        /* Other errors tell of an earlier datagram's fate (ICMP) and are cleared by being
         * reported. */
    } while (got < 0 && errno != EAGAIN && tries-- > 0);
    if (got < 0)
        return ST_OK;
    for (unsigned i = 0; i < (unsigned)got; i++) {
        struct span *s = take_message(b, i);
        if (s != NULL)
            bufq_push(q, s);
    }
    /* Fewer than asked for: the socket was empty for a moment, and more makes a new edge. */
    return (unsigned)got == n ? ST_YIELD : ST_OK;
}

/* ---- sending --------------------------------------------------------------------------------- */

static const struct addr *destination(const struct span *s, const struct addr *dflt)
{
    return s->peer.family != ADDR_NONE ? &s->peer : dflt;
}

/* How many spans from @s on are datagrams of one size (the last may be smaller) to one address, so
 * that the kernel may cut them from one message (UDP_SEGMENT): it goes through the stack once. */
static unsigned run_length(const struct span *s, const struct addr *dflt, unsigned most)
{
    const struct addr *to = destination(s, dflt);
    uint32_t size = s->len, sum = 0;
    unsigned n = 0;

    for (; s != NULL && n < most; s = s->next, n++) {
        sum += s->len;
        if (n > 0 && (s->len == 0 || s->len > size || sum > SEGMENTS_SIZE ||
                      !addr_equal(destination(s, dflt), to)))
            break;
        if (s->len < size)
            return n + 1;
    }
    return n;
}

static void set_segment_size(struct udp_batch *b, unsigned i, uint16_t size)
{
    struct msghdr *m = &b->msgs[i].msg_hdr;

    m->msg_control = b->control[i].bytes;
    m->msg_controllen = sizeof(b->control[i].bytes);
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(c), &size, sizeof(size));
}

/* Fills messages from the head of @q, the first @alone spans one by one. Returns how many. */
static unsigned lay_out(struct udp_batch *b, bool dual, const struct bufq *q,
                        const struct addr *dflt, unsigned alone)
{
    unsigned n = 0, piece = 0;

    for (const struct span *s = q->head; s != NULL && n < UDP_BATCH && piece < SEND_SPANS; n++) {
        const struct addr *to = destination(s, dflt);
        socklen_t len = dual ? sockaddr_from_addr_mapped(&b->names[n], to)
                             : sockaddr_from_addr(&b->names[n], to);
        unsigned most = b->no_segments || piece < alone || s->len > SEGMENT_MAX ? 1 : SEGMENTS_MAX;
        if (most > SEND_SPANS - piece)
            most = SEND_SPANS - piece;
        unsigned run = run_length(s, dflt, most);
        b->msgs[n].msg_hdr = (struct msghdr){
            .msg_name = len > 0 ? &b->names[n] : NULL,
            .msg_namelen = len,
            .msg_iov = &b->pieces[piece],
            .msg_iovlen = run,
        };
        if (run > 1)
            set_segment_size(b, n, (uint16_t)s->len);
        b->spans_of[n] = (uint8_t)run;
        for (unsigned i = 0; i < run; i++, s = s->next)
            b->pieces[piece++] = (struct iovec){span_data(s), s->len};
    }
    return n;
}

static void drop_first(struct udp_batch *b, struct bufq *q, unsigned n)
{
    while (n-- > 0)
        span_free(b->pool, bufq_pop(q));
}

static bool is_fatal(int err)
{
    return err == EBADF || err == ENOTSOCK || err == EFAULT;
}

enum status udp_send(struct udp_batch *b, int fd, bool dual, struct bufq *q,
                     const struct addr *dflt, size_t *dropped, int *err)
{
    static const struct addr none = {.family = ADDR_NONE};
    unsigned alone = 0;

    while (q->head != NULL) {
        unsigned n = lay_out(b, dual, q, dflt != NULL ? dflt : &none, alone);
        int put = sendmmsg(fd, b->msgs, n, 0);
        for (int i = 0; i < put; i++) {
            drop_first(b, q, b->spans_of[i]);
            alone -= alone < b->spans_of[i] ? alone : b->spans_of[i];
        }
        if (put > 0 || errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return ST_FULL;
        if (is_fatal(errno)) {
            if (err != NULL)
                *err = errno;
            return ST_E_IO;
        }
        if (b->spans_of[0] > 1) {
            /* Too big for the way there, or a device that cannot: one by one. */
            b->no_segments = b->no_segments || errno == EIO || errno == EOPNOTSUPP;
            alone = b->spans_of[0];
            continue;
        }
        /* The first one was refused: unreachable, too big, no destination, a full queue of the
         * device. */
        drop_first(b, q, 1);
        alone -= alone > 0;
        if (dropped != NULL)
            (*dropped)++;
    }
    return ST_OK;
}
