#include "tls/ossl_io.h"

#include <openssl/bio.h>
#include <string.h>

#include "base/bytes.h"

#define CIPHER_MAX_12 (RECORD_PLAIN_MAX + 2048u) /* RFC 5246 section 6.2.3 */

static int bio_read(BIO *bio, char *dst, size_t len, size_t *got)
{
    struct ossl *o = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len > o->window)
        len = o->window;
    if (len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    *got = bufq_peek(o->in, dst, len);
    bufq_drop(o->in, *got, o->pool);
    o->window -= (uint32_t)*got;
    return 1;
}

/* A fatal alert in the clear: type, version, length 2, level 2, number. */
static void note_alert(struct ossl *o, const uint8_t *p, size_t len)
{
    if (len >= RECORD_HEADER + 2 && p[0] == RECORD_ALERT && get_be16(p + 3) == 2 && p[5] == 2)
        o->alert = p[6];
}

static int bio_write(BIO *bio, const char *src, size_t len, size_t *put)
{
    struct ossl *o = BIO_get_data(bio);
    enum status st;

    BIO_clear_retry_flags(bio);
    *put = 0;
    if (o->out == NULL)
        return 0;
    note_alert(o, (const uint8_t *)src, len);
    if (o->flags == 0) {
        st = bufq_put(o->out, src, len, o->pool);
    } else {
        struct bufq marked;
        bufq_init(&marked, UINT32_MAX);
        st = bufq_put(&marked, src, len, o->pool);
        for (struct span *s = marked.head; s != NULL; s = s->next) {
            s->flags = o->flags;
            o->flags &= (uint8_t)~SPAN_EDGE;
        }
        bufq_move(o->out, &marked);
    }
    if (st != ST_OK) {
        o->nomem = true;
        return 0;
    }
    *put = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *ossl_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "bufq");

    if (m == NULL || BIO_meth_set_read_ex(m, bio_read) != 1 ||
        BIO_meth_set_write_ex(m, bio_write) != 1 || BIO_meth_set_ctrl(m, bio_ctrl) != 1 ||
        BIO_meth_set_create(m, bio_create) != 1) {
        BIO_meth_free(m);
        return NULL;
    }
    return m;
}

enum status ossl_next_record(struct ossl *o)
{
    uint8_t header[RECORD_HEADER];

    if (!bufq_peek_at(o->in, 0, header, sizeof(header)))
        return ST_MORE;
    uint32_t len = get_be16(header + 3);
    if (len > CIPHER_MAX_12)
        len = 0;
    else if (o->in->bytes < RECORD_HEADER + len)
        return ST_MORE;
    o->window = RECORD_HEADER + len;
    return ST_OK;
}
