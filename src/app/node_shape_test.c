#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "app/node_shape.h"
#include "panelserver/db_node.h"

/* A pair from `v2sp vlessenc`. */
#define DEC "mlkem768x25519plus.native.600s.dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo"
#define ENC "mlkem768x25519plus.native.0rtt.hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"

static struct db_node node(const char *type, const char *network, int tls)
{
    struct db_node n;
    db_node_init(&n);
    strcpy(n.type, type);
    strcpy(n.network, network);
    n.tls = tls;
    return n;
}

static void fill(struct db_node *n, struct node_wish wish)
{
    char problem[NODE_SHAPE_PROBLEM];
    if (node_shape_fill(n, &wish, problem) != ST_OK)
        fail_msg("%s", problem);
}

static void refused(struct db_node n, struct node_wish wish, const char *option, const char *word)
{
    char problem[NODE_SHAPE_PROBLEM];
    assert_int_equal(node_shape_fill(&n, &wish, problem), ST_E_CONFIG);
    if (strncmp(problem, option, strlen(option)) != 0 || strstr(problem, word) == NULL)
        fail_msg("%s", problem);
}

static void shadowsocks_gets_a_cipher_and_a_key(void **state)
{
    (void)state;
    struct db_node n = node("shadowsocks", "tcp", 0);
    fill(&n, (struct node_wish){0});
    assert_string_equal(n.cipher, "2022-blake3-aes-128-gcm");
    assert_int_equal(strlen(n.server_key), 24);
    /* The key stays as long as it fits. */
    char first[CIPHER_KEY_TEXT];
    strcpy(first, n.server_key);
    fill(&n, (struct node_wish){0});
    assert_string_equal(n.server_key, first);
    fill(&n, (struct node_wish){.cipher = "2022-blake3-aes-256-gcm"});
    assert_int_equal(strlen(n.server_key), 44);
    fill(&n, (struct node_wish){.cipher = "chacha20-poly1305"});
    assert_string_equal(n.cipher, "chacha20-ietf-poly1305");
    assert_string_equal(n.server_key, "");
    fill(&n, (struct node_wish){.cipher = "2022-blake3-aes-128-gcm",
                                .server_key = "8JCsPssfgS8tiRwiMlhARg=="});
    assert_string_equal(n.server_key, "8JCsPssfgS8tiRwiMlhARg==");
}

static void what_shadowsocks_cannot_have_is_named(void **state)
{
    (void)state;
    struct db_node n = node("shadowsocks", "tcp", 0);
    refused(n, (struct node_wish){.cipher = "rc4-md5"}, "--cipher rc4-md5", "aes-128-gcm");
    refused(n, (struct node_wish){.cipher = "aes-128-gcm", .server_key = "abcd"}, "--server-key",
            "2022");
    refused(n, (struct node_wish){.server_key = "abcd"}, "--server-key", "24 characters");
    refused(n, (struct node_wish){.flow = "xtls-rprx-vision"}, "--flow", "vless");
    refused(n, (struct node_wish){.encryption = "native"}, "--encryption", "vless");
    refused(n, (struct node_wish){.carrier = "--path"}, "--path", "shadowsocks");
    refused(node("shadowsocks", "ws", 0), (struct node_wish){.network = "ws"}, "--network ws",
            "tcp");
    refused(node("shadowsocks", "tcp", 1), (struct node_wish){.tls = "tls"}, "--tls tls",
            "Shadowsocks");
    refused(node("vmess", "tcp", 0), (struct node_wish){.cipher = "none"}, "--cipher",
            "--type shadowsocks");
    refused(node("snell", "tcp", 0), (struct node_wish){0}, "--type snell", "vmess");
}

/* A node that becomes another keeps nothing that only the old one had. */
static void another_type_drops_what_it_cannot_have(void **state)
{
    (void)state;
    struct db_node n = node("vless", "ws", 1);
    fill(&n, (struct node_wish){.encryption = "native"});
    strcpy(n.flow, "xtls-rprx-vision");
    strcpy(n.network_settings, "{\"path\":\"/\"}");
    strcpy(n.type, "shadowsocks");
    fill(&n, (struct node_wish){0});
    assert_string_equal(n.network, "tcp");
    assert_string_equal(n.network_settings, "");
    assert_string_equal(n.flow, "");
    assert_string_equal(n.decryption, "");
    assert_string_equal(n.encryption, "");
    assert_int_equal(n.tls, DB_TLS_NONE);
    strcpy(n.type, "trojan");
    fill(&n, (struct node_wish){0});
    assert_string_equal(n.cipher, "");
    assert_string_equal(n.server_key, "");
    assert_int_equal(n.tls, DB_TLS_TLS);
}

static void trojan_has_tls(void **state)
{
    (void)state;
    struct db_node n = node("trojan", "tcp", DB_TLS_REALITY);
    fill(&n, (struct node_wish){.tls = "reality"});
    assert_int_equal(n.tls, DB_TLS_REALITY);
    assert_string_equal(n.flow, "");
    refused(node("trojan", "tcp", 0), (struct node_wish){.tls = "none"}, "--tls none", "Trojan");
}

static void vless_encryption_gets_its_pair(void **state)
{
    (void)state;
    struct db_node n = node("vless", "tcp", 0);
    fill(&n, (struct node_wish){.encryption = "xorpub"});
    assert_memory_equal(n.decryption, "mlkem768x25519plus.xorpub.600s.", 31);
    assert_memory_equal(n.encryption, "mlkem768x25519plus.xorpub.0rtt.", 31);
    assert_int_equal(strlen(n.encryption), 31 + 43);
    fill(&n, (struct node_wish){.encryption = "random", .auth = "mlkem768", .ticket = "0s"});
    assert_memory_equal(n.encryption, "mlkem768x25519plus.random.1rtt.", 31);
    assert_int_equal(strlen(n.encryption), 31 + 1579);
    char kept[64];
    memcpy(kept, n.decryption, sizeof kept);
    fill(&n, (struct node_wish){0});
    assert_memory_equal(n.decryption, kept, sizeof kept);
    fill(&n, (struct node_wish){.decryption = DEC, .encryption = ENC});
    assert_string_equal(n.decryption, DEC);
    assert_string_equal(n.encryption, ENC);
    fill(&n, (struct node_wish){.encryption = "none"});
    assert_string_equal(n.decryption, "");
    assert_string_equal(n.encryption, "");

    refused(n, (struct node_wish){.encryption = "fast"}, "--encryption fast", "native");
    refused(n, (struct node_wish){.encryption = ENC}, "--encryption", "--decryption");
    refused(n, (struct node_wish){.decryption = DEC}, "--decryption", "--encryption");
    refused(n, (struct node_wish){.decryption = DEC "x y", .encryption = ENC}, "--decryption", "");
    refused(n, (struct node_wish){.decryption = "mlkem768x25519plus.loud.1s.A", .encryption = ENC},
            "--decryption", "mode");
    refused(n, (struct node_wish){.ticket = "60s"}, "--encryption-auth and", "native");
    refused(n, (struct node_wish){.encryption = "native", .ticket = "soon"}, "--encryption-ticket",
            "seconds");
    refused(n, (struct node_wish){.encryption = "native", .auth = "rsa"}, "--encryption-auth rsa",
            "x25519");
}

static void vision_is_where_it_can_be(void **state)
{
    (void)state;
    struct db_node n = node("vless", "tcp", DB_TLS_REALITY);
    fill(&n, (struct node_wish){.tls = "reality"});
    assert_string_equal(n.flow, "xtls-rprx-vision");
    strcpy(n.network, "ws");
    n.tls = DB_TLS_TLS;
    fill(&n, (struct node_wish){.network = "ws"});
    assert_string_equal(n.flow, "");
    strcpy(n.flow, "xtls-rprx-vision");
    refused(n, (struct node_wish){.flow = "xtls-rprx-vision"}, "--flow", "--encryption");
    fill(&n, (struct node_wish){.flow = "xtls-rprx-vision", .encryption = "native"});
    assert_string_equal(n.flow, "xtls-rprx-vision");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shadowsocks_gets_a_cipher_and_a_key),
        cmocka_unit_test(what_shadowsocks_cannot_have_is_named),
        cmocka_unit_test(another_type_drops_what_it_cannot_have),
        cmocka_unit_test(trojan_has_tls),
        cmocka_unit_test(vless_encryption_gets_its_pair),
        cmocka_unit_test(vision_is_where_it_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
