#include <string.h>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "tls/alert.h"
#include "tls/record.h"
#include "tls/record_keys.h"

/* Empty records, KeyUpdates and warnings cost work and bring nothing: so many in a row are an
 * attack. */
#define IDLE_MAX 32u
/* Plaintext up to this size is copied behind what is queued, so that a peer who sends a byte at
 * a time does not hold one blk a byte. */
#define COPY_MAX 256u

#define MESSAGE_KEY_UPDATE 24u

/* One verified record at the head of the queue. */
struct opened {
    uint32_t wire;    /* header, ciphertext, tag */
    uint32_t content; /* bytes of content, right behind the header */
    uint8_t type;     /* 0: nothing but padding */
};

static enum status fail(struct record_note *note, enum status st, uint8_t alert, const char *text)
{
    note->alert = alert;
    note->text = text;
    return st;
}

/* Sets content and type from the last byte that is not zero (RFC 8446 section 5.4). Looks from the
 * end, because nearly every record has its type there and no padding. */
static void find_type(const struct bufq *in, uint32_t len, struct opened *r)
{
    uint8_t piece[64];

    r->type = 0;
    r->content = 0;
    while (len > 0) {
        uint32_t n = len < sizeof(piece) ? len : (uint32_t)sizeof(piece);
        BUG_ON(!bufq_peek_at(in, RECORD_HEADER + len - n, piece, n));
        for (uint32_t i = n; i-- > 0;) {
            if (piece[i] != 0) {
                r->type = piece[i];
                r->content = len - n + i;
                return;
            }
        }
        len -= n;
    }
}

/* Decrypts @len bytes from offset RECORD_HEADER in place. */
static enum status decrypt(struct crypto_ctx *cc, struct bufq *in, uint32_t len)
{
    uint32_t skip = RECORD_HEADER, done = 0;

    for (struct span *s = in->head; done < len; s = s->next) {
        if (skip >= s->len) {
            skip -= s->len;
            continue;
        }
        uint8_t *p = span_data(s) + skip;
        uint32_t n = s->len - skip;
        if (n > len - done)
            n = len - done;
        enum status st = aead_update(cc, p, p, n);
        if (st != ST_OK)
            return st;
        done += n;
        skip = 0;
    }
    return ST_OK;
}

/* Opens the record at the head of @in, leaving it there. */
static enum status open_one(struct record_keys *k, struct crypto_ctx *cc, struct bufq *in,
                            struct opened *r, struct record_note *note)
{
    uint8_t header[RECORD_HEADER], nonce[AEAD_IV_LEN], tag[AEAD_TAG_LEN];

    if (!bufq_peek_at(in, 0, header, sizeof(header)))
        return ST_MORE;
    uint32_t len = get_be16(header + 3);
    if (header[0] != RECORD_DATA || header[1] != 3)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE, "not an encrypted TLS record");
    if (len > RECORD_CIPHER_MAX)
        return fail(note, ST_E_LIMIT, TLS_ALERT_RECORD_OVERFLOW, "TLS record too long");
    if (len < RECORD_TAIL)
        return fail(note, ST_E_PROTO, TLS_ALERT_BAD_RECORD_MAC, "TLS record too short");
    r->wire = RECORD_HEADER + len;
    if (!bufq_peek_at(in, r->wire - AEAD_TAG_LEN, tag, sizeof(tag)))
        return ST_MORE;

    record_nonce(k, nonce);
    enum status st =
        aead_begin(cc, (enum aead_alg)k->alg, AEAD_OPEN, k->key, nonce, header, sizeof(header));
    if (st == ST_OK)
        st = decrypt(cc, in, len - AEAD_TAG_LEN);
    if (st == ST_OK)
        st = aead_open_end(cc, tag);
    if (st == ST_E_AUTH)
        return fail(note, st, TLS_ALERT_BAD_RECORD_MAC, "TLS record fails authentication");
    if (st != ST_OK)
        return fail(note, st, TLS_ALERT_INTERNAL_ERROR, "cannot open a TLS record");
    find_type(in, len - AEAD_TAG_LEN, r);
    k->seq++;
    if (len - AEAD_TAG_LEN > RECORD_PLAIN_MAX + 1)
        return fail(note, ST_E_LIMIT, TLS_ALERT_RECORD_OVERFLOW, "TLS record too long");
    return ST_OK;
}

/* Moves the content of @r from @in to @up. */
static enum status deliver(const struct opened *r, struct pool *p, struct bufq *in, struct bufq *up)
{
    bufq_drop(in, RECORD_HEADER, p);
    if (r->content <= COPY_MAX) {
        uint8_t copy[COPY_MAX];
        bufq_peek(in, copy, r->content);
        bufq_drop(in, r->wire - RECORD_HEADER, p);
        return r->content > 0 ? bufq_put(up, copy, r->content, p) : ST_OK;
    }
    if (bufq_move_bytes(up, in, r->content, p) != r->content)
        return ST_E_NOMEM;
    bufq_drop(in, r->wire - RECORD_HEADER - r->content, p);
    return ST_OK;
}

static enum status take_alert(struct record_keys *k, const uint8_t *msg, uint32_t len,
                              struct bufq *up, struct record_note *note)
{
    if (len != 2)
        return fail(note, ST_E_PROTO, TLS_ALERT_DECODE_ERROR, "malformed TLS alert");
    if (msg[1] == TLS_ALERT_CLOSE_NOTIFY) {
        k->closed = true;
        up->eof = true;
        return ST_OK;
    }
    /* The one other alert that is not fatal; close_notify follows it (RFC 8446 section 6.1). */
    if (msg[1] == TLS_ALERT_USER_CANCELED)
        return ST_OK;
    note->peer_alert = msg[1];
    return fail(note, ST_E_CLOSED, 0, "the client sent a TLS alert");
}

/* After its Finished a client that was asked for no certificate has nothing to say but
 * KeyUpdate, which ends its record (RFC 8446 section 5.1). */
static enum status take_handshake(struct record_keys *k, struct crypto_ctx *cc, const uint8_t *msg,
                                  uint32_t len, struct record_note *note)
{
    if (len != 5 || msg[0] != MESSAGE_KEY_UPDATE || get_be24(msg + 1) != 1)
        return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE,
                    "unexpected handshake message after the TLS handshake");
    if (msg[4] > 1)
        return fail(note, ST_E_PROTO, TLS_ALERT_ILLEGAL_PARAMETER, "malformed TLS KeyUpdate");
    if (msg[4] == 1)
        note->update_asked = true;
    return record_keys_update(k, cc);
}

static enum status take_control(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                                struct bufq *in, const struct opened *r, struct bufq *up,
                                struct record_note *note)
{
    uint8_t msg[8] = {0};
    uint32_t n = r->content < sizeof(msg) ? r->content : (uint32_t)sizeof(msg);

    (void)bufq_peek_at(in, RECORD_HEADER, msg, n);
    bufq_drop(in, r->wire, p);
    if (r->type == RECORD_ALERT)
        return take_alert(k, msg, r->content, up, note);
    if (r->type == RECORD_HANDSHAKE)
        return take_handshake(k, cc, msg, r->content, note);
    return fail(note, ST_E_PROTO, TLS_ALERT_UNEXPECTED_MESSAGE, "unexpected TLS record type");
}

enum status record_open(struct record_keys *k, struct crypto_ctx *cc, struct pool *p,
                        struct bufq *in, struct bufq *up, unsigned max, struct record_note *note)
{
    for (unsigned n = 0; !k->closed; n++) {
        struct opened r;

        if (bufq_room(up) == 0)
            return ST_FULL;
        if (in->bytes == 0)
            break;
        if (max > 0 && n == max)
            return ST_YIELD;
        enum status st = open_one(k, cc, in, &r, note);
        if (st != ST_OK)
            return st;
        bool data = r.type == RECORD_DATA;
        k->idle = data && r.content > 0 ? 0 : (uint8_t)(k->idle + 1);
        if (k->idle > IDLE_MAX)
            return fail(note, ST_E_LIMIT, TLS_ALERT_UNEXPECTED_MESSAGE,
                        "too many TLS records without data");
        st = data ? deliver(&r, p, in, up) : take_control(k, cc, p, in, &r, up, note);
        if (st != ST_OK)
            return st;
    }
    bufq_clear(in, p); /* empty spans, or what followed close_notify */
    return ST_OK;
}
