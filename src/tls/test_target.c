#include "tls/test_target.h"

#include <string.h>

#include "base/bytes.h"
#include "tls/server_hello.h"

static size_t share_len(const struct test_target *t)
{
    return t->group == TLS_GROUP_X25519MLKEM768 ? TLS_SHARE_MLKEM_SERVER : TLS_SHARE_X25519;
}

static void noise(uint8_t *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = (uint8_t)(seed >> 24);
    }
}

static size_t record(uint8_t *p, uint8_t type, size_t total)
{
    p[0] = type;
    p[1] = p[2] = 3;
    put_be16(p + 3, (uint16_t)(total - RECORD_HEADER));
    return total;
}

struct flight_shape test_target_shape(const struct test_target *t)
{
    struct flight_shape s = {.combined = t->len[FLIGHT_CERTIFICATE] == 0};

    memcpy(s.len, t->len, sizeof(s.len));
    s.len[FLIGHT_SERVER_HELLO] = (uint16_t)(95 + share_len(t));
    s.len[FLIGHT_CCS] = 6;
    return s;
}

size_t test_target_answer(const struct test_target *t, const uint8_t *msg, size_t len, uint8_t *out,
                          size_t cap)
{
    struct flight_shape shape = test_target_shape(t);
    size_t share = share_len(t), at = 0;
    struct hello h;

    BUG_ON(hello_parse(msg, len, &h) != ST_OK || reader_left(&h.session_id) != 32);
    for (int i = 0; i < FLIGHT_PARTS; i++)
        at += shape.len[i];
    BUG_ON(at > cap);

    at = record(out, RECORD_HANDSHAKE, shape.len[FLIGHT_SERVER_HELLO]);
    uint8_t *p = out + RECORD_HEADER;
    p[0] = 2;
    put_be24(p + 1, (uint32_t)(86 + share));
    put_be16(p + 4, 0x0303);
    noise(p + 6, 32, 1);
    p[38] = 32;
    memcpy(p + 39, h.session_id.p, 32);
    put_be16(p + 71, t->suite);
    p[73] = 0;
    put_be16(p + 74, (uint16_t)(14 + share));
    memcpy(p + 76, "\0\x2b\0\2\3\4\0\x33", 8);
    put_be16(p + 84, (uint16_t)(4 + share));
    put_be16(p + 86, t->group);
    put_be16(p + 88, (uint16_t)share);
    noise(p + 90, share, 2);
    memcpy(out + at, "\x14\3\3\0\1\1", 6);
    at += 6;
    for (int i = FLIGHT_EXTENSIONS; i < FLIGHT_PARTS; i++) {
        if (shape.len[i] == 0)
            continue;
        noise(out + at, shape.len[i], (uint32_t)i + 3);
        at += record(out + at, RECORD_DATA, shape.len[i]);
    }
    return at;
}
