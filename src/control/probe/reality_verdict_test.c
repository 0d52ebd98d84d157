#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/probe/reality_verdict.h"

#define ALL (REALITY_PROBE_FLIGHT | REALITY_PROBE_CERT | REALITY_PROBE_HTTP)

static struct reality_probe_result well(void)
{
    return (struct reality_probe_result){.answer_ms = 23,
                                         .suite = 0x1301,
                                         .group = 0x11ec,
                                         .shape = {.len = {1215, 6, 40, 2345, 286, 58}},
                                         .has_facts = true,
                                         .facts = {.version = 0x0304,
                                                   .alpn = "h2",
                                                   .covers_name = true,
                                                   .trusted = true,
                                                   .chain_bytes = 2890,
                                                   .expires_s = 40 * 86400},
                                         .http_status = 200};
}

/* Fails unless the lines are @want, with "+", "?" and "-" for their marks. */
static void lines_are(const struct reality_probe_result *r, unsigned steps, const char *want)
{
    struct reality_line lines[REALITY_LINES_MAX];
    char got[REALITY_LINES_MAX * REALITY_LINE_BYTES] = "";
    size_t n = reality_verdict_lines(r, "a.example", steps, lines);
    for (size_t i = 0; i < n; i++) {
        char mark[3] = {"+?-"[lines[i].mark], ' ', '\0'};
        strcat(got, mark);
        strcat(got, lines[i].text);
        strcat(got, "\n");
    }
    assert_string_equal(got, want);
}

static void a_good_target(void **state)
{
    (void)state;
    struct reality_probe_result r = well();
    lines_are(&r, ALL,
              "+ reachable, answers in 23 ms\n"
              "+ TLS 1.3, X25519MLKEM768, AES-128-GCM, certificate record of 2345 bytes\n"
              "+ ALPN h2\n"
              "+ certificate for a.example, chain of 2890 bytes, 40 days left\n"
              "+ HTTP 200, no redirect to another host\n");
    assert_true(reality_verdict_excellent(&r));
    r.group = 0x001d;
    r.suite = 0x1302;
    r.shape = (struct flight_shape){.len = {127, 6, 3100}, .combined = true};
    lines_are(&r, REALITY_PROBE_FLIGHT,
              "+ reachable, answers in 23 ms\n"
              "+ TLS 1.3, X25519, AES-256-GCM, flight of 3100 bytes in one record\n");
}

static void a_doubtful_target(void **state)
{
    (void)state;
    struct reality_probe_result r = well();
    r.answer_ms = 1200;
    strcpy(r.facts.alpn, "");
    r.facts.covers_name = false;
    r.http_status = 301;
    strcpy(r.location, "https://www.elsewhere.example/x");
    lines_are(&r, ALL,
              "? reachable, but slow: answers in 1200 ms\n"
              "+ TLS 1.3, X25519MLKEM768, AES-128-GCM, certificate record of 2345 bytes\n"
              "? it does not choose h2 by ALPN (nothing at all), as sites of today do\n"
              "? its certificate is not for a.example: whoever looks will see it; choose a name in "
              "it\n"
              "? HTTP 301: redirects away from a.example, to https://www.elsewhere.example/x\n");
    assert_false(reality_verdict_excellent(&r));
    r = well();
    r.facts.trusted = false;
    strcpy(r.facts.doubt, "self-signed certificate");
    r.http_status = 0;
    lines_are(&r, REALITY_PROBE_CERT | REALITY_PROBE_HTTP,
              "+ reachable, answers in 23 ms\n"
              "+ TLS 1.3, X25519MLKEM768, AES-128-GCM, certificate record of 2345 bytes\n"
              "+ ALPN h2\n"
              "? certificate for a.example, chain of 2890 bytes, but not trusted: self-signed "
              "certificate\n"
              "? no answer to an HTTP request\n");
    r.has_facts = false;
    strcpy(r.cert_problem, "wrong version number");
    lines_are(&r, REALITY_PROBE_CERT,
              "+ reachable, answers in 23 ms\n"
              "+ TLS 1.3, X25519MLKEM768, AES-128-GCM, certificate record of 2345 bytes\n"
              "? its certificate could not be looked at: wrong version number\n");
}

static void a_bad_target_is_one_line(void **state)
{
    (void)state;
    struct reality_probe_result r = {.down = true, .problem = "Connection refused"};
    lines_are(&r, ALL, "- not reachable: Connection refused\n");
    r.down = false;
    strcpy(r.problem, "it does not speak TLS 1.3");
    lines_are(&r, ALL, "- it does not speak TLS 1.3\n");
    assert_false(reality_verdict_excellent(&r));
}

static void our_flight_must_fit(void **state)
{
    (void)state;
    static const struct {
        struct flight_shape shape;
        uint16_t suite;
        bool mldsa;
        const char *problem;
    } cases[] = {
        {{.len = {127, 6, 28, 213, 94, 58}}, 0x1301, false, ""},
        {{.len = {127, 6, 27, 213, 94, 58}},
         0x1301,
         false,
         "its EncryptedExtensions record has 27 bytes, ours needs 28"},
        {{.len = {127, 6, 28, 212, 94, 58}},
         0x1301,
         false,
         "its Certificate record has 212 bytes, ours needs 213"},
        {{.len = {127, 6, 28, 213, 93, 58}},
         0x1301,
         false,
         "its CertificateVerify record has 93 bytes, ours needs 94"},
        {{.len = {127, 6, 28, 213, 94, 58}},
         0x1302,
         false,
         "its Finished record has 58 bytes, ours needs 74"},
        {{.len = {127, 6, 28, 3543, 94, 58}},
         0x1301,
         true,
         "its Certificate record has 3543 bytes, ours needs 3544 (with mldsa65Seed)"},
        {{.len = {127, 6, 28, 3544, 94, 58}}, 0x1301, true, ""},
        {{.len = {127, 6, 327}, .combined = true}, 0x1301, false, ""},
        {{.len = {127, 6, 3657}, .combined = true},
         0x1301,
         true,
         "its flight has 3657 bytes, ours needs 3658 (with mldsa65Seed)"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reality_probe_result r = {.shape = cases[i].shape, .suite = cases[i].suite};
        reality_verdict_fit(&r, cases[i].mldsa);
        assert_string_equal(r.problem, cases[i].problem);
    }
}

static void http_heads(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int status;
        const char *location;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 200, ""},
        {"HTTP/1.0 302 Found\r\nX: y\r\nLOCATION:  https://b.example/ x\r\n\r\n", 302,
         "https://b.example/"},
        {"HTTP/1.1 301 Moved\r\nLocation: /a\x1b[2J\r\n\r\n", 301, "/a?[2J"},
        {"HTTP/1.1 301 Moved\r\nLoc", 301, ""},
        {"HTTP/1.1 200 OK\r\nLocation: https://b.example/\r\n\r\n", 200, ""},
        {"SSH-2.0-x", 0, ""},
        {"HTTP/1.", 0, ""},
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reality_probe_result r = {.http_status = 0};
        reality_verdict_http(&r, cases[i].head);
        assert_int_equal(r.http_status, cases[i].status);
        assert_string_equal(r.location, cases[i].location);
    }
    /* To the same host, or without one, is no way out. */
    static const char *const here[] = {"https://A.example/x", "/x", "https://a.example:443/x",
                                       "//a.example?x"};
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        struct reality_probe_result r = well();
        struct reality_line lines[REALITY_LINES_MAX];
        r.http_status = 301;
        strcpy(r.location, here[i]);
        size_t n = reality_verdict_lines(&r, "a.example", ALL, lines);
        assert_int_equal(lines[n - 1].mark, REALITY_GOOD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_target),
        cmocka_unit_test(a_doubtful_target),
        cmocka_unit_test(a_bad_target_is_one_line),
        cmocka_unit_test(our_flight_must_fit),
        cmocka_unit_test(http_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
