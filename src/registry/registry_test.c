#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "codec/json.h"
#include "registry/registry.h"

static void finds_every_entry_by_every_name(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; registry_transport_at(i) != NULL; i++) {
        const struct transport *t = registry_transport_at(i);
        assert_ptr_equal(registry_transport(t->name), t);
        assert_non_null(t->parse_conf);
        for (size_t k = 0; t->aliases != NULL && t->aliases[k] != NULL; k++)
            assert_ptr_equal(registry_transport(t->aliases[k]), t);
    }
    assert_true(i >= 3);
    for (i = 0; registry_proto_at(i) != NULL; i++) {
        assert_ptr_equal(registry_proto(registry_proto_at(i)->name), registry_proto_at(i));
        assert_non_null(registry_proto_at(i)->server);
    }
    assert_true(i >= 1);
}

static void letter_case_does_not_matter_and_parts_do_not_match(void **state)
{
    (void)state;
    assert_ptr_equal(registry_transport("WS"), registry_transport("ws"));
    assert_ptr_equal(registry_proto("VLess"), registry_proto("vless"));
    assert_null(registry_proto("vles"));
    assert_null(registry_proto("vlessx"));
    assert_null(registry_proto(""));
    assert_null(registry_proto(NULL));
    assert_null(registry_transport("w"));
    assert_null(registry_transport("wss s"));
}

static void the_plain_network_has_no_layer(void **state)
{
    static const char *const names[] = {"tcp", "raw", "RAW", "", NULL};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct transport *t = registry_transport(names[i]);
        assert_non_null(t);
        assert_null(t->server);
        assert_int_equal(t->role, TRANSPORT_NETWORK);
    }
}

static void the_plain_network_refuses_an_http_header(void **state)
{
    static const struct {
        const char *text;
        enum status st;
    } cases[] = {
        {"null", ST_OK},
        {"[]", ST_OK},
        {"{\"header\": {\"type\": \"none\"}}", ST_OK},
        {"{\"header\": []}", ST_OK},
        {"{\"header\": {\"type\": \"http\"}}", ST_E_CONFIG},
        {"{\"header\": {\"type\": \"srtp\"}}", ST_E_CONFIG},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct conf_context ctx = {0};
        const void *conf = &ctx;
        struct conf_error err = {""};
        struct json_error bad;
        struct json_t *v;
        assert_int_equal(json_parse(cases[i].text, strlen(cases[i].text), &v, &bad), ST_OK);
        assert_int_equal(registry_transport("tcp")->parse_conf(a, v, &ctx, &conf, &err),
                         cases[i].st);
        assert_null(conf);
        assert_int_equal(err.text[0] == '\0', cases[i].st == ST_OK);
        json_unref(v);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_entry_by_every_name),
        cmocka_unit_test(letter_case_does_not_matter_and_parts_do_not_match),
        cmocka_unit_test(the_plain_network_has_no_layer),
        cmocka_unit_test(the_plain_network_refuses_an_http_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
