/* proto/vless/test_flow.h - made-up TLS connections, record by record. For tests. */
#ifndef PROTO_VLESS_TEST_FLOW_H
#define PROTO_VLESS_TEST_FLOW_H

#include "proto/vless/test_vision.h"

static inline void flow_record(struct text *t, uint8_t type, const void *body, size_t n)
{
    uint8_t head[5] = {type, 3, 3, (uint8_t)(n >> 8), (uint8_t)n};

    text_add(t, head, sizeof(head));
    text_add(t, body, n);
}

/* A record of @n random bytes. */
static inline void flow_noise(struct text *t, uint8_t type, size_t n, uint64_t *seed)
{
    static uint8_t body[16640];

    for (size_t i = 0; i < n; i++)
        body[i] = (uint8_t)dice(seed, 256);
    flow_record(t, type, body, n);
}

/* A ServerHello message: TLS 1.3 has a key share of @share bytes in front of its version. */
static inline void flow_server_hello(struct text *t, bool tls13, uint16_t cipher, size_t sid,
                                     size_t share)
{
    static uint8_t m[4096];
    size_t n = 4, ext_at;

    memset(m, 0x5a, sizeof(m));
    m[n] = m[n + 1] = 3;
    n += 34;
    m[n++] = (uint8_t)sid;
    n += sid;
    put_be16(m + n, cipher);
    m[n + 2] = 0;
    n += 3;
    ext_at = n;
    n += 2;
    put_be16(m + n, 0x33);
    put_be16(m + n + 2, (uint16_t)share);
    n += 4 + share;
    put_be16(m + n, 0xff01); /* an empty extension */
    put_be16(m + n + 2, 0);
    n += 4;
    if (tls13) {
        static const uint8_t version[] = {0, 0x2b, 0, 2, 3, 4};
        memcpy(m + n, version, sizeof(version));
        n += sizeof(version);
    }
    put_be16(m + ext_at, (uint16_t)(n - ext_at - 2));
    m[0] = 2;
    put_be24(m + 1, (uint32_t)(n - 4));
    flow_record(t, 22, m, n);
}

static inline void flow_client_hello(struct text *t, size_t n, uint64_t *seed)
{
    size_t at = t->len;

    flow_noise(t, 22, n, seed);
    t->p[at + 2] = 1; /* as clients write it (RFC 8446 section 5.1) */
    t->p[at + 5] = 1;
}

#endif
