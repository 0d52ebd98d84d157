#include "tls/record_pair.h"

#include "crypto/mem.h"
#include "tls/alert.h"

enum status record_pair_fail(struct record_pair *r, const struct env *env, struct turn *t,
                             enum status st, const struct record_note *note)
{
    /* Out of memory the alert does not get out either: the error that counts is the first. */
    if (note->alert != 0 && !r->tx_left)
        (void)!record_seal_alert(&r->tx, env->crypto, env->pool, note->alert, t->wire_out);
    return turn_fail(t, st, note->text != NULL ? note->text : "cannot open a TLS record",
                     note->peer_alert != 0 ? note->peer_alert : note->alert);
}

enum status record_pair_rx(struct record_pair *r, const struct env *env, struct turn *t,
                           unsigned max)
{
    struct record_note note = {0};
    enum status st = record_open(&r->rx, env->crypto, env->pool, t->wire_in, t->up, max, &note);

    r->update_owed |= note.update_asked && !r->tx_left;
    return st < 0 ? record_pair_fail(r, env, t, st, &note) : st;
}

enum status record_pair_tx(struct record_pair *r, const struct env *env, struct turn *t)
{
    enum status st = ST_OK;

    /* One answer to any number of requests (RFC 8446 section 4.6.3), and none while the peer does
     * not read. */
    if (r->update_owed && bufq_room(t->wire_out) > 0) {
        r->update_owed = false;
        st = record_seal_update(&r->tx, env->crypto, env->pool, t->wire_out);
    }
    if (st == ST_OK)
        st = record_seal(&r->tx, env->crypto, env->pool, t->down, t->wire_out);
    return st < 0 ? turn_fail(t, st, "cannot seal a TLS record", 0) : st;
}

enum status record_pair_shut(struct record_pair *r, const struct env *env, struct turn *t)
{
    enum status st =
        record_seal_alert(&r->tx, env->crypto, env->pool, TLS_ALERT_CLOSE_NOTIFY, t->wire_out);

    t->wire_out->eof = true;
    return st < 0 ? turn_fail(t, st, "cannot seal a TLS record", 0) : st;
}

bool record_pair_leave(struct record_pair *r, enum chain_dir dir)
{
    record_keys_wipe(dir == CHAIN_RX ? &r->rx : &r->tx);
    if (dir == CHAIN_TX) {
        r->tx_left = true;
        r->update_owed = false;
    }
    return true;
}

void record_pair_wipe(struct record_pair *r)
{
    crypto_wipe(r, sizeof(*r));
}
