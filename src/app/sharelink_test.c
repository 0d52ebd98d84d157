#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "app/sharelink.h"
#include "codec/json.h"
#include "panelserver/db_node.h"
#include "panelserver/db_user.h"
#include "panelserver/textbuf.h"

#define UUID "b831381d-6324-4d53-ad4f-8cda48b30811"

static struct db_node node(const char *host, const char *network, const char *settings, int tls,
                           const char *tls_settings)
{
    struct db_node n;
    db_node_init(&n);
    n.port = 8443;
    n.tls = tls;
    strcpy(n.name, "Zürich #1");
    strcpy(n.host, host);
    strcpy(n.network, network);
    strcpy(n.network_settings, settings);
    strcpy(n.tls_settings, tls_settings);
    return n;
}

static struct sharelink link_of(const struct db_node *n)
{
    struct sharelink s;
    struct db_user u;
    const char *problem;
    db_user_init(&u);
    strcpy(u.name, "anna");
    strcpy(u.uuid, UUID);
    if (sharelink_from(&s, n, &u, &problem) != ST_OK)
        fail_msg("%s", problem);
    return s;
}

static void uri_is(const struct db_node *n, const char *want)
{
    struct sharelink s = link_of(n);
    struct textbuf t;
    textbuf_init(&t);
    sharelink_uri(&s, &t);
    textbuf_put(&t, "", 1);
    assert_false(t.failed);
    assert_string_equal(t.p, want);
    textbuf_fini(&t);
}

static struct json_t *parsed(struct textbuf *t)
{
    struct json_t *v;
    struct json_error err;
    assert_false(t->failed);
    if (json_parse(t->p, t->len, &v, &err) != ST_OK)
        fail_msg("%s in %.*s", err.text, (int)t->len, t->p);
    textbuf_fini(t);
    return v;
}

static void a_raw_node(void **state)
{
    (void)state;
    struct db_node n = node("n1.example.com", "tcp", "", 0, "");
    uri_is(&n, "vless://" UUID "@n1.example.com:8443?encryption=none&type=tcp&security=none"
               "#anna%40Z%C3%BCrich%20%231");
}

static void the_public_port_is_what_users_dial(void **state)
{
    (void)state;
    struct db_node n = node("1.2.3.4", "tcp", "", 0, "");
    n.public_port = 443;
    n.name[0] = '\0';
    uri_is(&n, "vless://" UUID "@1.2.3.4:443?encryption=none&type=tcp&security=none#anna");
}

static void a_self_signed_tls_node_on_ipv6(void **state)
{
    (void)state;
    struct db_node n = node("2001:db8::1", "tcp", "", 1,
                            "{\"server_name\":\"n1.example.com\",\"alpn\":[\"h2\",\"http/1.1\"],"
                            "\"allow_insecure\":\"1\"}");
    n.name[0] = '\0';
    uri_is(&n, "vless://" UUID "@[2001:db8::1]:8443?encryption=none&type=tcp&security=tls"
               "&sni=n1.example.com&alpn=h2%2Chttp%2F1.1&allowInsecure=1#anna");
}

static void websocket_path_and_host_are_encoded(void **state)
{
    (void)state;
    struct db_node n =
        node("n1.example.com", "ws",
             "{\"path\":\"ws path?ed=2048\",\"headers\":{\"Host\":\"cdn.example.com\"}}", 1,
             "{\"server_name\":\"n1.example.com\"}");
    n.name[0] = '\0';
    uri_is(&n, "vless://" UUID "@n1.example.com:8443?encryption=none&type=ws&security=tls"
               "&sni=n1.example.com&path=%2Fws%20path%3Fed%3D2048&host=cdn.example.com#anna");
}

static void a_reality_node_with_vision(void **state)
{
    (void)state;
    struct db_node n =
        node("192.0.2.7", "tcp", "", 2,
             "{\"server_name\":\"www.example.org\",\"server_names\":\"www.example.org,b.example\","
             "\"dest\":\"www.example.org:443\",\"private_key\":\"SECRET\",\"public_key\":\"PUB-_\","
             "\"short_ids\":[\"0123abcd\",\"\"],\"mldsa65Verify\":\"VER\"}");
    n.name[0] = '\0';
    strcpy(n.flow, "xtls-rprx-vision");
    uri_is(&n, "vless://" UUID "@192.0.2.7:8443?encryption=none&type=tcp&security=reality"
               "&sni=www.example.org&fp=chrome&pbk=PUB-_&sid=0123abcd&spx=%2F&pqv=VER"
               "&flow=xtls-rprx-vision#anna");
    struct sharelink s = link_of(&n);
    struct textbuf t;
    textbuf_init(&t);
    sharelink_xray(&s, 1080, &t);
    struct json_t *v = parsed(&t);
    const struct json_t *out = json_at(json_get(v, "outbounds"), 0);
    const struct json_t *reality = json_get(json_get(out, "streamSettings"), "realitySettings");
    assert_string_equal(json_get_str(reality, "serverName", ""), "www.example.org");
    assert_string_equal(json_get_str(reality, "publicKey", ""), "PUB-_");
    assert_string_equal(json_get_str(reality, "shortId", ""), "0123abcd");
    assert_string_equal(json_get_str(reality, "spiderX", ""), "/");
    assert_string_equal(json_get_str(reality, "mldsa65Verify", ""), "VER");
    assert_string_equal(json_get_str(reality, "fingerprint", ""), "chrome");
    json_unref(v);
    assert_int_equal(sharelink_sing_box(&s, 1080, &t), ST_OK);
    v = parsed(&t);
    out = json_at(json_get(v, "outbounds"), 0);
    assert_string_equal(json_get_str(out, "flow", ""), "xtls-rprx-vision");
    reality = json_get(json_get(out, "tls"), "reality");
    assert_string_equal(json_get_str(reality, "public_key", ""), "PUB-_");
    assert_string_equal(json_get_str(reality, "short_id", ""), "0123abcd");
    assert_string_equal(json_get_str(json_get(json_get(out, "tls"), "utls"), "fingerprint", ""),
                        "chrome");
    json_unref(v);
}

static void what_cannot_be_linked_is_told(void **state)
{
    (void)state;
    struct sharelink s;
    struct db_user u;
    const char *problem = NULL;
    db_user_init(&u);
    struct db_node n = node("", "tcp", "", 0, "");
    assert_int_equal(sharelink_from(&s, &n, &u, &problem), ST_E_CONFIG);
    assert_non_null(strstr(problem, "--host"));
    n = node("h", "tcp", "", 2, "{\"server_name\":\"a\"}");
    assert_int_equal(sharelink_from(&s, &n, &u, &problem), ST_E_CONFIG);
    assert_non_null(strstr(problem, "public key"));
    n = node("h", "tcp", "", 0, "");
    strcpy(n.type, "trojan");
    assert_int_equal(sharelink_from(&s, &n, &u, &problem), ST_E_UNSUPPORTED);
    n = node("h", "ws", "", 0, "");
    memset(n.network_settings, 'x', 600);
    memcpy(n.network_settings, "{\"path\":\"/", 10);
    memcpy(n.network_settings + 590, "\"}", 3);
    assert_int_equal(sharelink_from(&s, &n, &u, &problem), ST_E_CONFIG);
    assert_non_null(strstr(problem, "too long"));
}

static void configurations_are_json_with_the_same_facts(void **state)
{
    (void)state;
    struct db_node n =
        node("n1.example.com", "ws", "{\"path\":\"/x?ed=2048\",\"host\":\"cdn.example.com\"}", 1,
             "{\"server_name\":\"sni.example.com\",\"allow_insecure\":true}");
    struct sharelink s = link_of(&n);
    struct textbuf t;
    textbuf_init(&t);
    sharelink_xray(&s, 1081, &t);
    struct json_t *v = parsed(&t);
    const struct json_t *out = json_at(json_get(v, "outbounds"), 0);
    const struct json_t *stream = json_get(out, "streamSettings");
    assert_string_equal(json_get_str(json_get(stream, "wsSettings"), "path", ""), "/x?ed=2048");
    assert_string_equal(json_get_str(json_get(stream, "wsSettings"), "host", ""),
                        "cdn.example.com");
    assert_string_equal(json_get_str(json_get(stream, "tlsSettings"), "serverName", ""),
                        "sni.example.com");
    assert_true(json_get_bool(json_get(stream, "tlsSettings"), "allowInsecure", false));
    const struct json_t *server = json_at(json_get(json_get(out, "settings"), "vnext"), 0);
    assert_int_equal(json_get_int(server, "port", 0), 8443);
    assert_string_equal(json_get_str(json_at(json_get(server, "users"), 0), "id", ""), UUID);
    json_unref(v);

    assert_int_equal(sharelink_sing_box(&s, 1081, &t), ST_OK);
    v = parsed(&t);
    out = json_at(json_get(v, "outbounds"), 0);
    assert_string_equal(json_get_str(out, "uuid", ""), UUID);
    assert_string_equal(json_get_str(json_get(out, "transport"), "path", ""), "/x");
    assert_int_equal(json_get_int(json_get(out, "transport"), "max_early_data", 0), 2048);
    assert_true(json_get_bool(json_get(out, "tls"), "insecure", false));
    json_unref(v);

    strcpy(s.network, "xhttp");
    assert_int_equal(sharelink_sing_box(&s, 1081, &t), ST_E_UNSUPPORTED);
    textbuf_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_raw_node),
        cmocka_unit_test(the_public_port_is_what_users_dial),
        cmocka_unit_test(a_self_signed_tls_node_on_ipv6),
        cmocka_unit_test(websocket_path_and_host_are_encoded),
        cmocka_unit_test(a_reality_node_with_vision),
        cmocka_unit_test(what_cannot_be_linked_is_told),
        cmocka_unit_test(configurations_are_json_with_the_same_facts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
