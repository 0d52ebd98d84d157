#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/mem.h"
#include "tls/alert.h"
#include "tls/flight.h"
#include "tls/record_keys.h"

/* Nobody pads a Finished; what is longer than this is none. */
#define CONTENT_MAX 512u
/* More records without meaning than Go's server takes. */
#define SKIP_MAX 16u

#define MESSAGE_FINISHED 20u
#define MESSAGE_HEADER   4u

static enum status fail(struct record_note *note, enum status st, uint8_t alert, const char *text)
{
    note->alert = alert;
    note->text = text;
    return st;
}

static enum status take_ccs(struct flight *f, const struct bufq *in, uint32_t len,
                            struct record_note *note)
{
    uint8_t byte;

    if (len != 1)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE, "malformed change_cipher_spec");
    if (!bufq_peek_at(in, f->passed + RECORD_HEADER, &byte, 1))
        return ST_MORE;
    if (byte != 1 || ++f->skipped > SKIP_MAX)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "unexpected change_cipher_spec");
    f->passed += RECORD_HEADER + 1;
    return ST_OK;
}

static enum status take_alert(const uint8_t *msg, uint32_t len, struct record_note *note)
{
    if (len != 2)
        return fail(note, ST_E_PROTO, TLS_ALERT_DECODE_ERROR, "malformed TLS alert");
    note->peer_alert = msg[1];
    return fail(note, ST_E_CLOSED, 0, "the client sent a TLS alert");
}

/* A client that cannot use our hello says so in the clear. */
static enum status take_plain_alert(const struct flight *f, const struct bufq *in, uint32_t len,
                                    struct record_note *note)
{
    uint8_t msg[2] = {0};

    if (len == sizeof(msg) && !bufq_peek_at(in, f->passed + RECORD_HEADER, msg, sizeof(msg)))
        return ST_MORE;
    return take_alert(msg, len, note);
}

/* @data: a decrypted record of @len bytes, type and padding included. */
static enum status judge(const struct flight *f, const uint8_t *data, uint32_t len,
                         struct record_note *note)
{
    while (len > 0 && data[len - 1] == 0)
        len--;
    uint8_t type = len > 0 ? data[--len] : 0;
    if (type == RECORD_ALERT)
        return take_alert(data, len, note);
    if (type != RECORD_HANDSHAKE || len < MESSAGE_HEADER || data[0] != MESSAGE_FINISHED)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "not the Finished message of a TLS handshake");
    if (len != MESSAGE_HEADER + f->finished_len || get_be24(data + 1) != f->finished_len)
        return fail(note, ST_E_PROTO, TLS_ALERT_DECODE_ERROR, "malformed TLS Finished");
    if (!crypto_ct_equal(data + MESSAGE_HEADER, f->finished, f->finished_len))
        return fail(note, ST_E_AUTH, TLS_ALERT_DECRYPT_ERROR, "wrong TLS Finished");
    return ST_OK;
}

static enum status take_finished(struct flight *f, struct crypto_ctx *cc, struct pool *p,
                                 struct bufq *in, const uint8_t header[RECORD_HEADER], uint32_t len,
                                 struct record_note *note)
{
    uint8_t data[CONTENT_MAX], nonce[AEAD_IV_LEN];

    if (len > sizeof(data))
        return fail(note, ST_E_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "not the Finished message of a TLS handshake");
    if (len < RECORD_TAIL)
        return fail(note, ST_E_PROTO, TLS_ALERT_BAD_RECORD_MAC, "TLS record too short");
    if (!bufq_peek_at(in, f->passed + RECORD_HEADER, data, len))
        return ST_MORE;
    uint32_t inner = len - AEAD_TAG_LEN;
    record_nonce(&f->handshake, nonce);
    enum status st = aead_open(cc, (enum aead_alg)f->handshake.alg, f->handshake.key, nonce, header,
                               RECORD_HEADER, data, inner, data + inner);
    if (st == ST_E_AUTH)
        st = fail(note, st, TLS_ALERT_BAD_RECORD_MAC, "TLS record fails authentication");
    f->opened = st == ST_OK;
    if (st == ST_OK)
        st = judge(f, data, inner, note);
    if (st == ST_OK)
        bufq_drop(in, f->passed + RECORD_HEADER + len, p);
    crypto_wipe(data, sizeof(data));
    return st;
}

enum status flight_finish(struct flight *f, struct crypto_ctx *cc, struct pool *p, struct bufq *in,
                          struct record_note *note)
{
    for (;;) {
        uint8_t header[RECORD_HEADER];
        enum status st;

        if (!bufq_peek_at(in, f->passed, header, sizeof(header)))
            return ST_MORE;
        uint32_t len = get_be16(header + 3);
        if (header[0] == RECORD_CCS)
            st = take_ccs(f, in, len, note);
        else if (header[0] == RECORD_ALERT)
            return take_plain_alert(f, in, len, note);
        else if (header[0] == RECORD_DATA && header[1] == 3)
            return take_finished(f, cc, p, in, header, len, note);
        else
            return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                        "unexpected record in a TLS handshake");
        if (st != ST_OK)
            return st;
    }
}
