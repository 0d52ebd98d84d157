#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/arena.h"
#include "policy/audit_list.h"

/* One list, compiled from texts. */
struct world {
    struct arena *arena;
    struct audit_list *list;
    struct audit audit;
    unsigned problems, guesses;
    char last[512]; /* "id text: problem" */
};

static void on_problem(void *arg, const struct audit_item *item, bool used, const char *problem)
{
    struct world *w = arg;

    *(used ? &w->guesses : &w->problems) += 1;
    snprintf(w->last, sizeof(w->last), "%u %.*s: %s", item->id, (int)item->len, item->text,
             problem);
}

static void begin_as(struct world *w, enum audit_as as, const char *const *texts, size_t count)
{
    struct audit_item *items = calloc(count + 1, sizeof(*items));

    *w = (struct world){.arena = arena_new()};
    assert_non_null(items);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct audit_item){
            .text = texts[i], .len = strlen(texts[i]), .id = (uint32_t)i + 1, .as = as};
    assert_int_equal(audit_list_build(w->arena, items, count, on_problem, w, &w->list), ST_OK);
    free(items);
    w->audit = (struct audit){.lists = {w->list}, .count = w->list != NULL};
}

#define BEGIN(w, ...)                                                                              \
    begin_as((w), AUDIT_AS_ANY, (const char *const[]){__VA_ARGS__},                                \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void end(struct world *w)
{
    audit_list_fini(w->list);
    arena_free(w->arena);
}

static const struct audit_rule *ask(const struct world *w, const char *host, uint16_t port,
                                    const char *sniffed, const char *protocol)
{
    struct target t;

    assert_int_equal(target_set_host(&t, host, strlen(host), port), ST_OK);
    const struct audit_flow f = {.target = &t, .sniffed_host = sniffed, .protocol = protocol};
    return audit_match(&w->audit, &f);
}

/* Number of the rule that blocks @host, 0: none. */
static unsigned blocks(const struct world *w, const char *host)
{
    const struct audit_rule *r = ask(w, host, 443, NULL, NULL);
    return r != NULL ? r->id : 0;
}

static void names_and_domains(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "domain:example.com", "full:only.example.org", "full:deep.a.example.com",
          "domain:net");
    assert_int_equal(blocks(&w, "example.com"), 1);
    assert_int_equal(blocks(&w, "a.b.EXAMPLE.com"), 1);
    assert_int_equal(blocks(&w, "example.com."), 1);
    assert_int_equal(blocks(&w, "deep.a.example.com"), 1);
    assert_int_equal(blocks(&w, "notexample.com"), 0);
    assert_int_equal(blocks(&w, "example.com.invalid"), 0);
    assert_int_equal(blocks(&w, "only.example.org"), 2);
    assert_int_equal(blocks(&w, "sub.only.example.org"), 0);
    assert_int_equal(blocks(&w, "example.org"), 0);
    assert_int_equal(blocks(&w, "any.net"), 4);
    assert_int_equal(blocks(&w, "..net"), 4);
    assert_int_equal(blocks(&w, "..."), 0);
    assert_true(audit_needs_sniffing(&w.audit));
    end(&w);
}

static void keywords(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "keyword:tracker", "google.com", "keyword:xx", "keyword:a-b", "keyword:qqqq",
          "keyword:Z9.");
    assert_int_equal(blocks(&w, "my.TRACKER.example"), 1);
    assert_int_equal(blocks(&w, "tracker"), 1);
    assert_int_equal(blocks(&w, "tracke.r"), 0);
    assert_int_equal(blocks(&w, "www.google.com.hk"), 2);
    assert_int_equal(blocks(&w, "googlexcom"), 0);
    assert_int_equal(blocks(&w, "axx"), 3);
    assert_int_equal(blocks(&w, "ax"), 0);
    assert_int_equal(blocks(&w, "a-b.c"), 4);
    assert_int_equal(blocks(&w, "1qqqq"), 5);
    assert_int_equal(blocks(&w, "qqq"), 0);
    assert_int_equal(blocks(&w, "z9.de"), 6);
    end(&w);
}

static void expressions(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "(.*\\.||)(dafahao|minghui|dongtaiwang)\\.(org|com|net)", "regexp:^ads?[0-9]+\\.",
          "(?i)CASINO[0-9]", "^10\\.1\\.", "\\.[a-z]{2}-onion$");
    assert_int_equal(w.problems, 0);
    assert_int_equal(blocks(&w, "www.minghui.org"), 1);
    assert_int_equal(blocks(&w, "MINGHUI.com"), 1);
    assert_int_equal(blocks(&w, "minghui.example"), 0);
    assert_int_equal(blocks(&w, "ad12.example"), 2);
    assert_int_equal(blocks(&w, "bad12.example"), 0);
    assert_int_equal(blocks(&w, "casino7.example"), 3);
    /* Of an address the text is looked at. */
    assert_int_equal(blocks(&w, "10.1.2.3"), 4);
    assert_int_equal(blocks(&w, "10.2.1.3"), 0);
    assert_int_equal(blocks(&w, "x.to-onion."), 5);
    end(&w);
}

/* What one program of the family looks at is "tcp:host:port". */
static void the_long_form(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "^tcp:mail\\..*:25$", "(?:udp):.*:53[0-9]$", "^(?i:tcp)x", "[[:alpha:]]{9}only");
    assert_non_null(ask(&w, "mail.example", 25, NULL, NULL));
    assert_null(ask(&w, "mail.example", 26, NULL, NULL));
    assert_null(ask(&w, "example", 25, NULL, NULL));
    struct target t;
    assert_int_equal(target_set_host(&t, "2001:db8::1", 11, 531), ST_OK);
    struct audit_flow f = {.target = &t, .udp = true};
    assert_int_equal(audit_match(&w.audit, &f)->id, 2);
    f.udp = false;
    assert_null(audit_match(&w.audit, &f));
    /* Not in the long form: its scheme and port are no part of the host. */
    assert_int_equal(blocks(&w, "tcpx.example"), 3);
    assert_int_equal(blocks(&w, "xtcp"), 0);
    end(&w);
    BEGIN(&w, "keyword:443", "regexp:4[4]3", "keyword:tcp");
    assert_int_equal(blocks(&w, "a.example"), 0);
    end(&w);
}

static void networks(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "10.0.0.0/8", "10.1.2.3", "ip:192.0.2.77/25", "2001:db8::/33", "ip:2001:db8::1",
          "::ffff:203.0.113.0/120", "0.0.0.1/32", "255.255.255.255", "fe80::/9", "1.1.1.1");
    assert_int_equal(blocks(&w, "10.255.255.255"), 1);
    assert_int_equal(blocks(&w, "10.1.2.3"), 1); /* the widest */
    assert_int_equal(blocks(&w, "11.0.0.0"), 0);
    assert_int_equal(blocks(&w, "9.255.255.255"), 0);
    assert_int_equal(blocks(&w, "192.0.2.0"), 3);
    assert_int_equal(blocks(&w, "192.0.2.127"), 3);
    assert_int_equal(blocks(&w, "192.0.2.128"), 0);
    assert_int_equal(blocks(&w, "2001:db8:7fff:ffff::1"), 4);
    assert_int_equal(blocks(&w, "2001:db8:8000::"), 0);
    assert_int_equal(blocks(&w, "203.0.113.9"), 6);
    assert_int_equal(blocks(&w, "::ffff:10.9.9.9"), 1);
    assert_int_equal(blocks(&w, "0.0.0.1"), 7);
    assert_int_equal(blocks(&w, "0.0.0.0"), 0);
    assert_int_equal(blocks(&w, "255.255.255.255"), 8);
    assert_int_equal(blocks(&w, "feff::"), 9);
    assert_int_equal(blocks(&w, "ff00::"), 0);
    assert_int_equal(blocks(&w, "1.1.1.10"), 0);
    assert_false(audit_needs_sniffing(&w.audit));
    end(&w);
    BEGIN(&w, "0.0.0.0/0", "::/0");
    assert_int_equal(blocks(&w, "8.8.8.8"), 1);
    assert_int_equal(blocks(&w, "2001::"), 2);
    assert_int_equal(blocks(&w, "a.name"), 0);
    end(&w);
}

/* An IPv6 address that leads to an IPv4 one is in that one's networks, too. */
static void networks_in_disguise(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "10.0.0.0/8", "64:ff9b::/112", "2002:0a00::/24");
    assert_int_equal(blocks(&w, "64:ff9b::10.1.2.3"), 1);
    assert_int_equal(blocks(&w, "2002:a01:203::1"), 3); /* the network of its own comes first */
    assert_int_equal(blocks(&w, "::10.1.2.3"), 1);
    assert_int_equal(blocks(&w, "64:ff9b::8.8.8.8"), 0);
    assert_int_equal(blocks(&w, "64:ff9b::0.0.8.8"), 2);
    assert_int_equal(blocks(&w, "2002:b01:203::1"), 0);
    assert_int_equal(blocks(&w, "2001:db8::10.1.2.3"), 0);
    end(&w);
    BEGIN(&w, "127.0.0.0/8", "::1", "0.0.0.1");
    assert_int_equal(blocks(&w, "0.0.0.0"), 1); /* where Linux connects to */
    assert_int_equal(blocks(&w, "::ffff:0.0.0.0"), 1);
    assert_int_equal(blocks(&w, "::"), 2);
    assert_int_equal(blocks(&w, "0.0.0.1"), 3);
    assert_int_equal(blocks(&w, "0.0.0.2"), 0);
    end(&w);
}

static void what_a_name_stands_for(void **state)
{
    static const char *const texts[] = {"8.8.8.8", "2001:db8::1", "10.1.2.3", "::ffff:10.1.2.3"};
    struct addr addrs[4];
    struct world w, second;
    size_t which = 9;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(addr_parse_ip(&addrs[i], texts[i], strlen(texts[i])), ST_OK);
    BEGIN(&w, "domain:example.com", "10.1.0.0/16");
    assert_true(audit_needs_addrs(&w.audit));
    assert_null(audit_match_addrs(&w.audit, addrs, 2, &which));
    assert_int_equal(audit_match_addrs(&w.audit, addrs, 3, &which)->id, 2);
    assert_int_equal(which, 2);
    assert_int_equal(audit_match_addrs(&w.audit, addrs + 3, 1, &which)->id, 2);
    assert_int_equal(which, 0);
    assert_null(audit_match_addrs(&w.audit, addrs, 0, &which));
    /* The first list comes first, whichever address it is. */
    BEGIN(&second, "keyword:abc", "regexp:^8\\.8", "port:53", "2001:db8::/32");
    const struct audit both = {.lists = {w.list, second.list}, .count = 2};
    assert_int_equal(audit_match_addrs(&both, addrs, 3, &which)->id, 2);
    assert_int_equal(audit_match_addrs(&both, addrs, 2, &which)->id, 4);
    assert_int_equal(which, 1);
    end(&second);
    end(&w);
    BEGIN(&w, "domain:example.com", "port:53", "regexp:^8\\.8", "protocol:tls");
    assert_false(audit_needs_addrs(&w.audit));
    assert_null(audit_match_addrs(&w.audit, addrs, 4, &which));
    assert_false(audit_needs_addrs(NULL));
    assert_null(audit_match_addrs(NULL, addrs, 4, &which));
    end(&w);
}

static void ports(void **state)
{
    struct world w;

    (void)state;
    begin_as(&w, AUDIT_AS_PORT, (const char *const[]){"25,465", "400-500", "100-200,450-65535"}, 3);
    assert_int_equal(ask(&w, "a.b", 25, NULL, NULL)->id, 1);
    assert_int_equal(ask(&w, "1.2.3.4", 465, NULL, NULL)->id, 2);
    assert_int_equal(ask(&w, "a.b", 100, NULL, NULL)->id, 3);
    assert_int_equal(ask(&w, "a.b", 200, NULL, NULL)->id, 3);
    assert_int_equal(ask(&w, "a.b", 65535, NULL, NULL)->id, 3);
    assert_null(ask(&w, "a.b", 201, NULL, NULL));
    assert_null(ask(&w, "a.b", 26, NULL, NULL));
    assert_false(audit_needs_sniffing(&w.audit));
    end(&w);
}

static void what_was_sniffed(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "protocol:bittorrent", "protocol:http", "domain:bad.example", "6.6.6.0/24");
    assert_true(audit_needs_sniffing(&w.audit));
    assert_int_equal(ask(&w, "1.2.3.4", 80, NULL, "bittorrent")->id, 1);
    assert_int_equal(ask(&w, "1.2.3.4", 80, "", "http1")->id, 2);
    assert_null(ask(&w, "1.2.3.4", 80, NULL, "tls"));
    assert_int_equal(ask(&w, "1.2.3.4", 443, "www.BAD.example.", "tls")->id, 3);
    assert_int_equal(ask(&w, "good.example", 443, "bad.example", "tls")->id, 3);
    assert_int_equal(ask(&w, "bad.example", 443, "good.example", "tls")->id, 3);
    assert_int_equal(ask(&w, "bad.example", 443, "bad.example", "tls")->id, 3);
    assert_int_equal(ask(&w, "good.example", 80, "6.6.6.6", NULL)->id, 4);
    assert_null(ask(&w, "good.example", 443, "also.example", "quic"));
    assert_null(ask(&w, "good.example", 443, "\xff\xfe", "tls"));
    end(&w);
    BEGIN(&w, "protocol:bittorrent");
    assert_true(audit_needs_sniffing(&w.audit));
    end(&w);
}

/* A name longer than any is a name like another; what is longer still is none. */
static void names_at_the_limit(void **state)
{
    char host[TARGET_HOST_MAX + 3];
    struct world w;

    (void)state;
    BEGIN(&w, "domain:com", "regexp:^x[a-z]+yy");
    memset(host, 'a', sizeof(host));
    memcpy(host + TARGET_HOST_MAX - 4, ".com", 5);
    assert_int_equal(blocks(&w, host), 1);
    memset(host, 'a', sizeof(host));
    memcpy(host + TARGET_HOST_MAX - 3, ".com", 5);
    assert_null(ask(&w, "1.1.1.1", 1, host, NULL));
    end(&w);
}

static void bad_rules_are_named(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "domain:good.example", "regexp:ab(c", "", "# nothing", "geosite:cn",
          "regexp:", "keyword:two");
    assert_int_equal(w.problems, 3);
    assert_int_equal(w.list->count - w.list->regexps.count, 3); /* the expression was read first */
    assert_int_equal(blocks(&w, "good.example"), 1);
    assert_int_equal(blocks(&w, "a.two"), 7);
    assert_int_equal(blocks(&w, "else.example"), 0);
    assert_int_equal(blocks(&w, "abc"), 0);
    end(&w);
    BEGIN(&w, "ab(c");
    assert_string_equal(w.last, "1 ab(c: missing closing parenthesis, at character 4");
    assert_null(w.list);
    end(&w);
    BEGIN(&w, "*.google.com");
    assert_int_equal(w.problems, 0);
    assert_int_equal(w.guesses, 1);
    assert_int_equal(blocks(&w, "mail.google.com"), 1);
    end(&w);
    BEGIN(&w, "", " ", "#");
    assert_null(w.list);
    assert_int_equal(w.problems, 0);
    end(&w);
}

static void a_rule_that_everything_matches_is_none(void **state)
{
    static const char *const all[] = {".*", ".+", ".",        "regexp:^", "a||b", "(a|)",
                                      "()", "$",  "[a-z0-9]", "^.*$",     "\\w",  "x?"};
    struct world w;

    (void)state;
    begin_as(&w, AUDIT_AS_ANY, all, sizeof(all) / sizeof(all[0]));
    assert_int_equal(w.problems, sizeof(all) / sizeof(all[0]));
    assert_null(w.list);
    assert_false(audit_needs_sniffing(&w.audit));
    end(&w);
    BEGIN(&w, "^[^.]*$", "^$", "\\.b"); /* names without a dot; nothing */
    assert_int_equal(w.problems, 0);
    assert_int_equal(blocks(&w, "intranet"), 1);
    assert_int_equal(blocks(&w, "a.b"), 3);
    end(&w);
}

/* Exponential without limits; and the rules behind it hold. */
/* As written for lists of other programs. */
static void a_rule_that_nothing_matches_is_named(void **state)
{
    static const char *const none[] = {"https?://a\\.example/", "a.example # why",
                                       "0.0.0.0 a.example", "(BitTorrent protocol|d1:a /)",
                                       "a\\.example\tads"};
    struct world w;

    (void)state;
    begin_as(&w, AUDIT_AS_ANY, none, sizeof(none) / sizeof(none[0]));
    assert_int_equal(w.problems, sizeof(none) / sizeof(none[0]));
    assert_null(w.list);
    end(&w);
    BEGIN(&w, "(BitTorrent protocol|get_peers)", "a[ /]?b", "tcp:a\\.example:25");
    assert_int_equal(w.problems, 0);
    assert_int_equal(blocks(&w, "get_peers.example"), 1);
    end(&w);
}

static void an_expression_that_never_ends(void **state)
{
    struct world w;

    (void)state;
    BEGIN(&w, "^(a+)+$", "^b[0-9]");
    assert_int_equal(blocks(&w, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-b"),
                     0);
    assert_int_equal(blocks(&w, "b1"), 2);
    end(&w);
}

static void too_many_expressions(void **state)
{
    enum { N = AUDIT_REGEXPS_MAX + 5 };
    static char texts[N][16];
    static const char *list[N];
    struct world w;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        snprintf(texts[i], sizeof(texts[i]), "^a+%zu$", i);
        list[i] = texts[i];
    }
    begin_as(&w, AUDIT_AS_ANY, list, N);
    assert_int_equal(w.problems, 5);
    assert_int_equal(blocks(&w, "aaa0"), 1);
    assert_int_equal(blocks(&w, "a1999"), 2000);
    assert_int_equal(blocks(&w, "a2000"), 0);
    end(&w);
}

/* A list as people have them; each rule is found, and what is next to it is not. */
static void a_hundred_thousand_rules(void **state)
{
    enum { N = 100000 };
    char(*texts)[40] = calloc(N, sizeof(*texts)), host[64];
    const char **list = calloc(N, sizeof(*list));
    struct world w;

    (void)state;
    assert_non_null(texts);
    assert_non_null(list);
    for (unsigned i = 0; i < N; i++) {
        static const char *const forms[] = {"domain:www.d%u.example.com", "full:f%u.example.com",
                                            "www.bare-word-%u.com", "ip:%u.%u.%u.0/25"};
        if (i % 4 == 3)
            snprintf(texts[i], sizeof(texts[i]), "ip:%u.%u.%u.0/25", 1 + i / 65536, i / 256 % 256,
                     i % 256);
        else
            snprintf(texts[i], sizeof(texts[i]),
                     i % 4 == 0   ? forms[0]
                     : i % 4 == 1 ? forms[1]
                                  : forms[2],
                     i);
        list[i] = texts[i];
    }
    begin_as(&w, AUDIT_AS_ANY, list, N);
    assert_int_equal(w.problems, 0);
    for (unsigned i = 0; i < N; i += 4) {
        snprintf(host, sizeof(host), "x.www.d%u.example.com", i);
        assert_int_equal(blocks(&w, host), i + 1);
        snprintf(host, sizeof(host), "f%u.example.com", i + 1);
        assert_int_equal(blocks(&w, host), i + 2);
        snprintf(host, sizeof(host), "a.www.bare-word-%u.com.", i + 2);
        assert_int_equal(blocks(&w, host), i + 3);
        snprintf(host, sizeof(host), "%u.%u.%u.127", 1 + (i + 3) / 65536, (i + 3) / 256 % 256,
                 (i + 3) % 256);
        assert_int_equal(blocks(&w, host), i + 4);
        snprintf(host, sizeof(host), "d%u.example.com", i);
        assert_int_equal(blocks(&w, host), 0);
    }
    end(&w);
    free(list);
    free(texts);
}

static void two_lists(void **state)
{
    struct world a, b;
    struct target t;

    (void)state;
    BEGIN(&a, "protocol:quic", "10.0.0.0/8");
    BEGIN(&b, "domain:b.example", "10.1.0.0/16");
    const struct audit both = {.lists = {a.list, b.list}, .count = 2};
    struct audit_flow f = {.target = &t};
    assert_int_equal(target_set_host(&t, "x.b.example", 11, 1), ST_OK);
    assert_ptr_equal(audit_match(&both, &f), &b.list->rules[0]);
    assert_int_equal(target_set_host(&t, "10.1.1.1", 8, 1), ST_OK);
    assert_ptr_equal(audit_match(&both, &f), &a.list->rules[1]);
    assert_true(audit_needs_sniffing(&both));
    assert_null(audit_match(NULL, &f));
    assert_false(audit_needs_sniffing(NULL));
    end(&a);
    end(&b);
}

static void *search_all_the_time(void *arg)
{
    const struct world *w = arg;
    size_t wrong = 0;

    for (int i = 0; i < 300; i++) {
        struct target t;
        char host[32];
        snprintf(host, sizeof(host), "%s%d.example", i % 2 == 0 ? "ads" : "oats", i);
        if (target_set_host(&t, host, strlen(host), 1) != ST_OK)
            return w->arena;
        const struct audit_flow f = {.target = &t};
        wrong += (audit_match(&w->audit, &f) != NULL) != (i % 2 == 0);
    }
    return wrong == 0 ? NULL : w->arena;
}

/* More threads than there are scratches. */
static void threads_share_a_list(void **state)
{
    enum { N = AUDIT_REGEXPS_SCRATCH + 2 };
    pthread_t threads[N];
    struct world w;

    (void)state;
    BEGIN(&w, "^never[0-9]", "^ads[0-9]+\\.");
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, search_all_the_time, &w), 0);
    for (int i = 0; i < N; i++) {
        void *wrong = &w;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_domains),
        cmocka_unit_test(keywords),
        cmocka_unit_test(expressions),
        cmocka_unit_test(the_long_form),
        cmocka_unit_test(networks),
        cmocka_unit_test(networks_in_disguise),
        cmocka_unit_test(what_a_name_stands_for),
        cmocka_unit_test(ports),
        cmocka_unit_test(what_was_sniffed),
        cmocka_unit_test(names_at_the_limit),
        cmocka_unit_test(bad_rules_are_named),
        cmocka_unit_test(a_rule_that_everything_matches_is_none),
        cmocka_unit_test(a_rule_that_nothing_matches_is_named),
        cmocka_unit_test(an_expression_that_never_ends),
        cmocka_unit_test(too_many_expressions),
        cmocka_unit_test(a_hundred_thousand_rules),
        cmocka_unit_test(two_lists),
        cmocka_unit_test(threads_share_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
