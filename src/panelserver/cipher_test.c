#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "panelserver/cipher.h"

#define UUID "b831381d-6324-4d53-ad4f-8cda48b30811"

static void names_are_found_in_every_spelling(void **state)
{
    (void)state;
    assert_string_equal(cipher_find("aes-256-gcm")->name, "aes-256-gcm");
    assert_ptr_equal(cipher_find("chacha20-poly1305"), cipher_find("chacha20-ietf-poly1305"));
    assert_ptr_equal(cipher_find("xchacha20-poly1305"), cipher_find("xchacha20-ietf-poly1305"));
    assert_ptr_equal(cipher_find("plain"), cipher_find("none"));
    assert_int_equal(cipher_find("2022-blake3-aes-128-gcm")->key_bytes, 16);
    assert_int_equal(cipher_find("2022-blake3-aes-256-gcm")->key_bytes, 32);
    assert_true(cipher_find("2022-blake3-chacha20-poly1305")->single);
    assert_true(cipher_find("none")->single);
    assert_false(cipher_find("2022-blake3-aes-256-gcm")->single);
    assert_null(cipher_find("rc4-md5"));
    assert_null(cipher_find(""));
}

static void keys_have_the_length_of_their_cipher(void **state)
{
    (void)state;
    static const struct {
        const char *cipher, *key;
        bool good;
    } cases[] = {
        {"2022-blake3-aes-128-gcm", "8JCsPssfgS8tiRwiMlhARg==", true},
        {"2022-blake3-aes-128-gcm", "8JCsPssfgS8tiRwiMlhARg", false},
        {"2022-blake3-aes-128-gcm", "", false},
        {"2022-blake3-aes-256-gcm", "8JCsPssfgS8tiRwiMlhARg==", false},
        {"2022-blake3-aes-256-gcm", "YctPZ6U7xPPcU+gp3u+0tx/tRizJN9K8y+uKlW2qjlI=", true},
        {"2022-blake3-aes-256-gcm", "YctPZ6U7xPPcU-gp3u-0tx_tRizJN9K8y-uKlW2qjlI=", false},
        {"2022-blake3-aes-256-gcm", "YctPZ6U7xPPcU+gp3u+0tx/tRizJN9K8y+uKlW2qjlIAAAAAAAA=", false},
        {"aes-128-gcm", "", true},
        {"aes-128-gcm", "8JCsPssfgS8tiRwiMlhARg==", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cipher_key_ok(cipher_find(cases[i].cipher), cases[i].key) != cases[i].good)
            fail_msg("%s with \"%s\"", cases[i].cipher, cases[i].key);
    }
    char first[CIPHER_KEY_TEXT], second[CIPHER_KEY_TEXT];
    for (int i = 0; i < 2; i++) {
        const struct cipher *c =
            cipher_find(i == 0 ? "2022-blake3-aes-128-gcm" : "2022-blake3-aes-256-gcm");
        assert_int_equal(cipher_key_new(c, first), ST_OK);
        assert_int_equal(cipher_key_new(c, second), ST_OK);
        assert_true(cipher_key_ok(c, first));
        assert_string_not_equal(first, second);
    }
    assert_int_equal(cipher_key_new(cipher_find("none"), first), ST_OK);
    assert_string_equal(first, "");
}

/* The characters of the UUID, not its bytes: base64 of "b831381d-6324-4d" and of the first 32. */
static void a_users_key_is_the_beginning_of_his_uuid(void **state)
{
    (void)state;
    char key[CIPHER_KEY_TEXT];
    cipher_user_key(cipher_find("2022-blake3-aes-128-gcm"), UUID, key);
    assert_string_equal(key, "YjgzMTM4MWQtNjMyNC00ZA==");
    cipher_user_key(cipher_find("2022-blake3-aes-256-gcm"), UUID, key);
    assert_string_equal(key, "YjgzMTM4MWQtNjMyNC00ZDUzLWFkNGYtOGNkYTQ4YjM=");
    cipher_user_key(cipher_find("2022-blake3-aes-256-gcm"), "short", key);
    assert_string_equal(key, "");
    cipher_user_key(cipher_find("2022-blake3-chacha20-poly1305"), UUID, key);
    assert_string_equal(key, "");
    cipher_user_key(cipher_find("aes-256-gcm"), UUID, key);
    assert_string_equal(key, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_in_every_spelling),
        cmocka_unit_test(keys_have_the_length_of_their_cipher),
        cmocka_unit_test(a_users_key_is_the_beginning_of_his_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
