#include "tls/accept.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/mem.h"
#include "crypto/mlkem.h"
#include "crypto/rng.h"
#include "crypto/x25519.h"
#include "tls/record_keys.h"
#include "tls/schedule.h"
#include "tls/server_hello.h"

#define MESSAGE_HEADER 4u
#define RANDOM_LEN     32u
/* header, version, random, session id, suite, compression, extensions: version, key share */
#define SERVER_HELLO_LEN(sid, share)                                                               \
    (MESSAGE_HEADER + 2 + RANDOM_LEN + 1 + (sid) + 2 + 1 + 2 + 6 + 8 + (share))
#define EXTENSIONS_MAX (MESSAGE_HEADER + 2 + 4 + 7 + 255)
#define VERIFY_MAX     (MESSAGE_HEADER + 4 + SIGN_MAX)
#define FINISHED_MAX   (MESSAGE_HEADER + HASH_MAX_LEN)
#define FLIGHT_MAX                                                                                 \
    (RECORD_HEADER + SERVER_HELLO_LEN(32, TLS_SHARE_MLKEM_SERVER) + RECORD_HEADER + 1 +            \
     4 * RECORD_OVERHEAD + EXTENSIONS_MAX + ACCEPT_CERTIFICATE_MAX + VERIFY_MAX + FINISHED_MAX)

_Static_assert(FLIGHT_MAX <= BLK_DATA, "a flight fits a blk");

enum message {
    MESSAGE_SERVER_HELLO = 2,
    MESSAGE_ENCRYPTED_EXTENSIONS = 8,
    MESSAGE_CERTIFICATE_VERIFY = 15,
    MESSAGE_FINISHED = 20,
};

enum extension {
    EXT_SERVER_NAME = 0,
    EXT_ALPN = 16,
    EXT_SUPPORTED_VERSIONS = 43,
    EXT_KEY_SHARE = 51,
};

/* The flight as it is written: messages lie in the clear at their places on the wire until the
 * last is there, because the transcript is over plaintext; then the records are sealed in place. */
struct flight_writer {
    uint8_t *at;     /* end of what is written */
    uint8_t *sealed; /* where the first record to be sealed starts */
    size_t len[4];   /* of the messages in those records */
    unsigned count;
};

struct secrets {
    uint8_t shared[MLKEM_SHARED_LEN + X25519_LEN];
    size_t shared_len;
    uint8_t client_handshake[HASH_MAX_LEN], server_handshake[HASH_MAX_LEN];
    uint8_t client[HASH_MAX_LEN], server[HASH_MAX_LEN];
    struct record_keys handshake; /* ours */
    struct schedule schedule;
};

/* ---- ServerHello ----------------------------------------------------------------------------- */

/* Answers the client's share: ours to @share. */
static enum status exchange_keys(const struct accept_choice *choice, struct rng *rng,
                                 uint8_t *share, struct secrets *x)
{
    uint8_t random[X25519_LEN];
    bool hybrid = choice->group == TLS_GROUP_X25519MLKEM768;
    const uint8_t *peer = choice->peer;
    enum status st = ST_OK;

    if (hybrid) {
        rng_bytes(rng, random, MLKEM_RANDOM_LEN);
        st = mlkem_encapsulate(peer, random, share, x->shared);
        peer += MLKEM_PUBLIC_LEN;
        share += MLKEM_CIPHER_LEN;
        x->shared_len = MLKEM_SHARED_LEN;
    }
    rng_bytes(rng, random, X25519_LEN);
    if (st == ST_OK)
        st = x25519_exchange(random, peer, share, x->shared + x->shared_len);
    x->shared_len += X25519_LEN;
    crypto_wipe(random, sizeof(random));
    /* A share that cannot be used is answered by the library's alert. */
    return st == ST_OK ? ST_OK : ST_E_UNSUPPORTED;
}

static void put_record_header(uint8_t *p, uint8_t type, size_t len)
{
    p[0] = type;
    p[1] = p[2] = 3;
    put_be16(p + 3, (uint16_t)len);
}

static enum status write_server_hello(struct flight_writer *w, const struct hello *h,
                                      const struct accept_choice *choice, struct rng *rng,
                                      struct secrets *x)
{
    size_t sid = reader_left(&h->session_id);
    size_t share =
        choice->group == TLS_GROUP_X25519MLKEM768 ? TLS_SHARE_MLKEM_SERVER : TLS_SHARE_X25519;
    size_t len = SERVER_HELLO_LEN(sid, share);
    uint8_t *msg = w->at + RECORD_HEADER, *p = msg + MESSAGE_HEADER;

    put_record_header(w->at, RECORD_HANDSHAKE, len);
    msg[0] = MESSAGE_SERVER_HELLO;
    put_be24(msg + 1, (uint32_t)(len - MESSAGE_HEADER));
    put_be16(p, 0x0303);
    rng_bytes(rng, p + 2, RANDOM_LEN);
    p += 2 + RANDOM_LEN;
    *p++ = (uint8_t)sid;
    memcpy(p, h->session_id.p, sid);
    p += sid;
    put_be16(p, choice->suite);
    p[2] = 0; /* compression */
    put_be16(p + 3, (uint16_t)(6 + 8 + share));
    p += 5;
    put_be16(p, EXT_SUPPORTED_VERSIONS);
    put_be16(p + 2, 2);
    put_be16(p + 4, 0x0304);
    put_be16(p + 6, EXT_KEY_SHARE);
    put_be16(p + 8, (uint16_t)(4 + share));
    put_be16(p + 10, choice->group);
    put_be16(p + 12, (uint16_t)share);
    enum status st = exchange_keys(choice, rng, p + 14, x);
    schedule_add(&x->schedule, msg, len);
    w->at = msg + len;
    return st;
}

/* ---- messages to be sealed ------------------------------------------------------------------- */

/* Room for the next message. */
static uint8_t *message_begin(const struct flight_writer *w)
{
    return w->at + RECORD_HEADER;
}

/* Its body of @body bytes is complete: it gets its header and joins the transcript. */
static void message_done(struct flight_writer *w, struct schedule *s, enum message type,
                         size_t body)
{
    uint8_t *msg = w->at + RECORD_HEADER;

    msg[0] = (uint8_t)type;
    put_be24(msg + 1, (uint32_t)body);
    w->len[w->count++] = MESSAGE_HEADER + body;
    schedule_add(s, msg, MESSAGE_HEADER + body);
    w->at = msg + MESSAGE_HEADER + body + RECORD_TAIL;
}

static void write_extensions(struct flight_writer *w, struct schedule *s,
                             const struct accept_choice *choice)
{
    uint8_t *body = message_begin(w) + MESSAGE_HEADER, *p = body + 2;

    if (choice->sni) {
        put_be16(p, EXT_SERVER_NAME);
        put_be16(p + 2, 0);
        p += 4;
    }
    if (choice->alpn != NULL) {
        size_t name = 1u + choice->alpn[0];
        put_be16(p, EXT_ALPN);
        put_be16(p + 2, (uint16_t)(2 + name));
        put_be16(p + 4, (uint16_t)name);
        memcpy(p + 6, choice->alpn, name);
        p += 6 + name;
    }
    put_be16(body, (uint16_t)(p - body - 2));
    message_done(w, s, MESSAGE_ENCRYPTED_EXTENSIONS, (size_t)(p - body));
}

static void write_certificate(struct flight_writer *w, struct schedule *s,
                              const struct accept_conf *c)
{
    memcpy(message_begin(w), c->certificate, c->certificate_len);
    message_done(w, s, (enum message)c->certificate[0], c->certificate_len - MESSAGE_HEADER);
}

/* RFC 8446 section 4.4.3. */
static enum status write_verify(struct flight_writer *w, struct schedule *s,
                                const struct sign_key *key, struct crypto_ctx *cc)
{
    static const char context[] = "TLS 1.3, server CertificateVerify"; /* with its NUL */
    uint8_t text[64 + sizeof(context) + HASH_MAX_LEN];
    uint8_t *body = message_begin(w) + MESSAGE_HEADER;
    size_t len = 0;

    memset(text, ' ', 64);
    memcpy(text + 64, context, sizeof(context));
    enum status st = schedule_transcript(s, cc, text + 64 + sizeof(context));
    if (st == ST_OK)
        st = sign_key_sign(key, text, 64 + sizeof(context) + hash_len(s->hash), body + 4, &len);
    put_be16(body, key->scheme);
    put_be16(body + 2, (uint16_t)len);
    message_done(w, s, MESSAGE_CERTIFICATE_VERIFY, 4 + len);
    return st;
}

static enum status write_finished(struct flight_writer *w, struct secrets *x, struct crypto_ctx *cc)
{
    enum status st =
        schedule_finished(&x->schedule, cc, x->server_handshake, message_begin(w) + MESSAGE_HEADER);

    message_done(w, &x->schedule, MESSAGE_FINISHED, hash_len(x->schedule.hash));
    return st;
}

static enum status seal_messages(const struct flight_writer *w, struct record_keys *k,
                                 struct crypto_ctx *cc)
{
    uint8_t *p = w->sealed, nonce[AEAD_IV_LEN];
    enum status st = ST_OK;

    for (unsigned i = 0; i < w->count && st == ST_OK; i++) {
        uint8_t *data = p + RECORD_HEADER;
        size_t inner = w->len[i] + 1;
        put_record_header(p, RECORD_DATA, inner + AEAD_TAG_LEN);
        data[w->len[i]] = RECORD_HANDSHAKE;
        record_nonce(k, nonce);
        k->seq++;
        st = aead_seal(cc, (enum aead_alg)k->alg, k->key, nonce, p, RECORD_HEADER, data, inner,
                       data + inner);
        p = data + inner + AEAD_TAG_LEN;
    }
    return st;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Everything behind the ServerHello, in the clear. */
static enum status write_rest(struct flight_writer *w, const struct accept_conf *c,
                              const struct accept_choice *choice, struct secrets *x,
                              struct crypto_ctx *cc)
{
    static const uint8_t ccs[] = {RECORD_CCS, 3, 3, 0, 1, 1};
    struct schedule *s = &x->schedule;
    enum status st = schedule_handshake(s, cc, x->shared, x->shared_len, x->client_handshake,
                                        x->server_handshake);

    if (st != ST_OK)
        return st;
    memcpy(w->at, ccs, sizeof(ccs));
    w->at += sizeof(ccs);
    w->sealed = w->at;
    write_extensions(w, s, choice);
    write_certificate(w, s, c);
    st = write_verify(w, s, &c->key, cc);
    if (st == ST_OK)
        st = write_finished(w, x, cc);
    return st;
}

static enum status derive_keys(struct accept *a, const struct accept_choice *choice,
                               struct secrets *x, struct crypto_ctx *cc, struct record_keys *rx,
                               struct record_keys *tx)
{
    const struct schedule *s = &x->schedule;
    size_t n = hash_len(s->hash);
    enum status st = record_keys_init(&x->handshake, cc, choice->suite, x->server_handshake, n);

    if (st == ST_OK)
        st = record_keys_init(&a->handshake, cc, choice->suite, x->client_handshake, n);
    if (st == ST_OK)
        st = schedule_application(s, cc, x->client, x->server);
    if (st == ST_OK)
        st = record_keys_init(rx, cc, choice->suite, x->client, n);
    if (st == ST_OK)
        st = record_keys_init(tx, cc, choice->suite, x->server, n);
    if (st == ST_OK)
        st = schedule_finished(s, cc, x->client_handshake, a->finished);
    a->finished_len = (uint8_t)n;
    return st;
}

enum status accept_hello(struct accept *a, const struct accept_conf *c,
                         const struct accept_env *env, const uint8_t *msg, size_t len,
                         struct accept_choice *choice, struct hello *h, struct record_keys *rx,
                         struct record_keys *tx, struct bufq *out)
{
    struct secrets x;
    enum status st;

    memset(a, 0, sizeof(*a));
    if (hello_parse(msg, len, h) != ST_OK || !accept_choose(c, h, choice))
        return ST_E_UNSUPPORTED;
    memset(&x, 0, sizeof(x));
    struct span *flight =
        span_new_for(env->pool, FLIGHT_MAX - ACCEPT_CERTIFICATE_MAX + c->certificate_len);
    if (flight == NULL)
        return ST_E_NOMEM;
    struct flight_writer w = {.at = span_data(flight)};
    st = schedule_init(&x.schedule, choice->suite);
    if (st == ST_OK) {
        schedule_add(&x.schedule, msg, len);
        st = write_server_hello(&w, h, choice, env->rng, &x);
    }
    if (st == ST_OK)
        st = write_rest(&w, c, choice, &x, env->cc);
    if (st == ST_OK)
        st = derive_keys(a, choice, &x, env->cc, rx, tx);
    if (st == ST_OK)
        st = seal_messages(&w, &x.handshake, env->cc);
    if (st == ST_OK) {
        flight->len = (uint32_t)(w.at - span_data(flight));
        bufq_push(out, flight);
    } else {
        span_free(env->pool, flight);
    }
    crypto_wipe(&x, sizeof(x));
    return st;
}

void accept_wipe(struct accept *a)
{
    crypto_wipe(a, sizeof(*a));
}
