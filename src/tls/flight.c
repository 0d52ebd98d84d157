#include "tls/flight.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/mem.h"
#include "crypto/mlkem.h"
#include "crypto/x25519.h"
#include "tls/flight_cert.h"
#include "tls/record_keys.h"
#include "tls/schedule.h"
#include "tls/server_hello.h"

#define MESSAGE_HEADER    4u
#define EXTENSIONS_LEN    6u
#define CERTIFICATE_FRAME 13u /* around the DER */
#define VERIFY_LEN        72u
#define SCHEME_ED25519    0x0807
#define MESSAGES_MAX                                                                               \
    (EXTENSIONS_LEN + CERTIFICATE_FRAME + FLIGHT_CERT_MAX + VERIFY_LEN + MESSAGE_HEADER +          \
     HASH_MAX_LEN)

enum message {
    MESSAGE_ENCRYPTED_EXTENSIONS = 8,
    MESSAGE_CERTIFICATE = 11,
    MESSAGE_CERTIFICATE_VERIFY = 15,
    MESSAGE_FINISHED = 20,
};

static const uint8_t CCS[] = {RECORD_CCS, 3, 3, 0, 1, 1};

/* Our four messages, one behind the other. */
struct messages {
    size_t len[4], total;
    uint8_t bytes[MESSAGES_MAX];
};

/* ---- records --------------------------------------------------------------------------------- */

/* Seals @len bytes of @type into one record of @total bytes, zeros behind. */
static enum status seal_exact(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                              uint8_t type, const void *msg, size_t len, uint16_t total,
                              struct bufq *out)
{
    uint32_t content = total - RECORD_OVERHEAD; /* what is not header, type and tag */
    uint8_t nonce[AEAD_IV_LEN];
    struct span *s = span_new_for(p, content);

    BUG_ON(total < RECORD_OVERHEAD || len > content);
    if (s == NULL)
        return ST_E_NOMEM;
    s->off -= RECORD_HEADER;
    s->len = total;
    uint8_t *header = span_data(s), *data = header + RECORD_HEADER;
    header[0] = RECORD_DATA;
    header[1] = header[2] = 3;
    put_be16(header + 3, (uint16_t)(total - RECORD_HEADER));
    if (len > 0)
        memcpy(data, msg, len);
    data[len] = type;
    memset(data + len + 1, 0, content - len);
    record_nonce(k, nonce);
    enum status st = aead_seal(cc, (enum aead_alg)k->alg, k->key, nonce, header, RECORD_HEADER,
                               data, content + 1, data + content + 1);
    if (st != ST_OK) {
        span_free(p, s);
        return st;
    }
    k->seq++;
    bufq_push(out, s);
    return ST_OK;
}

enum status flight_seal_empty(struct record_keys *tx, struct crypto_ctx *cc, struct pool *p,
                              uint16_t total, struct bufq *out)
{
    return seal_exact(tx, cc, p, RECORD_DATA, NULL, 0, total, out);
}

/* ---- what fits ------------------------------------------------------------------------------- */

static bool holds(uint16_t record, size_t msg)
{
    return record >= RECORD_OVERHEAD + msg && record <= FLIGHT_RECORD_MAX;
}

/* Judged before any work is done: a flight that does not fit costs nothing. */
static bool fits(const struct flight_input *in, size_t hash)
{
    const uint16_t *len = in->shape->len;
    size_t cert =
        CERTIFICATE_FRAME + (in->identity->mldsa ? FLIGHT_CERT_MLDSA_LEN : FLIGHT_CERT_LEN);
    size_t finished = MESSAGE_HEADER + hash;

    if (len[FLIGHT_SERVER_HELLO] != RECORD_HEADER + in->server_hello_len)
        return false;
    if (len[FLIGHT_EXTRA] != 0 && !holds(len[FLIGHT_EXTRA], 0))
        return false;
    if (in->shape->combined)
        return holds(len[FLIGHT_EXTENSIONS], EXTENSIONS_LEN + cert + VERIFY_LEN + finished);
    return holds(len[FLIGHT_EXTENSIONS], EXTENSIONS_LEN) && holds(len[FLIGHT_CERTIFICATE], cert) &&
           holds(len[FLIGHT_VERIFY], VERIFY_LEN) && holds(len[FLIGHT_FINISHED], finished);
}

/* ---- key exchange ---------------------------------------------------------------------------- */

struct exchange {
    size_t len;
    uint8_t shared[MLKEM_SHARED_LEN + X25519_LEN];
};

/* Answers the client's share of @sh's group: our share to @share, the secret to @x. */
static enum status exchange_keys(const struct flight_input *in, const struct server_hello *sh,
                                 uint8_t *share, struct exchange *x)
{
    struct reader theirs = hello_key_share(in->client, sh->group);
    bool hybrid = sh->group == TLS_GROUP_X25519MLKEM768;
    size_t before = hybrid ? MLKEM_PUBLIC_LEN : 0; /* of the client's X25519 key in its share */
    enum status st = ST_OK;

    if (theirs.bad)
        return ST_E_UNSUPPORTED;
    if (reader_left(&theirs) != (hybrid ? TLS_SHARE_MLKEM_CLIENT : TLS_SHARE_X25519))
        return ST_E_PROTO;
    x->len = 0;
    if (hybrid) {
        st = mlkem_encapsulate(theirs.p, in->mlkem, share, x->shared);
        share += MLKEM_CIPHER_LEN;
        x->len = MLKEM_SHARED_LEN;
    }
    if (st == ST_OK &&
        x25519_exchange(in->x25519, theirs.p + before, share, x->shared + x->len) != ST_OK)
        st = ST_E_PROTO; /* a point of low order */
    x->len += X25519_LEN;
    return st;
}

/* The other server's ServerHello with our key share as a span with its record header. */
static enum status take_over_hello(const struct flight_input *in, const struct server_hello *sh,
                                   struct pool *p, struct exchange *x, struct span **out)
{
    struct span *s = span_new_for(p, RECORD_HEADER + in->server_hello_len);

    if (s == NULL)
        return ST_E_NOMEM;
    s->len = (uint32_t)(RECORD_HEADER + in->server_hello_len);
    uint8_t *header = span_data(s), *msg = header + RECORD_HEADER;
    header[0] = RECORD_HANDSHAKE;
    header[1] = header[2] = 3;
    put_be16(header + 3, (uint16_t)in->server_hello_len);
    memcpy(msg, in->server_hello, in->server_hello_len);
    enum status st = exchange_keys(in, sh, msg + sh->share_off, x);
    if (st == ST_OK)
        *out = s;
    else
        span_free(p, s);
    return st;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* A message that is complete at @m->bytes + m->total joins the transcript. */
static void message_done(struct messages *m, struct schedule *s, unsigned i, size_t len)
{
    m->len[i] = len;
    schedule_add(s, m->bytes + m->total, len);
    m->total += len;
}

static uint8_t *message_begin(struct messages *m, enum message type, size_t body)
{
    uint8_t *p = m->bytes + m->total;

    p[0] = (uint8_t)type;
    put_be24(p + 1, (uint32_t)body);
    return p + MESSAGE_HEADER;
}

static enum status add_certificate(struct messages *m, struct schedule *s,
                                   const struct flight_input *in, const uint8_t *server_hello,
                                   struct crypto_ctx *cc)
{
    uint8_t *body = m->bytes + m->total + MESSAGE_HEADER;
    size_t der;
    enum status st = flight_cert_write(body + 7, &der, in, server_hello, cc);

    if (st != ST_OK)
        return st;
    (void)message_begin(m, MESSAGE_CERTIFICATE, der + 9);
    body[0] = 0; /* no request context */
    put_be24(body + 1, (uint32_t)der + 5);
    put_be24(body + 4, (uint32_t)der);
    put_be16(body + 7 + der, 0); /* no extensions of the entry */
    message_done(m, s, 1, CERTIFICATE_FRAME + der);
    return ST_OK;
}

/* RFC 8446 section 4.4.3. The scheme is always Ed25519, whatever the client offered: that is how
 * the real clients know whom they talk to. */
static enum status add_verify(struct messages *m, struct schedule *s,
                              const struct flight_identity *id, struct crypto_ctx *cc)
{
    static const char context[] = "TLS 1.3, server CertificateVerify"; /* with its NUL */
    uint8_t signed_text[64 + sizeof(context) + HASH_MAX_LEN];
    uint8_t *body = message_begin(m, MESSAGE_CERTIFICATE_VERIFY, VERIFY_LEN - MESSAGE_HEADER);

    memset(signed_text, ' ', 64);
    memcpy(signed_text + 64, context, sizeof(context));
    enum status st = schedule_transcript(s, cc, signed_text + 64 + sizeof(context));
    put_be16(body, SCHEME_ED25519);
    put_be16(body + 2, ED25519_SIG_LEN);
    if (st == ST_OK)
        st = ed25519_key_sign(id->key, signed_text, 64 + sizeof(context) + hash_len(s->hash),
                              body + 4);
    if (st == ST_OK)
        message_done(m, s, 2, VERIFY_LEN);
    return st;
}

static enum status write_messages(struct messages *m, struct schedule *s,
                                  const struct flight_input *in, const uint8_t *server_hello,
                                  const uint8_t *server_secret, struct crypto_ctx *cc)
{
    m->total = 0;
    put_be16(message_begin(m, MESSAGE_ENCRYPTED_EXTENSIONS, 2), 0);
    message_done(m, s, 0, EXTENSIONS_LEN);
    enum status st = add_certificate(m, s, in, server_hello, cc);
    if (st == ST_OK)
        st = add_verify(m, s, in->identity, cc);
    if (st != ST_OK)
        return st;
    uint8_t *body = message_begin(m, MESSAGE_FINISHED, hash_len(s->hash));
    st = schedule_finished(s, cc, server_secret, body);
    if (st == ST_OK)
        message_done(m, s, 3, MESSAGE_HEADER + hash_len(s->hash));
    return st;
}

static enum status seal_messages(const struct messages *m, const struct flight_shape *shape,
                                 struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                                 struct bufq *out)
{
    const uint8_t *at = m->bytes;
    enum status st = ST_OK;

    if (shape->combined)
        return seal_exact(k, cc, p, RECORD_HANDSHAKE, at, m->total, shape->len[FLIGHT_EXTENSIONS],
                          out);
    for (unsigned i = 0; i < 4 && st == ST_OK; i++) {
        st = seal_exact(k, cc, p, RECORD_HANDSHAKE, at, m->len[i],
                        shape->len[FLIGHT_EXTENSIONS + i], out);
        at += m->len[i];
    }
    return st;
}

/* ---- the whole ------------------------------------------------------------------------------- */

struct secrets {
    uint8_t client_handshake[HASH_MAX_LEN], server_handshake[HASH_MAX_LEN];
    uint8_t client[HASH_MAX_LEN], server[HASH_MAX_LEN];
    struct record_keys handshake; /* ours */
    struct messages messages;
};

/* Everything behind the ServerHello; records go to @out. */
static enum status build_rest(struct flight *f, const struct flight_input *in,
                              const struct server_hello *sh, const uint8_t *server_hello,
                              struct schedule *s, struct secrets *x, struct crypto_ctx *cc,
                              struct pool *p, struct bufq *out)
{
    size_t n = hash_len(s->hash);
    enum status st = record_keys_init(&x->handshake, cc, sh->suite, x->server_handshake, n);

    if (st == ST_OK)
        st = record_keys_init(&f->handshake, cc, sh->suite, x->client_handshake, n);
    if (st == ST_OK)
        st = write_messages(&x->messages, s, in, server_hello, x->server_handshake, cc);
    if (st == ST_OK)
        st = bufq_put(out, CCS, sizeof(CCS), p);
    if (st == ST_OK)
        st = seal_messages(&x->messages, in->shape, &x->handshake, cc, p, out);
    if (st == ST_OK)
        st = schedule_application(s, cc, x->client, x->server);
    if (st == ST_OK)
        st = record_keys_init(&f->rx, cc, sh->suite, x->client, n);
    if (st == ST_OK)
        st = record_keys_init(&f->tx, cc, sh->suite, x->server, n);
    f->finished_len = (uint8_t)n;
    if (st == ST_OK)
        st = schedule_finished(s, cc, x->client_handshake, f->finished);
    if (st == ST_OK && in->shape->len[FLIGHT_EXTRA] != 0)
        st = flight_seal_empty(&f->tx, cc, p, in->shape->len[FLIGHT_EXTRA], out);
    return st;
}

enum status flight_build(struct flight *f, const struct flight_input *in, struct crypto_ctx *cc,
                         struct pool *p, struct bufq *out)
{
    struct server_hello sh;
    struct schedule s;
    struct exchange x = {0};
    struct secrets secrets;
    struct span *hello;
    struct bufq rest;

    memset(f, 0, sizeof(*f));
    if (in->server_hello_len > SERVER_HELLO_MAX ||
        server_hello_parse(in->server_hello, in->server_hello_len, &sh) != ST_OK ||
        schedule_init(&s, sh.suite) != ST_OK)
        return ST_E_UNSUPPORTED;
    if (!fits(in, hash_len(s.hash)))
        return ST_E_LIMIT;
    bufq_init(&rest, UINT32_MAX);
    enum status st = take_over_hello(in, &sh, p, &x, &hello);
    if (st != ST_OK)
        goto out;
    bufq_push(&rest, hello);
    const uint8_t *msg = span_data(hello) + RECORD_HEADER;
    schedule_add(&s, in->client_hello, in->client_hello_len);
    schedule_add(&s, msg, in->server_hello_len);
    st = schedule_handshake(&s, cc, x.shared, x.len, secrets.client_handshake,
                            secrets.server_handshake);
    if (st == ST_OK)
        st = build_rest(f, in, &sh, msg, &s, &secrets, cc, p, &rest);
    if (st == ST_OK)
        bufq_move(out, &rest);
    bufq_clear(&rest, p);
    crypto_wipe(&secrets, sizeof(secrets));
out:
    crypto_wipe(&x, sizeof(x));
    schedule_wipe(&s);
    return st;
}

void flight_wipe(struct flight *f)
{
    crypto_wipe(f, sizeof(*f));
}
