#include "base/addr.h"

#include <stdio.h>
#include <string.h>

#include "base/ascii.h"
#include "base/bytes.h"

/* Copies IPv6 groups to text with the longest run of zero groups compressed (RFC 5952 section
 * 4). */
static void ip6_str(const uint8_t ip[16], char *dst)
{
    uint16_t g[8];
    for (int i = 0; i < 8; i++)
        g[i] = get_be16(ip + 2 * i);
    int best = -1, best_len = 1;
    for (int i = 0; i < 8;) {
        int j = i;
        while (j < 8 && g[j] == 0)
            j++;
        if (j - i > best_len) {
            best = i;
            best_len = j - i;
        }
        i = j > i ? j : i + 1;
    }
    char *p = dst;
    for (int i = 0; i < 8; i++) {
        if (i == best) {
            *p++ = ':';
            *p++ = ':';
            i += best_len - 1;
            continue;
        }
        if (i > 0 && p[-1] != ':')
            *p++ = ':';
        p += snprintf(p, 5, "%x", g[i]);
    }
    *p = '\0';
}

char *addr_ip_str(const struct addr *a, char *dst)
{
    if (a->family == ADDR_IP4)
        snprintf(dst, ADDR_STRLEN, "%u.%u.%u.%u", a->ip[0], a->ip[1], a->ip[2], a->ip[3]);
    else if (a->family == ADDR_IP6)
        ip6_str(a->ip, dst);
    else
        snprintf(dst, ADDR_STRLEN, "?");
    return dst;
}

char *addr_str(const struct addr *a, char *dst)
{
    char ip[ADDR_STRLEN];
    addr_ip_str(a, ip);
    snprintf(dst, ADDR_STRLEN, a->family == ADDR_IP6 ? "[%.45s]:%u" : "%.45s:%u", ip, a->port);
    return dst;
}

/* Four decimal numbers without leading zeros, as inet_pton wants them. */
static bool parse_ip4(const char *s, size_t len, uint8_t out[4])
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        unsigned v = 0;
        size_t start = at;
        while (at < len && at - start < 3 && s[at] >= '0' && s[at] <= '9')
            v = v * 10 + (unsigned)(s[at++] - '0');
        if (at == start || v > 255 || (s[start] == '0' && at - start > 1))
            return false;
        out[i] = (uint8_t)v;
        if (i < 3 && (at >= len || s[at++] != '.'))
            return false;
    }
    return at == len;
}

/* RFC 4291 section 2.2, dotted tail included; no zone. */
static bool parse_ip6(const char *s, size_t len, uint8_t out[16])
{
    uint8_t head[16] = {0};
    size_t n = 0, gap = 17, at = 0;
    if (len >= 2 && s[0] == ':' && s[1] == ':') {
        gap = 0;
        at = 2;
    } else if (len > 0 && s[0] == ':') {
        return false;
    }
    while (at < len) {
        size_t end = at;
        while (end < len && s[end] != ':')
            end++;
        if (memchr(s + at, '.', end - at) != NULL) {
            if (end != len || n > 12 || !parse_ip4(s + at, end - at, head + n))
                return false;
            n += 4;
            at = end;
            break;
        }
        if (end == at || end - at > 4 || n > 14)
            return false;
        unsigned v = 0;
        for (; at < end; at++) {
            int d = ascii_hex(s[at]);
            if (d < 0)
                return false;
            v = v << 4 | (unsigned)d;
        }
        put_be16(head + n, (uint16_t)v);
        n += 2;
        if (at == len)
            break;
        at++; /* the colon */
        if (at < len && s[at] == ':') {
            if (gap != 17)
                return false;
            gap = n;
            at++;
        } else if (at == len) {
            return false;
        }
    }
    if (gap == 17 ? n != 16 : n > 14)
        return false;
    memset(out, 0, 16);
    if (gap == 17) {
        memcpy(out, head, 16);
    } else {
        memcpy(out, head, gap);
        memcpy(out + 16 - (n - gap), head + gap, n - gap);
    }
    return true;
}

enum status addr_parse_ip(struct addr *a, const char *text, size_t len)
{
    memset(a, 0, sizeof(*a));
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        if (!parse_ip6(text + 1, len - 2, a->ip))
            return ST_E_PROTO;
        a->family = ADDR_IP6;
        return ST_OK;
    }
    if (len <= 15 && parse_ip4(text, len, a->ip)) {
        a->family = ADDR_IP4;
        return ST_OK;
    }
    memset(a->ip, 0, sizeof(a->ip));
    if (len <= 45 && parse_ip6(text, len, a->ip)) {
        a->family = ADDR_IP6;
        return ST_OK;
    }
    return ST_E_PROTO;
}

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void addr_unmap(struct addr *a)
{
    if (a->family != ADDR_IP6 || memcmp(a->ip, mapped_prefix, 12) != 0)
        return;
    memmove(a->ip, a->ip + 12, 4);
    memset(a->ip + 4, 0, 12);
    a->family = ADDR_IP4;
}

bool addr_embedded_ip4(const struct addr *a, struct addr *ip4)
{
    static const uint8_t compat[12], nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    const uint8_t *at = NULL;

    if (a->family != ADDR_IP6)
        return false;
    if (memcmp(a->ip, mapped_prefix, 12) == 0 || memcmp(a->ip, compat, 12) == 0 ||
        memcmp(a->ip, nat64, 12) == 0)
        at = a->ip + 12;
    else if (a->ip[0] == 0x20 && a->ip[1] == 0x02)
        at = a->ip + 2;
    if (at == NULL)
        return false;
    *ip4 = (struct addr){.family = ADDR_IP4};
    memcpy(ip4->ip, at, 4);
    return true;
}

bool addr_ip_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->port == b->port && addr_ip_equal(a, b);
}

bool addr_is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return a->family == ADDR_NONE || memcmp(a->ip, zero, sizeof(zero)) == 0;
}

struct prefix {
    uint8_t bits;
    uint8_t ip[16];
};

static bool in_prefix(const uint8_t *ip, const struct prefix *p)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;
    if (memcmp(ip, p->ip, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ p->ip[whole]) >> (8 - rest)) == 0;
}

static bool ip4_is_private(const uint8_t *ip)
{
    static const struct prefix nets[] = {
        {8, {0}},         {8, {10}},       {10, {100, 64}},      {8, {127}},
        {16, {169, 254}}, {12, {172, 16}}, {24, {192, 0, 0}},    {24, {192, 0, 2}},
        {16, {192, 168}}, {15, {198, 18}}, {24, {198, 51, 100}}, {24, {203, 0, 113}},
        {4, {224}},       {4, {240}},
    };
    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
        if (in_prefix(ip, &nets[i]))
            return true;
    return false;
}

static bool ip6_is_private(const struct addr *a)
{
    static const struct prefix nets[] = {
        {128, {0}},                                              /* :: */
        {128, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, /* ::1 */
        {64, {0x01, 0x00}},                                      /* discard-only 100::/64 */
        {32, {0x20, 0x01, 0x0d, 0xb8}},                          /* documentation */
        {7, {0xfc}},                                             /* unique local */
        {10, {0xfe, 0x80}},                                      /* link-local */
        {10, {0xfe, 0xc0}},                                      /* old site-local */
        {8, {0xff}},                                             /* multicast */
    };
    for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
        if (in_prefix(a->ip, &nets[i]))
            return true;
    struct addr ip4;
    return addr_embedded_ip4(a, &ip4) && ip4_is_private(ip4.ip);
}

bool addr_is_private(const struct addr *a)
{
    if (a->family == ADDR_IP4)
        return ip4_is_private(a->ip);
    return a->family != ADDR_IP6 || ip6_is_private(a);
}

enum status cidr_parse(struct cidr *c, const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    size_t ip_len = slash ? (size_t)(slash - text) : len;
    if (addr_parse_ip(&c->net, text, ip_len) != ST_OK)
        return ST_E_PROTO;
    unsigned max = c->net.family == ADDR_IP4 ? 32 : 128, bits = max;
    if (slash) {
        size_t digits = len - ip_len - 1;
        if (digits < 1 || digits > 3)
            return ST_E_PROTO;
        bits = 0;
        for (size_t i = 0; i < digits; i++) {
            if (slash[1 + i] < '0' || slash[1 + i] > '9')
                return ST_E_PROTO;
            bits = bits * 10 + (unsigned)(slash[1 + i] - '0');
        }
        if (bits > max)
            return ST_E_PROTO;
    }
    c->bits = (uint8_t)bits;
    return ST_OK;
}

bool cidr_contains(const struct cidr *c, const struct addr *a)
{
    if (c->net.family != a->family)
        return false;
    struct prefix p = {.bits = c->bits};
    memcpy(p.ip, c->net.ip, sizeof(p.ip));
    return in_prefix(a->ip, &p);
}

enum status target_set_host(struct target *t, const char *host, size_t len, uint16_t port)
{
    memset(&t->addr, 0, sizeof(t->addr));
    t->host_len = 0;
    if (len == 0 || len > TARGET_HOST_MAX)
        return ST_E_PROTO;
    if (addr_parse_ip(&t->addr, host, len) == ST_OK) {
        addr_unmap(&t->addr);
        t->addr.port = port;
        return ST_OK;
    }
    memset(&t->addr, 0, sizeof(t->addr));
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        bool ok = ascii_is_letter(c) || ascii_is_digit(c) || c == '-' || c == '.' || c == '_';
        if (!ok)
            return ST_E_PROTO;
    }
    memcpy(t->host, host, len);
    t->host[len] = '\0';
    t->host_len = (uint8_t)len;
    t->addr.port = port;
    return ST_OK;
}

char *target_str(const struct target *t, char *dst)
{
    if (t->host_len == 0)
        return addr_str(&t->addr, dst);
    snprintf(dst, TARGET_STRLEN, "%s:%u", t->host, t->addr.port);
    return dst;
}
