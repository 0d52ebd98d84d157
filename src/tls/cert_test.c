#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "tls/cert.h"

static const char *path_of(const char *name, char *buf)
{
    const char *root = getenv("V2SP_SOURCE_ROOT");

    snprintf(buf, 512, "%s/src/tls/testdata/%s", root != NULL ? root : ".", name);
    return buf;
}

static enum status parse(struct cert *c, const struct cert_pem *chain, const char *key,
                         struct cert_error *err)
{
    return cert_parse(c, chain->chain, strlen(chain->chain), key, strlen(key), err);
}

static void test_self_signed(void **state)
{
    struct cert_pem pem, other;
    struct cert_error err;
    struct cert c;

    (void)state;
    assert_int_equal(cert_self_signed("Node.Example.org", &pem), ST_OK);
    assert_int_equal(cert_self_signed("Node.Example.org", &other), ST_OK);
    assert_string_not_equal(pem.key, other.key);
    assert_int_equal(parse(&c, &pem, pem.key, &err), ST_OK);
    int64_t left = cert_not_after(&c) - (int64_t)time(NULL);
    assert_true(left > 3651LL * 86400 && left <= 3653LL * 86400);

    struct arena *a = arena_new();
    const char *const *names;
    size_t n;
    assert_int_equal(cert_names(&c, a, &names, &n), ST_OK);
    assert_int_equal(n, 2); /* common name and SAN */
    assert_string_equal(names[0], "node.example.org");
    assert_string_equal(names[1], "node.example.org");
    arena_free(a);
    cert_fini(&c);
    cert_fini(&c);

    assert_int_equal(parse(&c, &pem, other.key, &err), ST_E_CONFIG);
    assert_non_null(strstr(err.text, "does not belong"));
}

static void test_self_signed_names(void **state)
{
    static const char *const good[] = {"192.0.2.1", "2001:db8::1", "localhost", "*.a.test"};
    char long_name[257];
    struct cert_pem pem;
    struct cert_error err;
    struct cert c;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(cert_self_signed(good[i], &pem), ST_OK);
        assert_int_equal(parse(&c, &pem, pem.key, &err), ST_OK);
        cert_fini(&c);
    }
    memset(long_name, 'a', 256);
    long_name[256] = '\0';
    for (size_t i = 50; i < 255; i += 50)
        long_name[i] = '.';
    assert_int_equal(cert_self_signed(long_name, &pem), ST_E_CONFIG);
    long_name[255] = '\0';
    assert_int_equal(cert_self_signed(long_name, &pem), ST_OK);
    assert_int_equal(cert_self_signed("", &pem), ST_E_CONFIG);
    assert_int_equal(cert_self_signed("a,DNS:b", &pem), ST_E_CONFIG);
}

static void test_match(void **state)
{
    static const char *const names[] = {"a.test", "*.b.test"};

    (void)state;
    assert_true(cert_names_match(names, 2, "a.test"));
    assert_true(cert_names_match(names, 2, "A.Test"));
    assert_true(cert_names_match(names, 2, "x.b.test"));
    assert_true(cert_names_match(names, 2, "*.b.test"));
    assert_false(cert_names_match(names, 2, "x.y.b.test"));
    assert_false(cert_names_match(names, 2, "b.test"));
    assert_false(cert_names_match(names, 2, "a.tes"));
    assert_false(cert_names_match(names, 2, "a.test."));
    assert_false(cert_names_match(names, 2, ""));
    assert_false(cert_names_match(NULL, 0, "a.test"));
}

/* Keys as old programs and people leave them, all for the chain in rsa.crt. */
static void test_key_labels(void **state)
{
    static const char *const keys[] = {"rsa_pkcs8.key", "rsa_pkcs1.key", "rsa_as_ec.key",
                                       "rsa_bundle.pem"};
    char chain[512], key[512];
    struct cert_error err;
    struct cert c;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        enum status st = cert_load(&c, path_of("rsa.crt", chain), path_of(keys[i], key), &err);
        if (st != ST_OK)
            fail_msg("%s: %s", keys[i], err.text);
        assert_non_null(c.chain); /* rsa.crt holds an intermediate too */
        cert_fini(&c);
    }
    assert_int_equal(
        cert_load(&c, path_of("ec.crt", chain), path_of("ec_with_parameters.key", key), &err),
        ST_OK);
    cert_fini(&c);
}

static void expect(const char *chain, const char *key, enum status st, const char *part)
{
    struct cert_error err;
    struct cert c;

    assert_int_equal(cert_parse(&c, chain, strlen(chain), key, strlen(key), &err), st);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    assert_null(c.leaf);
    assert_null(c.key);
}

static void test_errors(void **state)
{
    static const char damaged[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    static const char bad_key[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    static const char locked[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    char path[512];
    struct cert_pem pem;
    struct cert_error err;
    struct cert c;

    (void)state;
    assert_int_equal(cert_self_signed("a", &pem), ST_OK);
    expect("", pem.key, ST_E_CONFIG, "no certificate");
    expect("hello", pem.key, ST_E_CONFIG, "no certificate");
    expect(damaged, pem.key, ST_E_CONFIG, "certificate");
    expect(pem.chain, "", ST_E_CONFIG, "no private key");
    expect(pem.chain, pem.chain, ST_E_CONFIG, "no private key");
    expect(pem.chain, bad_key, ST_E_CONFIG, "damaged private key");
    expect(pem.chain, locked, ST_E_CONFIG, "encrypted");
    assert_int_equal(cert_load(&c, path_of("none.crt", path), path, &err), ST_E_NOTFOUND);
    assert_non_null(strstr(err.text, "none.crt"));
    assert_int_equal(cert_load(&c, "/dev/zero", path_of("none.crt", path), &err), ST_E_CONFIG);
}

/* Nobody writes to it: whoever opened it would wait for ever. */
static void test_pipe(void **state)
{
    char dir[] = "/tmp/cert_test.XXXXXX", path[64];
    struct cert_error err;
    struct cert c;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(cert_load(&c, path, path, &err), ST_E_CONFIG);
    assert_non_null(strstr(err.text, "pipe"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_self_signed), cmocka_unit_test(test_self_signed_names),
        cmocka_unit_test(test_match),       cmocka_unit_test(test_key_labels),
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_pipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
