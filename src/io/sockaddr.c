#include "io/sockaddr.h"

#include <string.h>

int sockaddr_family(const struct addr *a)
{
    switch (a->family) {
    case ADDR_IP4:
        return AF_INET;
    case ADDR_IP6:
        return AF_INET6;
    default:
        return AF_UNSPEC;
    }
}

socklen_t sockaddr_from_addr(union sockaddr_any *sa, const struct addr *a)
{
    memset(sa, 0, sizeof(*sa));
    switch (a->family) {
    case ADDR_IP4:
        sa->in4.sin_family = AF_INET;
        sa->in4.sin_port = htons(a->port);
        memcpy(&sa->in4.sin_addr, a->ip, 4);
        return sizeof(sa->in4);
    case ADDR_IP6:
        sa->in6.sin6_family = AF_INET6;
        sa->in6.sin6_port = htons(a->port);
        memcpy(&sa->in6.sin6_addr, a->ip, 16);
        return sizeof(sa->in6);
    default:
        return 0;
    }
}

socklen_t sockaddr_from_addr_mapped(union sockaddr_any *sa, const struct addr *a)
{
    if (a->family != ADDR_IP4)
        return sockaddr_from_addr(sa, a);
    memset(sa, 0, sizeof(*sa));
    sa->in6.sin6_family = AF_INET6;
    sa->in6.sin6_port = htons(a->port);
    sa->in6.sin6_addr.s6_addr[10] = 0xff;
    sa->in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&sa->in6.sin6_addr.s6_addr[12], a->ip, 4);
    return sizeof(sa->in6);
}

void sockaddr_to_addr(struct addr *a, const struct sockaddr *sa, socklen_t len)
{
    memset(a, 0, sizeof(*a));
    if (len >= (socklen_t)sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, sa, sizeof(in4));
        a->family = ADDR_IP4;
        a->port = ntohs(in4.sin_port);
        memcpy(a->ip, &in4.sin_addr, 4);
    } else if (len >= (socklen_t)sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        a->port = ntohs(in6.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            a->family = ADDR_IP4;
            memcpy(a->ip, &in6.sin6_addr.s6_addr[12], 4);
        } else {
            a->family = ADDR_IP6;
            memcpy(a->ip, &in6.sin6_addr, 16);
        }
    }
}

void sockaddr_local(int fd, struct addr *a)
{
    union sockaddr_any sa;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, &sa.any, &len) != 0)
        len = 0;
    sockaddr_to_addr(a, &sa.any, len);
}

void sockaddr_peer(int fd, struct addr *a)
{
    union sockaddr_any sa;
    socklen_t len = sizeof(sa);

    if (getpeername(fd, &sa.any, &len) != 0)
        len = 0;
    sockaddr_to_addr(a, &sa.any, len);
}
