/* Records against the trace of RFC 8448 section 3, against each other, and against hostile
 * peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "tls/alert.h"
#include "tls/record.h"
#include "tls/record_keys.h"

struct fix {
    struct crypto_ctx cc;
    struct pool *pool;
    struct record_keys tx, rx;
    struct bufq down, wire, up;
    struct record_note note;
};

static const uint16_t SUITES[] = {RECORD_AES_128_GCM_SHA256, RECORD_AES_256_GCM_SHA384,
                                  RECORD_CHACHA20_POLY1305_SHA256};

static size_t unhex(uint8_t *out, const char *hex)
{
    size_t n = 0;
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        unsigned v = 0;
        for (int i = 0; i < 2; i++)
            v = v * 16 + (unsigned)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
        out[n++] = (uint8_t)v;
    }
    return n;
}

static void rekey(struct fix *f, uint16_t suite)
{
    uint8_t secret[48];
    size_t len = suite == RECORD_AES_256_GCM_SHA384 ? 48 : 32;
    memset(secret, 7, sizeof(secret));
    assert_int_equal(record_keys_init(&f->tx, &f->cc, suite, secret, len), ST_OK);
    assert_int_equal(record_keys_init(&f->rx, &f->cc, suite, secret, len), ST_OK);
}

static int setup(void **state)
{
    static struct fix fix;
    struct fix *f = *state = &fix;
    memset(f, 0, sizeof(*f));
    f->pool = pool_new(0);
    bufq_init(&f->down, 1u << 20);
    bufq_init(&f->wire, 1u << 20);
    bufq_init(&f->up, 1u << 20);
    if (crypto_ctx_init(&f->cc) != ST_OK)
        return -1;
    rekey(f, RECORD_AES_128_GCM_SHA256);
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;
    bufq_clear(&f->down, f->pool);
    bufq_clear(&f->wire, f->pool);
    bufq_clear(&f->up, f->pool);
    crypto_ctx_fini(&f->cc);
    pool_free(f->pool);
    return 0;
}

static enum status open_max(struct fix *f, unsigned max)
{
    memset(&f->note, 0, sizeof(f->note));
    return record_open(&f->rx, &f->cc, f->pool, &f->wire, &f->up, max, &f->note);
}

static enum status seal(struct fix *f)
{
    return record_seal(&f->tx, &f->cc, f->pool, &f->down, &f->wire);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

static struct span *span_of(struct fix *f, size_t at, size_t len, uint8_t flags)
{
    struct span *s = span_new_for(f->pool, len);
    for (size_t i = 0; i < len; i++)
        span_data(s)[i] = pattern(at + i);
    s->len = (uint32_t)len;
    s->flags = flags;
    return s;
}

static void assert_pattern(const struct bufq *q, size_t len)
{
    size_t at = 0;
    assert_int_equal(q->bytes, len);
    for (const struct span *s = q->head; s != NULL; s = s->next) {
        for (uint32_t i = 0; i < s->len; i++)
            assert_int_equal(span_data(s)[i], pattern(at + i));
        at += s->len;
    }
}

static void put(struct fix *f, struct bufq *q, const void *data, size_t len)
{
    assert_int_equal(bufq_put(q, data, len, f->pool), ST_OK);
}

/* Seals @len bytes of inner plaintext, padding and type included, as the peer could. */
static void put_inner(struct fix *f, const uint8_t *inner, size_t len)
{
    uint8_t record[RECORD_HEADER + 18000] = {RECORD_DATA, 3, 3}, nonce[12];
    put_be16(record + 3, (uint16_t)(len + 16));
    memcpy(record + 5, inner, len);
    record_nonce(&f->tx, nonce);
    f->tx.seq++;
    assert_int_equal(aead_seal(&f->cc, (enum aead_alg)f->tx.alg, f->tx.key, nonce, record, 5,
                               record + 5, len, record + 5 + len),
                     ST_OK);
    put(f, &f->wire, record, 5 + len + 16);
}

/* ---- RFC 8448 section 3 ---------------------------------------------------------------------- */

static void test_rfc8448_client(void **state)
{
    struct fix *f = *state;
    uint8_t secret[32], record[128];

    unhex(secret, "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
    assert_int_equal(
        record_keys_init(&f->rx, &f->cc, RECORD_AES_128_GCM_SHA256, secret, sizeof(secret)), ST_OK);
    size_t n =
        unhex(record, "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819"
                      "a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb2169"
                      "4915e4");
    put(f, &f->wire, record, n);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_int_equal(f->up.bytes, 50);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(span_data(f->up.head)[i], i);
    n = unhex(record, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3");
    put(f, &f->wire, record, n);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_true(f->up.eof);
    assert_int_equal(f->up.bytes, 50);
}

static void test_rfc8448_server(void **state)
{
    struct fix *f = *state;
    uint8_t secret[32], want[128], got[128], data[50];

    unhex(secret, "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
    assert_int_equal(
        record_keys_init(&f->tx, &f->cc, RECORD_AES_128_GCM_SHA256, secret, sizeof(secret)), ST_OK);
    f->tx.seq = 1; /* a ticket went first */
    for (unsigned i = 0; i < 50; i++)
        data[i] = (uint8_t)i;
    put(f, &f->down, data, 50);
    assert_int_equal(seal(f), ST_OK);
    size_t n =
        unhex(want, "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf9"
                    "7d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2"
                    "955d");
    assert_int_equal(f->wire.bytes, n);
    bufq_peek(&f->wire, got, n);
    assert_memory_equal(got, want, n);
    bufq_clear(&f->wire, f->pool);
    assert_int_equal(record_seal_alert(&f->tx, &f->cc, f->pool, TLS_ALERT_CLOSE_NOTIFY, &f->wire),
                     ST_OK);
    n = unhex(want, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9");
    bufq_peek(&f->wire, got, n);
    assert_memory_equal(got, want, n);
}

/* ---- both directions ------------------------------------------------------------------------- */

/* Whatever pieces the plaintext comes in and however the wire cuts the records. */
static void test_round_trip(void **state)
{
    static const size_t sizes[] = {1,    2,    63,   64,   255,   256,   257,
                                   1000, 1920, 4096, 4097, 16000, 16320, 16384};
    struct fix *f = *state;
    struct bufq cut;
    unsigned x = 12345;

    bufq_init(&cut, UINT32_MAX);
    for (unsigned round = 0; round < 60; round++) {
        size_t total = 0;
        rekey(f, SUITES[round % 3]);
        for (unsigned i = 0; i < 12; i++) {
            x = x * 1103515245 + 12345;
            size_t n = sizes[(x >> 16) % 14];
            struct span *s = span_of(f, total, n, 0);
            if (round % 4 == 3) { /* somebody else looks at the blk */
                struct span *twin = span_share(f->pool, s);
                bufq_push(&f->down, s);
                span_free(f->pool, twin);
            } else {
                bufq_push(&f->down, s);
            }
            total += n;
        }
        assert_int_equal(seal(f), ST_OK);
        assert_int_equal(f->down.bytes, 0);
        while (f->wire.bytes > 0) {
            x = x * 1103515245 + 12345;
            size_t n = round % 2 == 0 ? 1 + (x >> 16) % 30000 : 1 + (x >> 16) % 50;
            bufq_move_bytes(&cut, &f->wire, n, f->pool);
        }
        while (cut.head != NULL) {
            bufq_push(&f->wire, bufq_pop(&cut));
            enum status st = open_max(f, 0);
            assert_true(st == ST_OK || st == ST_MORE);
        }
        assert_int_equal(f->wire.bytes, 0);
        assert_pattern(&f->up, total);
        bufq_clear(&f->up, f->pool);
    }
}

/* Sealing must not write around a span whose blk has another holder. */
static void test_shared_blk_stays(void **state)
{
    struct fix *f = *state;
    struct span *s = span_of(f, 0, 8000, 0), *twin = span_share(f->pool, s);

    bufq_push(&f->down, s);
    assert_int_equal(seal(f), ST_OK);
    for (uint32_t i = 0; i < twin->len; i++)
        assert_int_equal(span_data(twin)[i], pattern(i));
    span_free(f->pool, twin);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, 8000);
}

static void test_in_place(void **state)
{
    struct fix *f = *state;
    struct span *s = span_of(f, 0, 16384, 0);
    struct blk *blk = s->blk;

    bufq_push(&f->down, s);
    size_t used = pool_used(f->pool);
    assert_int_equal(seal(f), ST_OK);
    assert_ptr_equal(f->wire.head->blk, blk);
    assert_int_equal(f->wire.head->len, 16384 + RECORD_OVERHEAD);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_ptr_equal(f->up.head->blk, blk);
    assert_int_equal(pool_used(f->pool), used);
    assert_pattern(&f->up, 16384);
}

static unsigned count_records(const struct bufq *q)
{
    unsigned n = 0;
    uint8_t h[5];
    for (size_t off = 0; bufq_peek_at(q, off, h, 5); n++)
        off += 5u + get_be16(h + 3);
    return n;
}

/* A proxy's response header and the data behind it leave as one record. */
static void test_prepend(void **state)
{
    struct fix *f = *state;

    bufq_push(&f->down, span_of(f, 0, 2, SPAN_EDGE));
    struct span *big = span_of(f, 2, 16000, 0);
    struct blk *blk = big->blk;
    bufq_push(&f->down, big);
    assert_int_equal(seal(f), ST_OK);
    assert_int_equal(f->wire.count, 1);
    assert_ptr_equal(f->wire.head->blk, blk);
    assert_int_equal(f->wire.head->flags, SPAN_EDGE);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, 16002);
    bufq_clear(&f->up, f->pool);
    bufq_push(&f->down, span_of(f, 0, 2, 0));
    bufq_push(&f->down, span_of(f, 2, 16000, SPAN_EDGE)); /* a mark keeps them apart */
    assert_int_equal(seal(f), ST_OK);
    assert_int_equal(count_records(&f->wire), 2);
    assert_int_equal(f->wire.tail->flags, SPAN_EDGE);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, 16002);
}

static void test_marks(void **state)
{
    struct fix *f = *state;
    static const uint8_t flags[] = {0, 0, SPAN_EDGE, 0, SPAN_ALONE, 0, SPAN_EDGE | SPAN_ALONE, 0};
    static const uint8_t want[] = {0, SPAN_EDGE, SPAN_ALONE, 0, SPAN_EDGE | SPAN_ALONE, 0};
    size_t at = 0, i = 0;

    for (size_t k = 0; k < sizeof(flags); k++) {
        bufq_push(&f->down, span_of(f, at, 100, flags[k]));
        at += 100;
    }
    assert_int_equal(seal(f), ST_OK);
    assert_int_equal(count_records(&f->wire), 6);
    for (const struct span *s = f->wire.head; s != NULL; s = s->next)
        assert_int_equal(s->flags, want[i++]);
    assert_int_equal(i, 6);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, at);
}

static void test_full_outputs(void **state)
{
    struct fix *f = *state;

    f->wire.cap = 1;
    bufq_push(&f->down, span_of(f, 0, 9000, 0));
    bufq_push(&f->down, span_of(f, 9000, 9000, 0));
    assert_int_equal(seal(f), ST_FULL);
    assert_int_equal(count_records(&f->wire), 1);
    f->wire.cap = 1u << 20;
    assert_int_equal(seal(f), ST_OK);
    f->up.cap = 1;
    assert_int_equal(open_max(f, 0), ST_FULL);
    assert_int_equal(f->up.bytes, 9000);
    assert_int_equal(count_records(&f->wire), 1);
    f->up.cap = 1u << 20;
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, 18000);
}

/* What Vision lives on: after one record the rest of the wire is as it came. */
static void test_one_record(void **state)
{
    struct fix *f = *state;
    static const uint8_t raw[] = {0x17, 3, 3, 0, 40, 1, 2, 3};
    uint8_t got[8];

    bufq_push(&f->down, span_of(f, 0, 5000, SPAN_ALONE));
    bufq_push(&f->down, span_of(f, 5000, 700, SPAN_ALONE));
    assert_int_equal(seal(f), ST_OK);
    put(f, &f->wire, raw, sizeof(raw));
    assert_int_equal(open_max(f, 1), ST_YIELD);
    assert_pattern(&f->up, 5000);
    assert_int_equal(open_max(f, 1), ST_YIELD);
    assert_pattern(&f->up, 5700);
    assert_int_equal(f->wire.bytes, sizeof(raw));
    bufq_peek(&f->wire, got, sizeof(got));
    assert_memory_equal(got, raw, sizeof(raw));
}

static void test_padding(void **state)
{
    struct fix *f = *state;
    uint8_t inner[1000] = {pattern(0), pattern(1), pattern(2), RECORD_DATA};

    put_inner(f, inner, sizeof(inner));
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, 3);
    /* padding in the next span, the type at its border */
    put_inner(f, inner, 4);
    put_inner(f, inner, 400);
    bufq_clear(&f->up, f->pool);
    struct bufq whole = f->wire;
    bufq_init(&f->wire, 1u << 20);
    bufq_move_bytes(&f->wire, &whole, 25 + 9, f->pool);
    bufq_move_bytes(&f->wire, &whole, 1, f->pool);
    bufq_move(&f->wire, &whole);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_int_equal(f->up.bytes, 6);
    /* nothing but padding */
    memset(inner, 0, sizeof(inner));
    put_inner(f, inner, 100);
    assert_int_equal(open_max(f, 0), ST_E_PROTO);
    assert_int_equal(f->note.alert, TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void test_key_update(void **state)
{
    struct fix *f = *state;
    static const uint8_t ask[] = {24, 0, 0, 1, 1, RECORD_HANDSHAKE};

    for (unsigned i = 0; i < 3; i++) {
        rekey(f, SUITES[i]);
        bufq_push(&f->down, span_of(f, 0, 600, 0));
        assert_int_equal(seal(f), ST_OK);
        assert_int_equal(record_seal_update(&f->tx, &f->cc, f->pool, &f->wire), ST_OK);
        assert_int_equal(f->tx.seq, 0);
        bufq_push(&f->down, span_of(f, 600, 600, 0));
        assert_int_equal(seal(f), ST_OK);
        assert_int_equal(open_max(f, 0), ST_OK);
        assert_false(f->note.update_asked);
        assert_pattern(&f->up, 1200);
        put_inner(f, ask, sizeof(ask));
        assert_int_equal(open_max(f, 0), ST_OK);
        assert_true(f->note.update_asked);
        bufq_clear(&f->up, f->pool);
    }
}

/* The sender changes keys by itself before AES-GCM wears out. */
static void test_key_limit(void **state)
{
    struct fix *f = *state;

    f->tx.seq = f->rx.seq = ((uint64_t)1 << 24) - 1;
    bufq_push(&f->down, span_of(f, 0, 300, SPAN_ALONE));
    bufq_push(&f->down, span_of(f, 300, 300, SPAN_ALONE));
    assert_int_equal(seal(f), ST_OK);
    assert_int_equal(f->tx.seq, 1);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_pattern(&f->up, 600);
}

/* ---- hostile peers --------------------------------------------------------------------------- */

static void test_tampered(void **state)
{
    struct fix *f = *state;

    for (uint32_t at = 0; at < 100 + RECORD_OVERHEAD; at += 7) {
        rekey(f, SUITES[at % 3]);
        bufq_clear(&f->wire, f->pool);
        bufq_push(&f->down, span_of(f, 0, 100, 0));
        assert_int_equal(seal(f), ST_OK);
        span_data(f->wire.head)[at] ^= 0x20;
        enum status st = open_max(f, 0);
        assert_true(st == ST_E_AUTH ||
                    (at < 5 && (st == ST_E_PROTO || st == ST_E_LIMIT || st == ST_MORE)));
        assert_int_equal(f->up.bytes, 0);
        if (at >= 5)
            assert_int_equal(f->note.alert, TLS_ALERT_BAD_RECORD_MAC);
    }
}

static void refuse(struct fix *f, const char *hex, enum status st, uint8_t alert)
{
    uint8_t bytes[64];
    size_t n = unhex(bytes, hex);

    bufq_clear(&f->wire, f->pool);
    put(f, &f->wire, bytes, n);
    assert_int_equal(open_max(f, 0), st);
    assert_int_equal(f->note.alert, alert);
}

static void test_bad_headers(void **state)
{
    struct fix *f = *state;

    refuse(f, "1703034101", ST_E_LIMIT, TLS_ALERT_RECORD_OVERFLOW);
    refuse(f, "1703030010", ST_E_PROTO, TLS_ALERT_BAD_RECORD_MAC);
    refuse(f, "14030300010100", ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE);
    refuse(f, "15030300020100", ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE);
    refuse(f, "474554202f20", ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE);
    refuse(f, "17030340", ST_MORE, 0);
}

static void test_too_long_plaintext(void **state)
{
    struct fix *f = *state;
    static uint8_t inner[RECORD_PLAIN_MAX + 2];

    memset(inner, 1, sizeof(inner));
    inner[RECORD_PLAIN_MAX] = RECORD_DATA;
    put_inner(f, inner, RECORD_PLAIN_MAX + 1);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_int_equal(f->up.bytes, RECORD_PLAIN_MAX);
    inner[RECORD_PLAIN_MAX + 1] = 0; /* one byte of padding too many */
    put_inner(f, inner, RECORD_PLAIN_MAX + 2);
    assert_int_equal(open_max(f, 0), ST_E_LIMIT);
    assert_int_equal(f->note.alert, TLS_ALERT_RECORD_OVERFLOW);
}

static void inner_refused(struct fix *f, const char *hex, enum status st, uint8_t alert)
{
    uint8_t inner[64];
    size_t n = unhex(inner, hex);

    rekey(f, RECORD_AES_128_GCM_SHA256);
    put_inner(f, inner, n);
    assert_int_equal(open_max(f, 0), st);
    assert_int_equal(f->note.alert, alert);
    assert_non_null(f->note.text);
}

static void test_bad_messages(void **state)
{
    struct fix *f = *state;

    inner_refused(f, "180000010216", ST_E_PROTO, TLS_ALERT_ILLEGAL_PARAMETER); /* KeyUpdate 2 */
    inner_refused(f, "1800000100180000010016", ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE);
    inner_refused(f, "0100000016", ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE); /* ClientHello */
    inner_refused(f, "0114", ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE);       /* inner CCS */
    inner_refused(f, "0115", ST_E_PROTO, TLS_ALERT_DECODE_ERROR);             /* half an alert */
    inner_refused(f, "022a15", ST_E_CLOSED, 0);                               /* bad_certificate */
    assert_int_equal(f->note.peer_alert, 42);
}

static void test_user_canceled(void **state)
{
    struct fix *f = *state;
    static const uint8_t cancel[] = {1, 90, RECORD_ALERT}, bye[] = {1, 0, RECORD_ALERT};

    put_inner(f, cancel, sizeof(cancel));
    put_inner(f, bye, sizeof(bye));
    put(f, &f->wire, "rubbish", 7);
    assert_int_equal(open_max(f, 0), ST_OK);
    assert_true(f->up.eof);
    assert_int_equal(f->wire.bytes, 0);
}

static void test_floods(void **state)
{
    struct fix *f = *state;
    static const uint8_t empty[] = {RECORD_DATA}, update[] = {24, 0, 0, 1, 0, RECORD_HANDSHAKE};
    enum status st = ST_OK;
    unsigned n;

    for (n = 0; n < 100 && st == ST_OK; n++) {
        put_inner(f, empty, 1);
        st = open_max(f, 0);
    }
    assert_int_equal(st, ST_E_LIMIT);
    assert_in_range(n, 16, 64);
    bufq_clear(&f->wire, f->pool);
    rekey(f, RECORD_AES_128_GCM_SHA256);
    st = ST_OK;
    for (n = 0; n < 100 && st == ST_OK; n++) {
        put_inner(f, update, sizeof(update));
        assert_int_equal(record_keys_update(&f->tx, &f->cc), ST_OK);
        st = open_max(f, 0);
    }
    assert_int_equal(st, ST_E_LIMIT);
    assert_in_range(n, 16, 64);
}

/* A byte a record must not hold a blk a byte. */
static void test_small_records_share(void **state)
{
    struct fix *f = *state;

    for (size_t i = 0; i < 1000; i++) {
        struct span *s = span_new(f->pool);
        span_data(s)[0] = pattern(i);
        s->len = 1;
        bufq_push(&f->down, s);
        assert_int_equal(seal(f), ST_OK);
        assert_int_equal(open_max(f, 0), ST_OK);
    }
    assert_pattern(&f->up, 1000);
    assert_true(pool_used(f->pool) < 8192);
}

static void test_suites(void **state)
{
    struct fix *f = *state;
    struct record_keys k;
    uint8_t secret[48] = {0};

    assert_int_equal(record_keys_init(&k, &f->cc, 0x1304, secret, 32), ST_E_UNSUPPORTED);
    assert_int_equal(record_keys_init(&k, &f->cc, 0x1301, secret, 48), ST_E_UNSUPPORTED);
    assert_int_equal(record_keys_init(&k, &f->cc, 0x1302, secret, 32), ST_E_UNSUPPORTED);
    assert_int_equal(record_keys_init(&k, &f->cc, 0x1302, secret, 48), ST_OK);
    record_keys_wipe(&k);
}

static void test_no_memory(void **state)
{
    struct fix *f = *state;

    for (unsigned i = 1; i < 40; i++) {
        rekey(f, RECORD_AES_128_GCM_SHA256);
        bufq_clear(&f->down, f->pool);
        bufq_clear(&f->wire, f->pool);
        bufq_clear(&f->up, f->pool);
        for (size_t k = 0; k < 20; k++)
            bufq_push(&f->down, span_of(f, k * 900, 900, k % 3 == 0 ? SPAN_ALONE : 0));
        pool_fail_after(f->pool, i, true);
        enum status st = seal(f);
        if (st == ST_OK)
            st = open_max(f, 0);
        pool_fail_after(f->pool, 0, false);
        assert_true(st == ST_OK || st == ST_E_NOMEM);
        if (st == ST_OK)
            assert_pattern(&f->up, 18000);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_rfc8448_client),
        T(test_rfc8448_server),
        T(test_round_trip),
        T(test_shared_blk_stays),
        T(test_in_place),
        T(test_prepend),
        T(test_marks),
        T(test_full_outputs),
        T(test_one_record),
        T(test_padding),
        T(test_key_update),
        T(test_key_limit),
        T(test_tampered),
        T(test_bad_headers),
        T(test_too_long_plaintext),
        T(test_bad_messages),
        T(test_user_canceled),
        T(test_floods),
        T(test_small_records_share),
        T(test_suites),
        T(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
