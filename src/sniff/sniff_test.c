/* What is found in streams, and what is said of beginnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "codec/json.h"
#include "codec/test_vectors.h"
#include "sniff/sniff.h"

static struct pool *pool;
static struct json_t *vectors;

static int setup(void **state)
{
    (void)state;
    vectors = test_vectors("src/sniff/testdata/sniff.json");
    pool = pool_new(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_unref(vectors);
    pool_free(pool);
    return 0;
}

/* A queue of spans of @cut bytes. */
static void put_cut(struct bufq *q, const uint8_t *p, size_t len, size_t cut)
{
    bufq_init(q, UINT32_MAX);
    for (size_t at = 0; at < len; at += cut) {
        size_t n = len - at < cut ? len - at : cut;
        struct span *s = span_new_for(pool, n);
        memcpy(span_data(s), p + at, n);
        s->len = (uint32_t)n;
        bufq_push(q, s);
    }
}

static enum status look(const void *data, size_t n, size_t cut, struct sniff *out)
{
    struct bufq q;

    put_cut(&q, data, n, cut);
    enum status st = sniff_stream(&q, out);
    assert_int_equal(q.bytes, n);
    bufq_clear(&q, pool);
    return st;
}

static enum status look_text(const char *text, struct sniff *out)
{
    return look(text, strlen(text), 7, out);
}

/* Every prefix is undecided, up to where the answer @st first comes; it stays the answer. */
static void assert_decides(const uint8_t *data, size_t n, size_t at, enum status st)
{
    struct sniff out;

    for (size_t i = 0; i <= n; i++)
        assert_int_equal(look(data, i, 64, &out), i < at ? ST_MORE : st);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static void requests_of_the_vectors(void **state)
{
    const struct json_t *list = json_get(vectors, "http");

    (void)state;
    assert_true(json_array_len(list) > 8);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *v = json_at(list, i);
        const char *answer = json_get_str(v, "answer", "");
        enum status want = strcmp(answer, "ok") == 0     ? ST_OK
                           : strcmp(answer, "more") == 0 ? ST_MORE
                                                         : ST_E_NOTFOUND;
        struct sniff out;
        assert_int_equal(look_text(json_get_str(v, "payload", NULL), &out), want);
        assert_string_equal(out.host, json_get_str(v, "host", ""));
        if (want == ST_OK)
            assert_string_equal(sniff_protocol_str(out.protocol), "http1");
    }
}

static void http_is_decided_by_its_host_and_not_before(void **state)
{
    static const char text[] =
        "GET / HTTP/1.1\r\nUser-Agent: x\r\nHost: A.example.:80\r\nCookie: y";
    struct sniff out;

    (void)state;
    size_t at = (size_t)(strstr(text, "\r\nCookie") - text) + 2;
    assert_decides((const uint8_t *)text, strlen(text), at, ST_OK);
    assert_int_equal(look_text(text, &out), ST_OK);
    assert_string_equal(out.host, "a.example");
    assert_int_equal(look(text, 30, 7, &out), ST_MORE);
    assert_int_equal(out.protocol, SNIFF_HTTP1); /* that much is certain */
    assert_int_equal(look(text, 10, 7, &out), ST_MORE);
    assert_int_equal(out.protocol, SNIFF_NONE);
}

static void assert_host(const char *request, const char *host)
{
    struct sniff out;

    assert_int_equal(look_text(request, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_HTTP1);
    assert_string_equal(out.host, host);
}

static void the_authority_of_a_target_outranks_host(void **state)
{
    (void)state;
    assert_host("GET http://u:p@A.example:8080/x?y HTTP/1.1\r\nHost: other\r\n\r\n", "a.example");
    assert_host("GET http://a.example?next=http://b HTTP/1.1\r\n\r\n", "a.example");
    assert_host("CONNECT [2001:DB8::1]:443 HTTP/1.1\r\n\r\n", "2001:db8::1");
    assert_host("GET /to/http://b.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example");
    assert_host("GET //b.example/ HTTP/1.1\nhost:a.example\n\n", "a.example");
    assert_host("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example");
}

/* Which of the two a server goes by is its own business. */
static void a_host_beside_an_authority_is_told_too(void **state)
{
    struct sniff out;

    (void)state;
    assert_int_equal(look_text("GET http://a.example/ HTTP/1.1\r\nHost: B.example:80\r\n", &out),
                     ST_OK);
    assert_string_equal(out.host, "a.example");
    assert_string_equal(out.other, "b.example");
    assert_int_equal(look_text("GET http://a.example/ HTTP/1.1\r\nHost: A.example\r\n", &out),
                     ST_OK);
    assert_string_equal(out.host, "a.example");
    assert_string_equal(out.other, "");
    assert_int_equal(look_text("GET / HTTP/1.1\r\nHost: b.example\r\n", &out), ST_OK);
    assert_string_equal(out.host, "b.example");
    assert_string_equal(out.other, "");
    assert_int_equal(look_text("CONNECT a.example:443 HTTP/1.1\r\nHo", &out), ST_MORE);
    assert_string_equal(out.host, "a.example"); /* that much is certain */
    assert_string_equal(out.other, "");
}

/* What nginx or Apache takes, if few clients send it. */
static void unusual_requests_are_read(void **state)
{
    static const char lines[] = "\r\n\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n";
    struct sniff out;

    (void)state;
    assert_host(lines, "a.example");
    assert_decides((const uint8_t *)lines, strlen(lines), strlen(lines), ST_OK);
    assert_int_equal(look_text("\r\nEHLO", &out), ST_E_NOTFOUND);
    assert_host("GET / HTTP/1.10\r\nHost: a.example\r\n", "a.example");
    assert_host("GET http://a.example HTTP/1.01\r\n\r\n", "a.example");
    assert_int_equal(look_text("GET / HTTP/1.\r\nHost: a.example\r\n", &out), ST_E_NOTFOUND);
    assert_int_equal(look_text("GET 1\r\nHost: a.example\r\n", &out), ST_E_NOTFOUND);
    assert_host("GET / HTTP/1.1\r\nHost:\r\n \r\n\ta.example \r\n", "a.example");
    assert_int_equal(look_text("GET / HTTP/1.1\r\nHost: \r\n", &out), ST_MORE);
    assert_int_equal(look_text("GET / HTTP/1.1\r\nHost: \r\n a", &out), ST_MORE);
    assert_host("GET / HTTP/1.1\r\nHost: 2001:DB8::1\r\n", "2001:db8::1");
}

static void http_without_a_name_is_http(void **state)
{
    (void)state;
    assert_host("GET / HTTP/1.0\r\n\r\nHost: body.example\r\n", "");
    assert_host("GET / HTTP/1.1\r\nHost: a\x01.example\r\n\r\n", "");
    assert_host("GET / HTTP/1.1\r\nHost:\r\nHost: second.example\r\n\r\n", "");
    assert_host("GET / HTTP/1.1\r\nX: 1\r\n Host: folded.example\r\n\r\n", "");
}

static void long_heads_end_the_wait(void **state)
{
    static uint8_t head[SNIFF_STREAM_MAX + 1] = "GET / HTTP/1.1\r\nX: ";
    struct sniff out;

    (void)state;
    memset(head + 19, 'a', sizeof(head) - 19);
    assert_int_equal(look(head, SNIFF_STREAM_MAX - 1, 4096, &out), ST_MORE);
    assert_int_equal(look(head, SNIFF_STREAM_MAX, 4096, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_HTTP1);
    assert_string_equal(out.host, "");
    memset(head + 4, 'a', 15); /* no line is ever whole */
    assert_int_equal(look(head, SNIFF_STREAM_MAX, 4096, &out), ST_E_NOTFOUND);
}

/* ---- what is none of them -------------------------------------------------------------------- */

static void others_are_decided_at_once(void **state)
{
    static const struct {
        const char *text;
        size_t at; /* bytes that are needed */
    } other[] = {
        {"SSH-2.0-OpenSSH_9.2\r\n", 1},
        {"EHLO mail.example\r\n", 1},
        {"HELO mail.example\r\n", 3},
        {"USER x\r\n", 1},
        {"PASS x\r\n", 3},
        {"GETTING there", 4},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 2},
        {"OPTIONS rtsp://a RTSP/1.0\r\n", 27},
        {"GET x\x01", 6},
        {"\x16\x03\x01", 99},
        {"\x16\x04\x01", 2},
        {"\x17\x03\x03", 1},
        {"\x13"
         "BitTorrent Protocol",
         13},
        {"\x05\x01", 1},
        {"\x80\x2e\x01", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        assert_decides((const uint8_t *)other[i].text, strlen(other[i].text), other[i].at,
                       ST_E_NOTFOUND);
}

/* Only what one of the protocols begins with is waited for. */
static void few_first_bytes_are_undecided(void **state)
{
    unsigned undecided = 0;

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        struct sniff out;
        enum status st = look(&byte, 1, 1, &out);
        assert_true(st == ST_MORE || st == ST_E_NOTFOUND);
        undecided += st == ST_MORE;
    }
    /* TLS, BitTorrent, CDGHOPT in both cases, CR and LF */
    assert_int_equal(undecided, 2 + 2 * 7 + 2);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* The hello of the vectors in records of @unit bytes. */
static size_t hello_in_records(uint8_t *out, size_t unit)
{
    static uint8_t wire[4096];
    size_t n = test_hex_of(json_get(vectors, "tls"), "hex", wire, sizeof(wire)), len = 0;

    for (size_t at = 5; at < n; at += unit) {
        size_t part = n - at < unit ? n - at : unit;
        memcpy(out + len, wire, 3);
        put_be16(out + len + 3, (uint16_t)part);
        memcpy(out + len + 5, wire + at, part);
        len += 5 + part;
    }
    return len;
}

static void a_hello_is_read_however_it_is_cut(void **state)
{
    static const size_t units[] = {16384, 1000, 100, 3, 1};
    static uint8_t wire[16384];
    struct sniff out;

    (void)state;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = hello_in_records(wire, units[i]);
        for (size_t cut = 1; cut < 3000; cut = cut * 3 + 1) {
            assert_int_equal(look(wire, n, cut, &out), ST_OK);
            assert_int_equal(out.protocol, SNIFF_TLS);
            assert_string_equal(out.host, "tls.sni.example.com");
        }
        assert_int_equal(look(wire, n - 1, 100, &out), ST_MORE);
        assert_int_equal(out.protocol, SNIFF_TLS);
    }
    assert_decides(wire, 5, 99, ST_OK);
    size_t n = hello_in_records(wire, 100);
    assert_decides(wire, n, n, ST_OK);
}

#define HELLO_FIXED 52u /* of small_hello, before its extensions */

/* A hello without extensions, or with those given. */
static size_t small_hello(uint8_t *out, const uint8_t *ext, size_t n)
{
    static const uint8_t fixed[] = {0, 0, 2, 0x13, 1, 1, 0};
    size_t at = 5 + 4;

    memset(out, 0, 64);
    put_be16(out + at, 0x0303);
    at += 2 + 32;
    memcpy(out + at, fixed, sizeof(fixed));
    at += sizeof(fixed);
    put_be16(out + at, (uint16_t)n);
    memcpy(out + at + 2, ext, n);
    at += 2 + n;
    out[0] = 0x16;
    out[1] = 3;
    out[2] = 1;
    put_be16(out + 3, (uint16_t)(at - 5));
    out[5] = 1;
    put_be24(out + 6, (uint32_t)(at - 9));
    return at;
}

static size_t hello_for(uint8_t *out, const char *name)
{
    uint8_t ext[300];
    size_t n = strlen(name);

    put_be16(ext, 0);
    put_be16(ext + 2, (uint16_t)(n + 5));
    put_be16(ext + 4, (uint16_t)(n + 3));
    ext[6] = 0;
    put_be16(ext + 7, (uint16_t)n);
    memcpy(ext + 9, name, n);
    return small_hello(out, ext, n + 9);
}

static void tls_without_a_usable_name_is_tls(void **state)
{
    static const uint8_t broken[] = {0, 0, 0, 9, 1};
    uint8_t wire[8192];
    struct sniff out;

    (void)state;
    size_t n = small_hello(wire, broken, 0);
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_TLS);
    assert_string_equal(out.host, "");
    n = small_hello(wire, broken, sizeof(broken));
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_TLS);
    n = hello_for(wire, "UPPER.example.");
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_string_equal(out.host, "upper.example");
    n = hello_for(wire, "sp ace.example");
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_TLS);
    assert_string_equal(out.host, "");
    n = hello_in_records(wire, 100);
    wire[105] = 0x15; /* an alert in the middle of it */
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_TLS);
    assert_string_equal(out.host, "");
    n = hello_for(wire, "a.example");
    wire[8] = 0xff; /* longer than its record */
    assert_int_equal(look(wire, n, 9, &out), ST_MORE);
    assert_int_equal(out.protocol, SNIFF_TLS);
    assert_string_equal(out.host, "a.example"); /* that much is certain */
    assert_int_equal(look(wire, n - 1, 9, &out), ST_MORE);
    assert_string_equal(out.host, "");
}

/* What OpenSSL's servers and nginx take; each found its name with them. */
static void unusual_hellos_are_read(void **state)
{
    static const uint8_t empty[] = {0x16, 3, 1, 0, 0};
    static uint8_t wire[SNIFF_STREAM_MAX + 4096], ext[SNIFF_STREAM_MAX];
    struct sniff out;

    (void)state;
    size_t n = hello_for(wire + 5, "a.example") + 5; /* empty records before it and within */
    memcpy(wire, empty, 5);
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_string_equal(out.host, "a.example");
    assert_decides(wire, n, n, ST_OK);
    n = hello_in_records(wire, 100);
    memmove(wire + 110, wire + 105, n - 105);
    memcpy(wire + 105, empty, 5);
    assert_int_equal(look(wire, n + 5, 50, &out), ST_OK);
    assert_string_equal(out.host, "tls.sni.example.com");
    n = hello_for(wire, "A.example:443"); /* nginx drops the port */
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_string_equal(out.host, "a.example");
    /* Extensions that no server of TLS 1.2 looks at may be anything: 60 twice, a broken key
     * share. */
    static const uint8_t odd[] = {0, 60, 0, 0, 0, 60, 0, 0, 0, 51, 0, 1, 9};
    size_t name = hello_for(wire, "a.example") - HELLO_FIXED, at = sizeof(odd);
    memcpy(ext, odd, at);
    memcpy(ext + at, wire + HELLO_FIXED, name);
    n = small_hello(wire, ext, at + name);
    assert_int_equal(look(wire, n, 9, &out), ST_OK);
    assert_string_equal(out.host, "a.example");
    /* Longer than what is looked at: what is there counts. */
    put_be24(wire + 6, 100000);
    put_be16(wire + 3, 16384);
    for (size_t i = 16389; i < sizeof(wire); i += 16389)
        memcpy(wire + i, (const uint8_t[]){0x16, 3, 1, 0x40, 0}, 5);
    assert_int_equal(look(wire, SNIFF_STREAM_MAX - 1, 4096, &out), ST_MORE);
    assert_int_equal(look(wire, SNIFF_STREAM_MAX, 4096, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_TLS);
    assert_string_equal(out.host, "a.example");
}

/* ---- BitTorrent ------------------------------------------------------------------------------ */

static void a_handshake_of_peers(void **state)
{
    static const char text[] = "\x13"
                               "BitTorrent protocol"
                               "\0\0\0\0\0\x10\0\x05";
    struct sniff out;

    (void)state;
    assert_decides((const uint8_t *)text, sizeof(text) - 1, 20, ST_OK);
    assert_int_equal(look(text, 20, 3, &out), ST_OK);
    assert_int_equal(out.protocol, SNIFF_BITTORRENT);
    assert_string_equal(sniff_protocol_str(out.protocol), "bittorrent");
    assert_null(sniff_protocol_str(SNIFF_NONE));
}

static enum status datagram(const void *p, size_t n)
{
    struct sniff_datagrams d = {0};
    struct sniff out;
    enum status st = sniff_datagrams_feed(&d, pool, NULL, p, n, &out);

    assert_null(d.quic);
    if (st == ST_OK)
        assert_int_equal(out.protocol, SNIFF_BITTORRENT);
    return st;
}

static enum status datagram_hex(const char *text)
{
    uint8_t p[128];

    return datagram(p, test_hex(text, p, sizeof(p)));
}

static void datagrams_of_bittorrent(void **state)
{
    static const char query[] = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    static const char answer[] = "d2:ip6:123456"
                                 "1:rd2:id20:abcdefghij0123456789e1:t2:aa1:v4:LT"
                                 "\x01\x02"
                                 "1:y1:re";
    static const char error[] = "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee";

    (void)state;
    assert_int_equal(datagram(query, strlen(query)), ST_OK);
    assert_int_equal(datagram(answer, strlen(answer)), ST_OK);
    assert_int_equal(datagram(error, strlen(error)), ST_OK);
    assert_int_equal(datagram(query, strlen(query) - 1), ST_E_NOTFOUND);
    /* uTP: a SYN; one with extension bits; the handshake in the first data */
    assert_int_equal(datagram_hex("41000000cf29418f000000000000000000000000"), ST_OK);
    assert_int_equal(datagram_hex("41021234cf29418f000000000010000000010000"
                                  "00080000000000000000"),
                     ST_OK);
    assert_int_equal(datagram_hex("01001235cf29418f0000003e0010000000020001"
                                  "13426974546f7272656e742070726f746f636f6c00"),
                     ST_OK);
    /* a tracker is asked for a connection */
    assert_int_equal(datagram_hex("000004172710198000000000deadbeef"), ST_OK);
}

static void datagrams_of_others(void **state)
{
    static const char *const other[] = {
        "", "41", "41000000cf29418f0000000000000000000000", /* a byte short */
        "41000000cf29418f000000000000000000000001",         /* acknowledges something */
        "41000000cf29418f000000010000000000000000",         /* knows the other's clock */
        "41000000cf29418f00000000000000000000000000",       /* payload */
        "41050000cf29418f0000000000000000000000000000",
        "41010000cf29418f00000000000000000000000000ff", /* an extension that is cut off */
        "01001235cf29418f0000003e0010000000020001", "000004172710198000000001deadbeef",
        "000004172710198000000000deadbe",
        /* DNS, WireGuard, STUN, DTLS */
        "12340100000100000000000003777777076578616d706c6503636f6d0000010001",
        "0100000005fb0a1c3b8d1f00112233445566778899aabbccddeeff00112233445566",
        "000100002112a442c0ffee00c0ffee00c0ffee00",
        "16fefd0000000000000000003f010000330000000000000033fefd", "64313a61", /* d1:a */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        assert_int_equal(datagram_hex(other[i]), ST_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_the_vectors),
        cmocka_unit_test(http_is_decided_by_its_host_and_not_before),
        cmocka_unit_test(the_authority_of_a_target_outranks_host),
        cmocka_unit_test(a_host_beside_an_authority_is_told_too),
        cmocka_unit_test(http_without_a_name_is_http),
        cmocka_unit_test(unusual_requests_are_read),
        cmocka_unit_test(long_heads_end_the_wait),
        cmocka_unit_test(others_are_decided_at_once),
        cmocka_unit_test(few_first_bytes_are_undecided),
        cmocka_unit_test(a_hello_is_read_however_it_is_cut),
        cmocka_unit_test(tls_without_a_usable_name_is_tls),
        cmocka_unit_test(unusual_hellos_are_read),
        cmocka_unit_test(a_handshake_of_peers),
        cmocka_unit_test(datagrams_of_bittorrent),
        cmocka_unit_test(datagrams_of_others),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
