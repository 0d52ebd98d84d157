/* tls/record_pair.h - TLS 1.3 after the handshake as a layer sees it: both directions of the record
 * layer over the queues of a turn. For the layers that own such a connection. Pure. */
#ifndef TLS_RECORD_PAIR_H
#define TLS_RECORD_PAIR_H

#include "stream/layer.h"
#include "tls/record.h"

struct record_pair {
    struct record_keys rx, tx;
    bool update_owed; /* the client asked for new keys on our side */
    bool tx_left;     /* what goes out is not ours any more */
};

/* The rx, tx and shut of a layer (stream/layer.h): answers and errors are those of record_open,
 * record_seal and record_seal_alert; @max as in record_open. After an error of rx the alert is in
 * wire_out and nothing may follow. */
NODISCARD enum status record_pair_rx(struct record_pair *r, const struct env *env, struct turn *t,
                                     unsigned max);
NODISCARD enum status record_pair_tx(struct record_pair *r, const struct env *env, struct turn *t);
NODISCARD enum status record_pair_shut(struct record_pair *r, const struct env *env,
                                       struct turn *t);
/* Queues the alert of @note, if it has one, and reports the error as the turn's. Returns @st. */
enum status record_pair_fail(struct record_pair *r, const struct env *env, struct turn *t,
                             enum status st, const struct record_note *note);
/* The layer leaves a direction (struct layer_ops.leave): its keys are wiped, and in tx neither
 * alert nor key update is sent any more. Always true: it goes. */
bool record_pair_leave(struct record_pair *r, enum chain_dir dir);
void record_pair_wipe(struct record_pair *r);

#endif
