#include "codec/proxy_header.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define V1_MAX      107u /* with CRLF */
#define V1_PREFIX   "PROXY "
#define V2_HEAD     16u
#define V2_LOCAL    0x20u
#define V2_PROXY    0x21u
#define V2_IP4_LEN  12u
#define V2_IP6_LEN  36u
#define V2_UNIX_LEN 216u

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                         0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* ---- version 1 ------------------------------------------------------------------------------- */

struct token {
    const char *p;
    size_t len;
};

/* The text up to the next blank; single blanks only, so an empty token is an error of whoever reads
 * it. */
static struct token next_token(const char **p, const char *end)
{
    struct token t = {*p, 0};
    while (*p < end && **p != ' ')
        (*p)++;
    t.len = (size_t)(*p - t.p);
    if (*p < end)
        (*p)++;
    return t;
}

static bool token_is(struct token t, const char *text)
{
    return t.len == strlen(text) && memcmp(t.p, text, t.len) == 0;
}

static enum status v1_address(struct addr *a, struct token t, enum addr_family family)
{
    /* addr_parse_ip also takes the bracketed form, which has no place here. */
    if (t.len == 0 || t.p[0] == '[' || addr_parse_ip(a, t.p, t.len) != ST_OK || a->family != family)
        return ST_E_PROTO;
    addr_unmap(a);
    return ST_OK;
}

static enum status v1_port(uint16_t *port, struct token t)
{
    unsigned v = 0;
    if (t.len == 0 || t.len > 5)
        return ST_E_PROTO;
    for (size_t i = 0; i < t.len; i++) {
        if (t.p[i] < '0' || t.p[i] > '9')
            return ST_E_PROTO;
        v = v * 10 + (unsigned)(t.p[i] - '0');
    }
    if (v > UINT16_MAX)
        return ST_E_PROTO;
    *port = (uint16_t)v;
    return ST_OK;
}

static enum status v1_parse(const uint8_t *in, size_t len, struct proxy_header *h, size_t *used)
{
    const uint8_t *lf = memchr(in, '\n', len < V1_MAX ? len : V1_MAX);
    if (lf == NULL)
        return len < V1_MAX ? ST_MORE : ST_E_PROTO;
    const char *p = (const char *)in + strlen(V1_PREFIX), *end = (const char *)lf - 1;
    if (end < p || *end != '\r')
        return ST_E_PROTO;
    *used = (size_t)(lf + 1 - in);

    struct token proto = next_token(&p, end);
    if (token_is(proto, "UNKNOWN"))
        return ST_OK;
    enum addr_family family = token_is(proto, "TCP4")   ? ADDR_IP4
                              : token_is(proto, "TCP6") ? ADDR_IP6
                                                        : ADDR_NONE;
    struct token src = next_token(&p, end), dst = next_token(&p, end);
    struct token sport = next_token(&p, end), dport = next_token(&p, end);
    if (family == ADDR_NONE || v1_address(&h->src, src, family) != ST_OK ||
        v1_address(&h->dst, dst, family) != ST_OK || v1_port(&h->src.port, sport) != ST_OK ||
        v1_port(&h->dst.port, dport) != ST_OK)
        return ST_E_PROTO;
    return ST_OK;
}

/* ---- version 2 ------------------------------------------------------------------------------- */

static void v2_address(struct addr *a, enum addr_family family, const uint8_t *ip,
                       const uint8_t *port)
{
    a->family = (uint8_t)family;
    memcpy(a->ip, ip, family == ADDR_IP4 ? 4 : 16);
    a->port = get_be16(port);
    addr_unmap(a);
}

static enum status v2_parse(const uint8_t *p, size_t len, struct proxy_header *h, size_t *used)
{
    if (len > 12 && p[12] != V2_LOCAL && p[12] != V2_PROXY)
        return ST_E_PROTO;
    if (len < V2_HEAD)
        return ST_MORE;
    bool local = p[12] == V2_LOCAL;
    unsigned family = p[13] >> 4, transport = p[13] & 15;
    size_t body = get_be16(p + 14), least;
    if (p[13] == 0 && local)
        least = 0;
    else if (family < 1 || family > 3 || transport < 1 || transport > 2)
        return ST_E_PROTO;
    else
        least = family == 1 ? V2_IP4_LEN : family == 2 ? V2_IP6_LEN : V2_UNIX_LEN;
    if (body < least)
        return ST_E_PROTO;
    if (V2_HEAD + body > PROXY_HEADER_MAX)
        return ST_E_LIMIT;
    if (len < V2_HEAD + body)
        return ST_MORE;
    *used = V2_HEAD + body;
    p += V2_HEAD;
    if (!local && family == 1) {
        v2_address(&h->src, ADDR_IP4, p, p + 8);
        v2_address(&h->dst, ADDR_IP4, p + 4, p + 10);
    } else if (!local && family == 2) {
        v2_address(&h->src, ADDR_IP6, p, p + 32);
        v2_address(&h->dst, ADDR_IP6, p + 16, p + 34);
    }
    return ST_OK;
}

static bool begins_like(const uint8_t *p, size_t len, const void *prefix, size_t prefix_len)
{
    return memcmp(p, prefix, len < prefix_len ? len : prefix_len) == 0;
}

enum status proxy_header_parse(const uint8_t *p, size_t len, struct proxy_header *h, size_t *used)
{
    memset(h, 0, sizeof(*h));
    *used = 0;
    if (len == 0)
        return ST_MORE;
    if (begins_like(p, len, V1_PREFIX, strlen(V1_PREFIX)))
        return len < strlen(V1_PREFIX) ? ST_MORE : v1_parse(p, len, h, used);
    if (begins_like(p, len, v2_signature, sizeof(v2_signature)))
        return len < sizeof(v2_signature) ? ST_MORE : v2_parse(p, len, h, used);
    return ST_E_PROTO;
}

/* ---- writing --------------------------------------------------------------------------------- */

static struct addr as_ip6(const struct addr *a)
{
    struct addr m = *a;
    if (a->family == ADDR_IP4) {
        memset(m.ip, 0, 10);
        m.ip[10] = m.ip[11] = 0xff;
        memcpy(m.ip + 12, a->ip, 4);
        m.family = ADDR_IP6;
    }
    return m;
}

static size_t v1_build(uint8_t *out, const struct addr *src, const struct addr *dst)
{
    char from[ADDR_STRLEN], to[ADDR_STRLEN];
    int n = snprintf((char *)out, PROXY_HEADER_BUILD_MAX, "PROXY TCP%c %s %s %u %u\r\n",
                     src->family == ADDR_IP4 ? '4' : '6', addr_ip_str(src, from),
                     addr_ip_str(dst, to), src->port, dst->port);
    return (size_t)n;
}

static size_t v2_build(uint8_t *out, const struct addr *src, const struct addr *dst)
{
    size_t ip = src->family == ADDR_IP4 ? 4 : 16;
    out[12] = V2_PROXY;
    out[13] = src->family == ADDR_IP4 ? 0x11 : 0x21;
    put_be16(out + 14, (uint16_t)(2 * ip + 4));
    memcpy(out + 16, src->ip, ip);
    memcpy(out + 16 + ip, dst->ip, ip);
    put_be16(out + 16 + 2 * ip, src->port);
    put_be16(out + 18 + 2 * ip, dst->port);
    return V2_HEAD + 2 * ip + 4;
}

size_t proxy_header_build(uint8_t *out, unsigned version, const struct addr *src,
                          const struct addr *dst)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    bool known = src->family != ADDR_NONE && dst->family != ADDR_NONE;
    struct addr s = *src, d = *dst;
    if (s.family != d.family) {
        s = as_ip6(src);
        d = as_ip6(dst);
    }
    if (version == 1) {
        if (known)
            return v1_build(out, &s, &d);
        memcpy(out, unknown, sizeof(unknown) - 1);
        return sizeof(unknown) - 1;
    }
    memcpy(out, v2_signature, sizeof(v2_signature));
    if (known)
        return v2_build(out, &s, &d);
    out[12] = V2_LOCAL;
    out[13] = out[14] = out[15] = 0;
    return V2_HEAD;
}
