#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/mem.h"
#include "tls/accept.h"
#include "tls/alert.h"
#include "tls/record_keys.h"

/* What OpenSSL's server takes of records without meaning, and of warnings less one. */
#define SKIP_MAX 32u
#define WARN_MAX 5u
/* A record is opened in such steps, whatever its length: nobody pads a Finished, but one may. */
#define STEP 512u
/* Bytes of a record that may matter: more is no Finished. */
#define KEEP 128u

#define MESSAGE_FINISHED     20u
#define MESSAGE_HEADER       4u
#define MESSAGE_FINISHED_MAX 64u /* as OpenSSL has it: longer is refused as a length */

/* A decrypted record. */
struct opened {
    uint8_t type; /* 0: nothing but padding */
    uint32_t len;
    uint8_t head[KEEP]; /* its first bytes */
};

static enum status fail(struct record_note *note, enum status st, uint8_t alert, const char *text)
{
    note->alert = alert;
    note->text = text;
    return st;
}

/* ---- records that mean nothing, alerts ------------------------------------------------------- */

static enum status take_ccs(struct accept *a, const struct accept_env *env, struct bufq *in,
                            uint32_t len, struct record_note *note)
{
    uint8_t byte;

    if (len == 1 && !bufq_peek_at(in, RECORD_HEADER, &byte, 1))
        return ST_MORE;
    if (len != 1 || byte != 1)
        return fail(note, ST_E_PROTO, TLS_ALERT_ILLEGAL_PARAMETER,
                    "malformed TLS change_cipher_spec");
    if (++a->skipped > SKIP_MAX)
        return fail(note, ST_E_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "too many TLS change_cipher_spec records");
    bufq_drop(in, RECORD_HEADER + 1, env->pool);
    return ST_OK;
}

/* ST_OK: one that ends nothing. */
static enum status take_alert(struct accept *a, const uint8_t *msg, uint32_t len,
                              struct record_note *note)
{
    if (len != 2)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE, "malformed TLS alert");
    bool warning = msg[0] == 1 || msg[1] == TLS_ALERT_USER_CANCELED;
    if (warning && ++a->warnings == WARN_MAX)
        return fail(note, ST_E_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE, "too many TLS warnings");
    if (msg[1] == TLS_ALERT_USER_CANCELED)
        return ST_OK;
    note->peer_alert = msg[1];
    return fail(note, ST_E_CLOSED, 0,
                msg[1] == TLS_ALERT_CLOSE_NOTIFY ? "the client left during the TLS handshake"
                                                 : "the client sent a TLS alert");
}

/* A client that cannot use our hello says so in the clear. */
static enum status take_plain_alert(struct accept *a, const struct accept_env *env, struct bufq *in,
                                    uint32_t len, struct record_note *note)
{
    uint8_t msg[2] = {0};

    if (len == sizeof(msg) && !bufq_peek_at(in, RECORD_HEADER, msg, sizeof(msg)))
        return ST_MORE;
    enum status st = take_alert(a, msg, len, note);
    if (st == ST_OK)
        bufq_drop(in, RECORD_HEADER + len, env->pool);
    return st;
}

/* ---- Finished -------------------------------------------------------------------------------- */

/* The bytes so far are a whole message or the beginning of one. */
static enum status judge(const struct accept *a, const uint8_t *msg, uint32_t len,
                         struct record_note *note)
{
    uint32_t body = get_be24(msg + 1);

    if (msg[0] != MESSAGE_FINISHED)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "not the Finished message of a TLS handshake");
    if (body > MESSAGE_FINISHED_MAX)
        return fail(note, ST_E_PROTO, TLS_ALERT_ILLEGAL_PARAMETER, "malformed TLS Finished");
    if (len < MESSAGE_HEADER + body)
        return ST_MORE;
    /* New keys follow: nothing else may share the record (RFC 8446 section 5.1). */
    if (len > MESSAGE_HEADER + body)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "more than Finished in the last record of a TLS handshake");
    if (body != a->finished_len)
        return fail(note, ST_E_PROTO, TLS_ALERT_DECODE_ERROR, "malformed TLS Finished");
    if (!crypto_ct_equal(msg + MESSAGE_HEADER, a->finished, a->finished_len))
        return fail(note, ST_E_AUTH, TLS_ALERT_DECRYPT_ERROR, "wrong TLS Finished");
    return ST_OK;
}

/* A record of handshake bytes: Finished may come in pieces. ST_MORE: the rest is to come. */
static enum status take_handshake(struct accept *a, const struct opened *r,
                                  struct record_note *note)
{
    uint8_t msg[sizeof(a->message) + KEEP];
    uint32_t n = r->len < KEEP ? r->len : KEEP, all = a->have + r->len;

    memcpy(msg, a->message, a->have);
    memcpy(msg + a->have, r->head, n);
    enum status st = all < MESSAGE_HEADER ? ST_MORE : judge(a, msg, all, note);
    if (st == ST_MORE) {
        BUG_ON(all > sizeof(a->message));
        memcpy(a->message, msg, all);
        a->have = (uint8_t)all;
    }
    return st;
}

/* ---- encrypted records ----------------------------------------------------------------------- */

/* Decrypts @len bytes behind the header at the head of @in, which stay there as they are. */
static enum status open_record(const struct accept *a, struct crypto_ctx *cc, const struct bufq *in,
                               const uint8_t header[RECORD_HEADER], uint32_t len, struct opened *r)
{
    uint8_t part[STEP], nonce[AEAD_IV_LEN], tag[AEAD_TAG_LEN];
    const struct record_keys *k = &a->handshake;
    uint32_t at = 0;

    record_nonce(k, nonce);
    enum status st =
        aead_begin(cc, (enum aead_alg)k->alg, AEAD_OPEN, k->key, nonce, header, RECORD_HEADER);
    memset(r, 0, sizeof(*r));
    while (at < len && st == ST_OK) {
        uint32_t n = len - at < STEP ? len - at : STEP;
        BUG_ON(!bufq_peek_at(in, RECORD_HEADER + at, part, n));
        st = aead_update(cc, part, part, n);
        if (at == 0)
            memcpy(r->head, part, n < KEEP ? n : KEEP);
        for (uint32_t i = n; i-- > 0;) {
            if (part[i] != 0) {
                r->type = part[i];
                r->len = at + i;
                break;
            }
        }
        at += n;
    }
    if (st == ST_OK) {
        BUG_ON(!bufq_peek_at(in, RECORD_HEADER + len, tag, sizeof(tag)));
        st = aead_open_end(cc, tag);
    }
    crypto_wipe(part, sizeof(part));
    return st;
}

static enum status take_content(struct accept *a, const struct opened *r, struct record_note *note)
{
    if (r->len > RECORD_PLAIN_MAX)
        return fail(note, ST_E_LIMIT, TLS_ALERT_RECORD_OVERFLOW, "TLS record too long");
    if (r->type == RECORD_ALERT && r->len > 0) {
        enum status st = take_alert(a, r->head, r->len, note);
        return st == ST_OK ? ST_MORE : st;
    }
    if (r->type == RECORD_HANDSHAKE && r->len > 0)
        return take_handshake(a, r, note);
    return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                "unexpected record in a TLS handshake");
}

/* ST_OK: Finished; *@eaten tells ST_MORE behind a whole record from ST_MORE inside one. */
static enum status take_record(struct accept *a, const struct accept_env *env, struct bufq *in,
                               const uint8_t header[RECORD_HEADER], uint32_t len, bool *eaten,
                               struct record_note *note)
{
    struct opened r;

    if (len > RECORD_CIPHER_MAX)
        return fail(note, ST_E_LIMIT, TLS_ALERT_RECORD_OVERFLOW, "TLS record too long");
    if (len < RECORD_TAIL)
        return fail(note, ST_E_PROTO, TLS_ALERT_BAD_RECORD_MAC, "TLS record too short");
    if (in->bytes < RECORD_HEADER + len)
        return ST_MORE;
    enum status st = open_record(a, env->cc, in, header, len - AEAD_TAG_LEN, &r);
    if (st == ST_E_AUTH)
        (void)fail(note, st, TLS_ALERT_BAD_RECORD_MAC, "TLS record fails authentication");
    if (st == ST_OK) {
        a->handshake.seq++;
        *eaten = true;
        bufq_drop(in, RECORD_HEADER + len, env->pool);
        st = take_content(a, &r, note);
    }
    crypto_wipe(&r, sizeof(r));
    return st;
}

enum status accept_finish(struct accept *a, const struct accept_env *env, struct bufq *in,
                          struct record_note *note)
{
    for (;;) {
        uint8_t header[RECORD_HEADER];
        bool eaten = false;
        enum status st;

        if (!bufq_peek_at(in, 0, header, sizeof(header)))
            return ST_MORE;
        uint32_t len = get_be16(header + 3);
        if (header[1] != 3)
            return fail(note, ST_E_PROTO, TLS_ALERT_PROTOCOL_VERSION, "not a TLS record");
        if (header[0] != RECORD_CCS && header[0] != RECORD_ALERT && header[0] != RECORD_DATA)
            return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                        "unexpected record in a TLS handshake");
        if (header[2] != 3)
            return fail(note, ST_E_PROTO, TLS_ALERT_DECODE_ERROR, "wrong version in a TLS record");
        if (header[0] == RECORD_DATA) {
            st = take_record(a, env, in, header, len, &eaten, note);
            if (st != ST_MORE || !eaten)
                return st;
            continue;
        }
        st = header[0] == RECORD_CCS ? take_ccs(a, env, in, len, note)
                                     : take_plain_alert(a, env, in, len, note);
        if (st != ST_OK)
            return st;
    }
}
