/* The formats against what the reference wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/uuid.h"
#include "codec/json.h"
#include "codec/test_vectors.h"
#include "crypto/checksum.h"
#include "crypto/rng.h"
#include "proto/vmess/chunks.h"
#include "proto/vmess/header.h"

#define WIRE_MAX 4096

struct world {
    struct json_t *all;
    struct vmess_kdf kdf;
    struct crypto_ctx cc;
    struct rng rng;
    struct pool *pool;
    uint8_t uuid[16], key[VMESS_KEY_LEN]; /* of the user of all streams */
};

static size_t field(const struct json_t *o, const char *name, uint8_t *dst, size_t cap)
{
    const char *hex = json_get_str(o, name, NULL);
    assert_non_null(hex);
    return test_hex(hex, dst, cap);
}

static int set_up(void **state)
{
    static struct world w;

    w.all = test_vectors("src/proto/vmess/testdata/vmess.json");
    if (crypto_ctx_init(&w.cc) != ST_OK || rng_init(&w.rng) != ST_OK ||
        (w.pool = pool_new(0)) == NULL)
        return -1;
    const char *uuid = json_get_str(w.all, "uuid", "");
    if (uuid_parse(w.uuid, uuid, strlen(uuid)) != ST_OK)
        return -1;
    vmess_kdf_init(&w.kdf);
    vmess_kdf_user(w.uuid, w.key);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    json_unref(w->all);
    rng_fini(&w->rng);
    crypto_ctx_fini(&w->cc);
    assert_int_equal(pool_used(w->pool), 0);
    pool_free(w->pool);
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void derives_the_keys_of_users(void **state)
{
    struct world *w = *state;
    const struct json_t *list = json_get(w->all, "uuid_parse");

    assert_true(json_array_len(list) >= 5);
    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i);
        const char *text = json_get_str(o, "uuid", "");
        uint8_t uuid[16], want[16], got[16];
        assert_int_equal(uuid_parse(uuid, text, strlen(text)), ST_OK);
        field(o, "cmd_key", want, sizeof(want));
        vmess_kdf_user(uuid, got);
        assert_memory_equal(got, want, 16);
    }
}

static void derives_keys_along_paths(void **state)
{
    static const struct {
        const char *name;
        enum vmess_label label;
    } labels[] = {
        {"AES Auth ID Encryption", VMESS_LABEL_AUTH_ID},
        {"AEAD Resp Header Len Key", VMESS_LABEL_ANSWER_LENGTH_KEY},
        {"VMess Header AEAD Key", VMESS_LABEL_HEADER_KEY},
        {"auth_len", VMESS_LABEL_CHUNK_LENGTH},
    };
    struct world *w = *state;
    const struct json_t *list = json_get(w->all, "kdf");
    unsigned done = 0;

    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *o = json_at(list, i), *path = json_get(o, "path_ascii");
        uint8_t key[16], want[32], got[16];
        field(o, "key", key, sizeof(key));
        field(o, "kdf32", want, sizeof(want));
        for (size_t k = 0; json_array_len(path) > 0 && k < 4; k++) {
            if (strcmp(json_str(json_at(path, 0)), labels[k].name) != 0)
                continue;
            if (json_array_len(path) == 3)
                vmess_kdf_request(&w->kdf, labels[k].label, key,
                                  (const uint8_t *)json_str(json_at(path, 1)),
                                  (const uint8_t *)json_str(json_at(path, 2)), got);
            else
                vmess_kdf_key(&w->kdf, labels[k].label, key, got);
            assert_memory_equal(got, want, 16);
            done++;
        }
    }
    assert_int_equal(done, 4);
}

static void reads_the_auth_id(void **state)
{
    struct world *w = *state;
    const struct json_t *o = json_get(w->all, "auth_id");
    uint8_t plain[16], sum[16];
    int64_t time_s;

    field(o, "plain", plain, sizeof(plain));
    assert_true(vmess_auth_id_read(plain, &time_s));
    assert_int_equal(time_s, json_get_int(o, "time", 0));
    for (unsigned i = 0; i < 16; i++) {
        memcpy(sum, plain, 16);
        sum[i] ^= 0x10;
        assert_false(vmess_auth_id_read(sum, &time_s));
    }
}

/* ---- streams --------------------------------------------------------------------------------- */

struct stream {
    const struct json_t *o;
    uint8_t request[WIRE_MAX], response[WIRE_MAX], plain[WIRE_MAX];
    size_t request_len, response_len, plain_len;
    struct vmess_header h;
    size_t header_end;
    uint8_t key[VMESS_KEY_LEN], iv[VMESS_KEY_LEN]; /* of the answer */
};

static void read_stream(struct world *w, const struct json_t *o, struct stream *s)
{
    uint8_t copy[WIRE_MAX];
    size_t len = 0;
    struct why why = {0};

    memset(s, 0, sizeof(*s));
    s->o = o;
    s->request_len = field(o, "request", s->request, WIRE_MAX);
    s->response_len = field(o, "response", s->response, WIRE_MAX);
    s->plain_len = field(o, "header_plain", s->plain, WIRE_MAX);
    memcpy(copy, s->request, s->request_len);
    assert_int_equal(vmess_header_length(&w->kdf, &w->cc, w->key, copy, &len), ST_OK);
    assert_int_equal(len, s->plain_len);
    assert_int_equal(vmess_header_open(&w->kdf, &w->cc, w->key, copy, len), ST_OK);
    assert_memory_equal(copy + VMESS_FIXED_LEN, s->plain, len);
    s->header_end = VMESS_FIXED_LEN + len + AEAD_TAG_LEN;
    assert_int_equal(vmess_header_parse(s->plain, len, &s->h, &why), ST_OK);
    vmess_kdf_answer(&w->kdf, s->h.key, s->key);
    vmess_kdf_answer(&w->kdf, s->h.iv, s->iv);
}

/* Calls @fn for all streams. */
static void for_streams(struct world *w, void (*fn)(struct world *, struct stream *))
{
    const struct json_t *list = json_get(w->all, "streams");

    assert_int_equal(json_array_len(list), 13);
    for (size_t i = 0; i < json_array_len(list); i++) {
        struct stream s;
        read_stream(w, json_at(list, i), &s);
        fn(w, &s);
    }
}

static void check_header(struct world *w, struct stream *s)
{
    char want[TARGET_STRLEN], got[TARGET_STRLEN];
    uint8_t key[16];

    (void)w;
    assert_int_equal(s->h.command, json_get_int(s->o, "command", 0));
    assert_int_equal(s->h.options, json_get_int(s->o, "option", 0));
    assert_int_equal(s->h.security, json_get_int(s->o, "security", 0));
    assert_int_equal(s->h.verifier, json_get_int(s->o, "response_v", 0));
    field(s->o, "body_key", key, 16);
    assert_memory_equal(s->h.key, key, 16);
    field(s->o, "body_iv", key, 16);
    assert_memory_equal(s->h.iv, key, 16);
    field(s->o, "resp_key", key, 16);
    assert_memory_equal(s->key, key, 16);
    field(s->o, "resp_iv", key, 16);
    assert_memory_equal(s->iv, key, 16);
    if (s->h.command == VMESS_MUX)
        return;
    snprintf(want, sizeof(want), "%s:%d", json_get_str(s->o, "dest", ""),
             (int)json_get_int(s->o, "port", 0));
    assert_string_equal(target_str(&s->h.target, got), want);
}

static void reads_the_requests_of_the_reference(void **state)
{
    for_streams(*state, check_header);
}

static size_t join(const struct json_t *list, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_len(list); i++)
        n += test_hex(json_str(json_at(list, i)), out + n, WIRE_MAX - n);
    return n;
}

/* Opens @n bytes of a body fed in pieces of @piece bytes and compares with @list. */
static void check_body(struct world *w, struct vmess_chunks *c, const uint8_t *wire, size_t n,
                       size_t piece, const struct json_t *list)
{
    uint8_t want[WIRE_MAX], got[WIRE_MAX];
    size_t want_len = join(list, want);
    struct bufq in, up;

    bufq_init(&in, UINT32_MAX);
    bufq_init(&up, UINT32_MAX);
    for (size_t at = 0; at < n; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        assert_int_equal(bufq_put(&in, wire + at, take, w->pool), ST_OK);
        enum status st = vmess_chunks_open(c, &w->cc, w->pool, &in, &up, false);
        assert_true(st == ST_OK || st == ST_MORE);
    }
    assert_true(c->ended);
    assert_int_equal(in.bytes, 0);
    assert_int_equal(up.bytes, want_len);
    bufq_peek(&up, got, want_len);
    assert_memory_equal(got, want, want_len);
    bufq_clear(&up, w->pool);
}

static bool is_raw(const struct stream *s)
{
    return s->h.security == VMESS_NONE && !(s->h.options & VMESS_CHUNKS);
}

static void check_bodies(struct world *w, struct stream *s)
{
    static const size_t pieces[] = {1, 2, 3, 7, 17, 18, 19, WIRE_MAX};

    if (is_raw(s))
        return;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct vmess_chunks c;
        vmess_chunks_init(&c, &w->kdf, &s->h, s->h.key, s->h.iv);
        check_body(w, &c, s->request + s->header_end, s->request_len - s->header_end, pieces[i],
                   json_get(s->o, "request_payloads"));
        vmess_chunks_fini(&c, w->pool);
        vmess_chunks_init(&c, &w->kdf, &s->h, s->key, s->iv);
        check_body(w, &c, s->response + VMESS_ANSWER_LEN, s->response_len - VMESS_ANSWER_LEN,
                   pieces[i], json_get(s->o, "response_payloads"));
        vmess_chunks_fini(&c, w->pool);
    }
}

static void opens_the_bodies_of_the_reference(void **state)
{
    for_streams(*state, check_bodies);
}

/* The same bytes as the reference, but for what it drew as padding. */
static void check_answer(struct world *w, struct stream *s)
{
    const struct json_t *list = json_get(s->o, "response_payloads");
    const struct json_t *ends = json_get(s->o, "response_chunk_end_offsets");
    uint8_t answer[VMESS_ANSWER_LEN], payload[WIRE_MAX], got[WIRE_MAX];
    struct vmess_prefix prefix = {answer, sizeof(answer)};
    struct bufq down, out;
    struct vmess_chunks c;
    size_t at = 0;

    assert_int_equal(vmess_answer_seal(&w->kdf, &w->cc, s->key, s->iv, s->h.verifier, answer),
                     ST_OK);
    assert_memory_equal(answer, s->response, sizeof(answer));
    if (is_raw(s))
        return;
    bufq_init(&down, UINT32_MAX);
    bufq_init(&out, UINT32_MAX);
    vmess_chunks_init(&c, &w->kdf, &s->h, s->key, s->iv);
    for (size_t i = 0; i <= json_array_len(list); i++) {
        if (i < json_array_len(list)) {
            size_t n = test_hex(json_str(json_at(list, i)), payload, WIRE_MAX);
            assert_int_equal(bufq_put(&down, payload, n, w->pool), ST_OK);
            assert_int_equal(vmess_chunks_seal(&c, &w->cc, &w->rng, w->pool, &down, &out,
                                               s->h.command == VMESS_UDP, &prefix),
                             ST_OK);
        } else {
            assert_int_equal(vmess_chunks_end(&c, &w->cc, &w->rng, w->pool, &out), ST_OK);
        }
        int64_t end_at = 0;
        assert_int_equal(json_to_int(json_at(ends, i), 0, &end_at), ST_OK);
        size_t end = (size_t)end_at;
        assert_int_equal(out.bytes, end - at);
        bufq_peek(&out, got, out.bytes);
        bufq_clear(&out, w->pool);
        assert_memory_equal(got, s->response + at, end - at - c.padding);
        at = end;
    }
    assert_int_equal(at, s->response_len);
    vmess_chunks_fini(&c, w->pool);
}

static void writes_the_answers_of_the_reference(void **state)
{
    for_streams(*state, check_answer);
}

/* ---- headers that are not right -------------------------------------------------------------- */

static enum status parse_with(const uint8_t *plain, size_t len)
{
    struct vmess_header h;
    struct why why = {0};
    enum status st = vmess_header_parse(plain, len, &h, &why);

    assert_int_equal(st != ST_OK, why.text != NULL);
    return st;
}

/* @at of the first stream's header becomes @value; the checksum follows. */
static enum status parse_changed(struct world *w, size_t at, uint8_t value)
{
    struct stream s;

    read_stream(w, json_at(json_get(w->all, "streams"), 0), &s);
    s.plain[at] = value;
    uint32_t sum = checksum_fnv1a(s.plain, s.plain_len - 4);
    for (unsigned i = 0; i < 4; i++)
        s.plain[s.plain_len - 4 + i] = (uint8_t)(sum >> (24 - 8 * i));
    return parse_with(s.plain, s.plain_len);
}

static void refuses_headers_that_are_not_right(void **state)
{
    struct world *w = *state;
    struct stream s;

    read_stream(w, json_at(json_get(w->all, "streams"), 0), &s);
    for (size_t cut = 0; cut < s.plain_len; cut++)
        assert_int_equal(parse_with(s.plain, cut), ST_E_PROTO);
    for (size_t at = 0; at < s.plain_len; at++) {
        s.plain[at] ^= 1;
        assert_true(parse_with(s.plain, s.plain_len) < 0);
        s.plain[at] ^= 1;
    }
    assert_int_equal(parse_changed(w, 0, 1), ST_OK); /* as it was */
    assert_int_equal(parse_changed(w, 0, 2), ST_E_PROTO);
    assert_int_equal(parse_changed(w, 36, 0xff), ST_OK); /* reserved */
    static const uint8_t securities[] = {0, 1, 2, 6, 7, 15};
    for (size_t i = 0; i < sizeof(securities); i++)
        assert_int_equal(parse_changed(w, 35, (uint8_t)((s.plain[35] & 0xf0) | securities[i])),
                         ST_E_UNSUPPORTED);
    assert_int_equal(parse_changed(w, 37, 0), ST_E_UNSUPPORTED);
    assert_int_equal(parse_changed(w, 37, 4), ST_E_UNSUPPORTED);
    assert_int_equal(parse_changed(w, 40, 0), ST_E_PROTO); /* type of the address */
    assert_int_equal(parse_changed(w, 41, 0), ST_E_PROTO); /* empty name */
    assert_int_equal(parse_changed(w, 42, '/'), ST_E_PROTO);
    assert_int_equal(parse_changed(w, 35, 0xf3), ST_E_PROTO); /* more padding than there is */
}

static void refuses_headers_of_others(void **state)
{
    struct world *w = *state;
    struct stream s;
    uint8_t other[16];
    size_t len;

    read_stream(w, json_at(json_get(w->all, "streams"), 0), &s);
    memcpy(other, w->key, sizeof(other));
    other[15] ^= 1;
    assert_int_equal(vmess_header_length(&w->kdf, &w->cc, other, s.request, &len), ST_E_AUTH);
    for (size_t at = 0; at < s.header_end; at += 5) {
        uint8_t copy[WIRE_MAX];
        memcpy(copy, s.request, s.request_len);
        copy[at] ^= 0x80;
        enum status st = vmess_header_length(&w->kdf, &w->cc, w->key, copy, &len);
        if (at < 42)
            assert_int_equal(st, ST_E_AUTH);
        else
            assert_int_equal(vmess_header_open(&w->kdf, &w->cc, w->key, copy, len), ST_E_AUTH);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_the_keys_of_users),
        cmocka_unit_test(derives_keys_along_paths),
        cmocka_unit_test(reads_the_auth_id),
        cmocka_unit_test(reads_the_requests_of_the_reference),
        cmocka_unit_test(opens_the_bodies_of_the_reference),
        cmocka_unit_test(writes_the_answers_of_the_reference),
        cmocka_unit_test(refuses_headers_that_are_not_right),
        cmocka_unit_test(refuses_headers_of_others),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
