#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/audit_rule.h"

static const struct reads {
    enum audit_as as;
    const char *text;
    enum audit_kind kind;
    const char *value;
} reads[] = {
    /* Prefixes, whatever the list is for. */
    {AUDIT_AS_ANY, "domain:Example.COM", AUDIT_DOMAIN, "example.com"},
    {AUDIT_AS_PORT, "DOMAIN: example.com. ", AUDIT_DOMAIN, "example.com"},
    {AUDIT_AS_ANY, "domain:*.example.com", AUDIT_DOMAIN, "example.com"},
    {AUDIT_AS_ANY, "domain:.example.com", AUDIT_DOMAIN, "example.com"},
    {AUDIT_AS_ANY, "full:A.example.", AUDIT_FULL, "a.example"},
    {AUDIT_AS_ANY, "keyword:Tracker", AUDIT_KEYWORD, "tracker"},
    {AUDIT_AS_ANY, "regexp:^ads?\\.", AUDIT_REGEXP, "^ads?\\."},
    {AUDIT_AS_ANY, "regex: ^ads?\\.", AUDIT_REGEXP, "^ads?\\."},
    {AUDIT_AS_ANY, "ip:10.0.0.0/8", AUDIT_NET, "10.0.0.0/8"},
    {AUDIT_AS_ANY, "port:25, 465 ,1000-2000", AUDIT_PORT, "25, 465 ,1000-2000"},
    {AUDIT_AS_ANY, "protocol:bittorrent", AUDIT_PROTOCOL, "bittorrent"},
    {AUDIT_AS_ANY, "protocol:HTTP", AUDIT_PROTOCOL, "http1"},
    /* Without one it is what the list is for. */
    {AUDIT_AS_NET, " 2001:DB8::/32\r", AUDIT_NET, "2001:db8::/32"},
    {AUDIT_AS_PORT, "53", AUDIT_PORT, "53"},
    {AUDIT_AS_PROTOCOL, "quic", AUDIT_PROTOCOL, "quic"},
    /* Or else looks like. */
    {AUDIT_AS_ANY, "1.2.3.4", AUDIT_NET, "1.2.3.4"},
    {AUDIT_AS_ANY, "1.2.3.0/24", AUDIT_NET, "1.2.3.0/24"},
    {AUDIT_AS_ANY, "::1", AUDIT_NET, "::1"},
    {AUDIT_AS_ANY, "*.google.com", AUDIT_DOMAIN, "google.com"},
    {AUDIT_AS_ANY, "Torrent", AUDIT_KEYWORD, "torrent"},
    {AUDIT_AS_ANY, "google.com", AUDIT_KEYWORD, "google.com"},
    {AUDIT_AS_ANY, "google\\.com", AUDIT_KEYWORD, "google.com"},
    {AUDIT_AS_ANY, "(.*\\.||)(dafahao|minghui)\\.(org|com)", AUDIT_REGEXP,
     "(.*\\.||)(dafahao|minghui)\\.(org|com)"},
    {AUDIT_AS_ANY, "1.2.3", AUDIT_KEYWORD, "1.2.3"},
    {AUDIT_AS_ANY, "[0-9]/33", AUDIT_REGEXP, "[0-9]/33"},
    /* Expressions that need no search. */
    {AUDIT_AS_ANY, "^a\\.com$", AUDIT_FULL, "a.com"},
    {AUDIT_AS_ANY, "(^|\\.)A\\.com$", AUDIT_DOMAIN, "a.com"},
    {AUDIT_AS_ANY, "regexp:^(.+\\.)?a\\-b\\.com$", AUDIT_DOMAIN, "a-b.com"},
    {AUDIT_AS_ANY, "regexp:abc", AUDIT_KEYWORD, "abc"},
    /* An unescaped dot is any character there. */
    {AUDIT_AS_ANY, "regexp:a.com", AUDIT_REGEXP, "a.com"},
    {AUDIT_AS_ANY, "(^|\\.)a.com$", AUDIT_REGEXP, "(^|\\.)a.com$"},
    {AUDIT_AS_ANY, "a\\.com$", AUDIT_REGEXP, "a\\.com$"},
    {AUDIT_AS_ANY, "a\\$", AUDIT_REGEXP, "a\\$"},
    {AUDIT_AS_ANY, "domain.example", AUDIT_KEYWORD, "domain.example"},
};

static void what_an_item_means(void **state)
{
    struct audit_reading r;

    (void)state;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        const struct reads *c = &reads[i];
        enum status st = audit_rule_read(c->as, c->text, strlen(c->text), &r);
        if (st != ST_OK || r.kind != c->kind || r.len != strlen(c->value) ||
            memcmp(r.value, c->value, r.len) != 0)
            fail_msg("%s: status %d, kind %d, value %.*s", c->text, st, (int)r.kind, (int)r.len,
                     r.value);
        assert_int_equal(r.guessed, c->text[0] == '*');
    }
}

static void what_says_nothing(void **state)
{
    static const char *const texts[] = {"", "   ", "\r\n", "# a comment", "\t#"};
    struct audit_reading r;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(audit_rule_read(AUDIT_AS_ANY, texts[i], strlen(texts[i]), &r),
                         ST_E_NOTFOUND);
}

static void what_is_no_rule(void **state)
{
    static const struct {
        enum audit_as as;
        const char *text;
        enum status st;
    } bad[] = {
        {AUDIT_AS_ANY, "domain:", ST_E_PROTO},
        {AUDIT_AS_ANY, "domain:*.", ST_E_PROTO},
        {AUDIT_AS_ANY, "keyword: ", ST_E_PROTO},
        {AUDIT_AS_ANY, "regexp:", ST_E_PROTO},
        {AUDIT_AS_ANY, ".", ST_E_PROTO},
        {AUDIT_AS_ANY, "\\.", ST_E_PROTO},
        {AUDIT_AS_ANY, "keyword:..", ST_E_PROTO},
        {AUDIT_AS_ANY, "full:.", ST_E_PROTO},
        {AUDIT_AS_ANY, "domain:http://a.com/", ST_E_PROTO},
        {AUDIT_AS_ANY,
         "domain:b\xc3\xbc"
         "cher.example",
         ST_E_PROTO},
        {AUDIT_AS_ANY, "ip:a.com", ST_E_PROTO},
        {AUDIT_AS_ANY, "keyword:two words", ST_E_PROTO},
        {AUDIT_AS_ANY,
         "keyword:b\xc3\xbc"
         "cher",
         ST_E_PROTO},
        {AUDIT_AS_NET, "10.0.0.0/33", ST_E_PROTO},
        {AUDIT_AS_ANY, "10.0.0.0/33", ST_E_PROTO},
        {AUDIT_AS_ANY, "10.0.0/24", ST_E_PROTO},
        {AUDIT_AS_ANY, "10.0.0.0/255.0.0.0", ST_E_PROTO},
        {AUDIT_AS_ANY, "2001:db8::/129", ST_E_PROTO},
        {AUDIT_AS_NET, "10.0.0.0/", ST_E_PROTO},
        {AUDIT_AS_ANY, "port:0", ST_E_PROTO},
        {AUDIT_AS_ANY, "port:65536", ST_E_PROTO},
        {AUDIT_AS_ANY, "port:20-10", ST_E_PROTO},
        {AUDIT_AS_ANY, "port:80,x", ST_E_PROTO},
        {AUDIT_AS_PORT, ",", ST_E_PROTO},
        {AUDIT_AS_PORT, "1-", ST_E_PROTO},
        {AUDIT_AS_PORT, "80 81", ST_E_PROTO},
        {AUDIT_AS_ANY, "protocol:ftp", ST_E_PROTO},
        {AUDIT_AS_ANY, "geosite:cn", ST_E_UNSUPPORTED},
        {AUDIT_AS_NET, "geoip:!cn", ST_E_UNSUPPORTED},
        {AUDIT_AS_ANY, "ext:file.dat:cn", ST_E_UNSUPPORTED},
    };
    struct audit_reading r;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum status st = audit_rule_read(bad[i].as, bad[i].text, strlen(bad[i].text), &r);
        if (st != bad[i].st || r.error == NULL)
            fail_msg("%s: status %d", bad[i].text, st);
    }
}

static void bytes_that_are_no_text(void **state)
{
    static char longer[AUDIT_TEXT_MAX + 2];
    struct audit_reading r;

    (void)state;
    memset(longer, 'a', sizeof(longer) - 1);
    assert_int_equal(audit_rule_read(AUDIT_AS_ANY, longer, AUDIT_TEXT_MAX + 1, &r), ST_E_PROTO);
    assert_int_equal(audit_rule_read(AUDIT_AS_ANY, "a\0b", 3, &r), ST_E_PROTO);
    memcpy(longer, "keyword:", 8);
    assert_int_equal(audit_rule_read(AUDIT_AS_ANY, longer, 8 + AUDIT_VALUE_MAX, &r), ST_OK);
    assert_int_equal(audit_rule_read(AUDIT_AS_ANY, longer, 9 + AUDIT_VALUE_MAX, &r), ST_E_PROTO);
}

static void mapped_networks_are_ip4(void **state)
{
    struct audit_reading r;

    (void)state;
    assert_int_equal(audit_rule_read(AUDIT_AS_NET, "::ffff:10.0.0.0/104", 19, &r), ST_OK);
    assert_int_equal(r.net.net.family, ADDR_IP4);
    assert_int_equal(r.net.bits, 8);
    assert_int_equal(r.net.net.ip[0], 10);
}

static void ports_one_by_one(void **state)
{
    static const char text[] = " 53, 1000-2000,,80:81 ";
    static const uint16_t want[][2] = {{53, 53}, {1000, 2000}, {80, 81}};
    size_t at = 0, n = 0;
    uint16_t lo, hi;

    (void)state;
    while (audit_rule_next_port(text, sizeof(text) - 1, &at, &lo, &hi) == ST_OK) {
        assert_true(n < 3);
        assert_int_equal(lo, want[n][0]);
        assert_int_equal(hi, want[n][1]);
        n++;
    }
    assert_int_equal(n, 3);
    assert_int_equal(audit_rule_next_port(text, sizeof(text) - 1, &at, &lo, &hi), ST_EOF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_item_means),      cmocka_unit_test(what_says_nothing),
        cmocka_unit_test(what_is_no_rule),         cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(mapped_networks_are_ip4), cmocka_unit_test(ports_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
