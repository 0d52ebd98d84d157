#include "proto/vmess/packetaddr.h"

#include <string.h>

#include "base/bytes.h"
#include "base/frame.h"

enum { TYPE_IP4 = 1, TYPE_IP6 = 2 };

bool packetaddr_is(const struct target *t)
{
    size_t n = strlen(PACKETADDR_NAME);
    return t->host_len == n && memcmp(t->host, PACKETADDR_NAME, n) == 0;
}

bool packetaddr_open(struct span *s)
{
    struct reader r = reader_of(span_data(s), s->len);
    uint8_t type = reader_u8(&r);
    size_t n = type == TYPE_IP4 ? 4 : 16;
    const uint8_t *ip = reader_take(&r, n);
    uint16_t port = reader_u16(&r);

    if (r.bad || (type != TYPE_IP4 && type != TYPE_IP6))
        return false;
    memset(&s->peer, 0, sizeof(s->peer));
    s->peer.family = type == TYPE_IP4 ? ADDR_IP4 : ADDR_IP6;
    s->peer.port = port;
    memcpy(s->peer.ip, ip, n);
    addr_unmap(&s->peer);
    s->off += (uint32_t)(1 + n + 2);
    s->len -= (uint32_t)(1 + n + 2);
    return true;
}

struct span *packetaddr_seal(struct pool *p, struct span *s)
{
    uint8_t head[PACKETADDR_HEAD];
    uint32_t n = s->peer.family == ADDR_IP4 ? 4 : 16;

    head[0] = n == 4 ? TYPE_IP4 : TYPE_IP6;
    memcpy(head + 1, s->peer.ip, n);
    put_be16(head + 1 + n, s->peer.port);
    return frame_prepend(p, s, head, 1 + n + 2, NULL);
}
