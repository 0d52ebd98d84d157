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
#include "base/textbuf.h"

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
    const char *lacks;
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
    assert_int_equal(sharelink_sing_box(&s, 1080, &t, &lacks), ST_OK);
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
    const char *lacks;
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

    assert_int_equal(sharelink_sing_box(&s, 1081, &t, &lacks), ST_OK);
    v = parsed(&t);
    out = json_at(json_get(v, "outbounds"), 0);
    assert_string_equal(json_get_str(out, "uuid", ""), UUID);
    assert_string_equal(json_get_str(json_get(out, "transport"), "path", ""), "/x");
    assert_int_equal(json_get_int(json_get(out, "transport"), "max_early_data", 0), 2048);
    assert_true(json_get_bool(json_get(out, "tls"), "insecure", false));
    json_unref(v);

    strcpy(s.network, "xhttp");
    assert_int_equal(sharelink_sing_box(&s, 1081, &t, &lacks), ST_E_UNSUPPORTED);
    assert_string_equal(lacks, "network xhttp");
    textbuf_fini(&t);
}

/* ---- the other protocols --------------------------------------------------------------------- */

static struct db_node shadowsocks(const char *cipher, const char *server_key)
{
    struct db_node n = node("n1.example.com", "tcp", "", 0, "");
    strcpy(n.type, "shadowsocks");
    strcpy(n.cipher, cipher);
    strcpy(n.server_key, server_key);
    n.name[0] = '\0';
    return n;
}

static void vless_encryption_is_in_the_link(void **state)
{
    (void)state;
    struct db_node n = node("n1.example.com", "tcp", "", 0, "");
    struct textbuf t;
    const char *lacks;
    n.name[0] = '\0';
    strcpy(n.decryption, "mlkem768x25519plus.native.600s.SECRET");
    strcpy(n.encryption, "mlkem768x25519plus.native.0rtt.PUB_-");
    uri_is(&n, "vless://" UUID "@n1.example.com:8443?encryption=mlkem768x25519plus.native.0rtt."
               "PUB_-&type=tcp&security=none#anna");
    struct sharelink s = link_of(&n);
    textbuf_init(&t);
    sharelink_xray(&s, 1080, &t);
    struct json_t *v = parsed(&t);
    const struct json_t *settings = json_get(json_at(json_get(v, "outbounds"), 0), "settings");
    const struct json_t *server = json_at(json_get(settings, "vnext"), 0);
    assert_string_equal(json_get_str(json_at(json_get(server, "users"), 0), "encryption", ""),
                        n.encryption);
    json_unref(v);
    assert_int_equal(sharelink_sing_box(&s, 1080, &t, &lacks), ST_E_UNSUPPORTED);
    assert_string_equal(lacks, "VLESS encryption");
}

/* {"v":"2","ps":"anna@Zürich #1","add":"2001:db8::1","port":"8443", ...} */
static void vmess_is_v2rayns_json(void **state)
{
    (void)state;
    struct db_node n =
        node("2001:db8::1", "ws", "{\"path\":\"/m?ed=2048\",\"host\":\"cdn.example.com\"}", 1,
             "{\"server_name\":\"n1.example.com\",\"allow_insecure\":\"1\"}");
    strcpy(n.type, "vmess");
    uri_is(&n, "vmess://"
               "eyJ2IjoiMiIsInBzIjoiYW5uYUBaw7xyaWNoICMxIiwiYWRkIjoiMjAwMTpkYjg6OjEiLC"
               "Jwb3J0IjoiODQ0MyIsImlkIjoiYjgzMTM4MWQtNjMyNC00ZDUzLWFkNGYtOGNkYTQ4YjMw"
               "ODExIiwiYWlkIjoiMCIsInNjeSI6ImF1dG8iLCJuZXQiOiJ3cyIsInR5cGUiOiJub25lIi"
               "wiaG9zdCI6ImNkbi5leGFtcGxlLmNvbSIsInBhdGgiOiIvbT9lZD0yMDQ4IiwidGxzIjoi"
               "dGxzIiwic25pIjoibjEuZXhhbXBsZS5jb20iLCJhbHBuIjoiIiwiZnAiOiIiLCJpbnNlY3"
               "VyZSI6IjEiLCJhbGxvd0luc2VjdXJlIjoiMSJ9");
    n = node("1.2.3.4", "tcp", "", 0, "");
    strcpy(n.type, "vmess");
    n.name[0] = '\0';
    uri_is(&n, "vmess://"
               "eyJ2IjoiMiIsInBzIjoiYW5uYSIsImFkZCI6IjEuMi4zLjQiLCJwb3J0IjoiODQ0MyIsIm"
               "lkIjoiYjgzMTM4MWQtNjMyNC00ZDUzLWFkNGYtOGNkYTQ4YjMwODExIiwiYWlkIjoiMCIs"
               "InNjeSI6ImF1dG8iLCJuZXQiOiJ0Y3AiLCJ0eXBlIjoibm9uZSIsImhvc3QiOiIiLCJwYX"
               "RoIjoiIiwidGxzIjoiIiwic25pIjoiIiwiYWxwbiI6IiIsImZwIjoiIn0=");
    /* The JSON has no place for REALITY's keys. */
    n = node("2001:db8::1", "tcp", "", 2,
             "{\"server_name\":\"www.example.org\",\"public_key\":\"PUB\",\"short_id\":\"01\"}");
    strcpy(n.type, "vmess");
    n.name[0] = '\0';
    uri_is(&n, "vmess://" UUID "@[2001:db8::1]:8443?encryption=auto&type=tcp&security=reality"
               "&sni=www.example.org&fp=chrome&pbk=PUB&sid=01&spx=%2F#anna");
}

static void trojan_has_the_uuid_as_password(void **state)
{
    (void)state;
    struct db_node n = node("n1.example.com", "tcp", "", 1,
                            "{\"server_name\":\"n1.example.com\",\"fingerprint\":\"firefox\","
                            "\"allow_insecure\":1}");
    strcpy(n.type, "trojan");
    uri_is(&n, "trojan://" UUID "@n1.example.com:8443?type=tcp&security=tls&sni=n1.example.com"
               "&fp=firefox&allowInsecure=1#anna%40Z%C3%BCrich%20%231");
    n = node("2001:db8::1", "ws", "{\"path\":\"/t\",\"host\":\"cdn.example.com\"}", 1, "");
    strcpy(n.type, "trojan");
    n.name[0] = '\0';
    uri_is(&n, "trojan://" UUID "@[2001:db8::1]:8443?type=ws&security=tls&path=%2Ft"
               "&host=cdn.example.com#anna");
    n = node("1.2.3.4", "tcp", "", 2,
             "{\"server_name\":\"www.example.org\",\"public_key\":\"PUB\",\"short_id\":\"01\"}");
    strcpy(n.type, "trojan");
    n.name[0] = '\0';
    uri_is(&n, "trojan://" UUID "@1.2.3.4:8443?type=tcp&security=reality&sni=www.example.org"
               "&fp=chrome&pbk=PUB&sid=01&spx=%2F#anna");
}

/* The examples of SIP002 and SIP022 with our passwords: base64url without padding; 2022 in the
 * clear, percent-encoded. */
static void shadowsocks_is_sip002(void **state)
{
    (void)state;
    struct db_node n = shadowsocks("aes-128-gcm", "");
    uri_is(&n, "ss://"
               "YWVzLTEyOC1nY206YjgzMTM4MWQtNjMyNC00ZDUzLWFkNGYtOGNkYTQ4YjMwODEx@n1.example.com:"
               "8443#anna");
    n = shadowsocks("chacha20-poly1305", "");
    strcpy(n.host, "2001:db8::1");
    strcpy(n.name, "Zürich #1");
    uri_is(&n, "ss://"
               "Y2hhY2hhMjAtaWV0Zi1wb2x5MTMwNTpiODMxMzgxZC02MzI0LTRkNTMtYWQ0Zi04Y2RhNDhiMzA4MTE@["
               "2001:db8::1]:8443"
               "#anna%40Z%C3%BCrich%20%231");
    n = shadowsocks("2022-blake3-aes-256-gcm", "YctPZ6U7xPPcU+gp3u+0tx/tRizJN9K8y+uKlW2qjlI=");
    uri_is(&n, "ss://2022-blake3-aes-256-gcm:YctPZ6U7xPPcU%2Bgp3u%2B0tx%2FtRizJN9K8y%2BuKlW2qjlI%3D"
               "%3AYjgzMTM4MWQtNjMyNC00ZDUzLWFkNGYtOGNkYTQ4YjM%3D@n1.example.com:8443#anna");
    struct sharelink s = link_of(&n);
    strcpy(n.cipher, "2022-blake3-chacha20-poly1305"); /* no users: the node's key is all */
    uri_is(&n, "ss://2022-blake3-chacha20-poly1305:YctPZ6U7xPPcU%2Bgp3u%2B0tx%2FtRizJN9K8y%2B"
               "uKlW2qjlI%3D@n1.example.com:8443#anna");
    assert_string_equal(s.password, "YctPZ6U7xPPcU+gp3u+0tx/tRizJN9K8y+uKlW2qjlI=:"
                                    "YjgzMTM4MWQtNjMyNC00ZDUzLWFkNGYtOGNkYTQ4YjM=");
}

/* Both clients: protocol, and where they want its secret. */
static void every_protocol_has_its_configurations(void **state)
{
    (void)state;
    static const struct {
        const char *type, *list, *key, *value;
    } cases[] = {
        {"vmess", "vnext", "id", UUID},
        {"trojan", "servers", "password", UUID},
        {"shadowsocks", "servers", "password", "8JCsPssfgS8tiRwiMlhARg==:YjgzMTM4MWQtNjMyNC00ZA=="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct db_node n = shadowsocks("2022-blake3-aes-128-gcm", "8JCsPssfgS8tiRwiMlhARg==");
        const char *lacks;
        struct textbuf t;
        strcpy(n.type, cases[i].type);
        struct sharelink s = link_of(&n);
        textbuf_init(&t);
        sharelink_xray(&s, 1080, &t);
        struct json_t *v = parsed(&t);
        const struct json_t *out = json_at(json_get(v, "outbounds"), 0);
        assert_string_equal(json_get_str(out, "protocol", ""), cases[i].type);
        const struct json_t *server =
            json_at(json_get(json_get(out, "settings"), cases[i].list), 0);
        assert_string_equal(json_get_str(server, "address", ""), "n1.example.com");
        const struct json_t *user = json_get(server, "users");
        user = user != NULL ? json_at(user, 0) : server;
        assert_string_equal(json_get_str(user, cases[i].key, ""), cases[i].value);
        json_unref(v);
        assert_int_equal(sharelink_sing_box(&s, 1080, &t, &lacks), ST_OK);
        v = parsed(&t);
        out = json_at(json_get(v, "outbounds"), 0);
        assert_string_equal(json_get_str(out, "type", ""), cases[i].type);
        bool uuid = strcmp(cases[i].key, "id") == 0;
        assert_string_equal(json_get_str(out, uuid ? "uuid" : "password", ""), cases[i].value);
        json_unref(v);
    }
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
        cmocka_unit_test(vless_encryption_is_in_the_link),
        cmocka_unit_test(vmess_is_v2rayns_json),
        cmocka_unit_test(trojan_has_the_uuid_as_password),
        cmocka_unit_test(shadowsocks_is_sip002),
        cmocka_unit_test(every_protocol_has_its_configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
