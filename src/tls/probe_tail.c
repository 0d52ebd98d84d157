#include "tls/probe_tail.h"

#include <string.h>

#include "base/bytes.h"

enum status probe_tail_init(struct probe_tail *t, const char *name, enum tls_probe_alpn alpn,
                            uint16_t suite)
{
    memset(t, 0, sizeof(*t));
    enum status st = tls_probe_new_suite(name, alpn, suite, &t->tls);
    if (st != ST_OK)
        return st;
    st = tls_probe_feed(t->tls, "", 0); /* writes the hello */
    return st == ST_MORE ? ST_OK : st;
}

void probe_tail_fini(struct probe_tail *t)
{
    tls_probe_free(t->tls);
    t->tls = NULL;
}

size_t probe_tail_take(struct probe_tail *t, void *out, size_t cap)
{
    return tls_probe_take(t->tls, out, cap);
}

void probe_tail_begin(struct probe_tail *t)
{
    t->counts = true;
    t->half = t->have > 0;
}

/* The record may be counted: it is no alert, which looks like any other from outside. */
static void count(struct probe_tail *t, size_t total, bool alert)
{
    bool fits = t->record[0] == RECORD_DATA && get_be16(t->record + 1) == 0x0303 &&
                total >= RECORD_OVERHEAD && t->count < PROBE_TAIL_MAX;

    t->over = t->over || alert || !fits;
    if (!t->over)
        t->len[t->count++] = (uint16_t)total;
}

/* A whole record is there. */
static enum status use_record(struct probe_tail *t, size_t total)
{
    uint8_t waste[4096];
    enum status st = tls_probe_feed(t->tls, t->record, total);

    while (st == ST_OK && tls_probe_hear(t->tls, waste, sizeof(waste)) > 0)
        ;
    t->have = 0;
    if (!t->ready) {
        t->ready = st == ST_OK;
        return st == ST_EOF ? ST_E_PROTO : st;
    }
    if (t->counts && !t->half)
        count(t, total, st != ST_OK);
    t->half = false;
    /* The handshake has succeeded; what comes after it cannot change that. */
    if (st != ST_OK)
        t->over = true;
    return st == ST_OK ? ST_OK : ST_EOF;
}

enum status probe_tail_feed(struct probe_tail *t, const uint8_t *in, size_t len)
{
    enum status st = t->over ? ST_EOF : t->ready ? ST_OK : ST_MORE;

    while (len > 0 && st >= 0 && st != ST_EOF) {
        size_t want = RECORD_HEADER;
        if (t->have >= RECORD_HEADER)
            want += get_be16(t->record + 3);
        if (want > sizeof(t->record)) {
            t->over = true;
            return t->ready ? ST_EOF : ST_E_PROTO;
        }
        size_t n = want - t->have < len ? want - t->have : len;
        memcpy(t->record + t->have, in, n);
        t->have += n;
        in += n;
        len -= n;
        if (t->have >= RECORD_HEADER && t->have == RECORD_HEADER + get_be16(t->record + 3))
            st = use_record(t, t->have);
    }
    return st;
}
