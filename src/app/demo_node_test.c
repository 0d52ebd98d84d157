#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "app/demo_node.h"

static void kinds_are_found_by_word_and_method(void **state)
{
    static const struct {
        const char *word, *method, *name;
    } cases[] = {
        {NULL, NULL, "demo"},
        {"vless", NULL, "demo"},
        {"vmess", NULL, "demo-vmess"},
        {"trojan", NULL, "demo-trojan"},
        {"shadowsocks", NULL, "demo-ss"},
        {"ss", "aes-256-gcm", "demo-ss"},
        {"ss", "2022-blake3-aes-256-gcm", "demo-ss2022"},
        {"ss2022", NULL, "demo-ss2022"},
        {NULL, "none", "demo-ss"},
        {"socks", NULL, NULL},
        {"", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct demo_kind *k = demo_kind_find(cases[i].word, cases[i].method);
        if (cases[i].name == NULL)
            assert_null(k);
        else
            assert_string_equal(k->name, cases[i].name);
    }
}

static void what_does_not_go_together_is_named(void **state)
{
    static const struct {
        const char *word;
        struct demo_options o;
        const char *problem; /* NULL: fine */
    } cases[] = {
        {"vless", {.network = "ws", .tls = true}, NULL},
        {"vless", {.target = "a.example:443", .sni = "a.example"}, NULL},
        {"vless", {.sni = "a.example"}, "--sni"},
        {"vless", {.target = "a.example:443", .tls = true}, "--target"},
        {"vless", {.target = "a.example:443", .network = "ws"}, "--target"},
        {"vless", {.network = "grpc"}, "--network"},
        {"vmess", {.plain = true}, NULL},
        {"vmess", {.method = "aes-128-gcm"}, "--method"},
        {"trojan", {.target = "a.example:443"}, NULL},
        {"trojan", {.plain = true}, "--plain"},
        {"ss", {.plain = true}, NULL},
        {"ss", {.method = "plain"}, NULL},
        {"ss", {.method = "rc4"}, "--method rc4"},
        {"ss", {.tls = true}, "Shadowsocks"},
        {"ss", {.network = "ws"}, "Shadowsocks"},
        {"ss2022", {.method = "2022-blake3-aes-256-gcm"}, NULL},
        {"ss2022", {.method = "aes-256-gcm"}, "--method"},
        {"ss2022", {.method = "2022-blake3-chacha20-poly1305"}, NULL},
        {"ss2022", {.method = "2022-rc4"}, "--method 2022-rc4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct demo_options o = cases[i].o;
        char problem[DEMO_NODE_PROBLEM];
        o.kind = demo_kind_find(cases[i].word, o.method);
        assert_non_null(o.kind);
        bool good = demo_options_ok(&o, problem);
        const char *want = cases[i].problem;
        if (good != (want == NULL) || (!good && strncmp(problem, want, strlen(want)) != 0))
            fail_msg("case %zu: %s", i, problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_found_by_word_and_method),
        cmocka_unit_test(what_does_not_go_together_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
