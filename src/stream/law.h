/* stream/law.h - the laws every layer keeps, as a test helper: whatever way the bytes are cut,
 * however full the queues are and whichever allocation fails, the relay sees the same bytes, a full
 * queue takes no more, a blk that somebody else holds is not written into on its way down, nobody
 * crashes and nothing leaks. For tests; no program links it.
 *
 * A case is a client's script and what must come out of it. law_check runs it whole, byte by byte,
 * in random cuts (own and shared blks), with output queues of cap 1 drained one span at a time, and
 * with the i-th allocation failing for all i until the case passes untouched. Deterministic: fixed
 * seeds; the clock moves to a layer's wake-up when nothing else is left, a few times.
 *
 *     static const struct chain_stage stages[] = {{&ws_server_ops, &conf}};
 *     const struct law_case c = {.stages = stages, .count = 1, .wire = script, .plain = want, ...};
 *     char err[LAW_ERR_LEN];
 *     if (!law_check(&c, err))
 *         fail_msg("%s", err);
 */
#ifndef STREAM_LAW_H
#define STREAM_LAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/chain.h"

#define LAW_ERR_LEN 200

/* A live client, for layers whose answers the client must read (a TLS handshake). Each run opens
 * its own. */
struct law_peer {
    void *(*open)(void *arg); /* NULL: the test cannot go on */
    /* Reads @len bytes from the server (0 on the first call) and returns how many of at most @cap
     * it wrote to @out. Called again until it writes nothing. */
    size_t (*talk)(void *peer, const uint8_t *in, size_t len, uint8_t *out, size_t cap);
    void (*close)(void *peer);
};

struct law_case {
    const struct chain_stage *stages;
    unsigned count;
    /* users, crypto, rng, info; the pool is the harness's. NULL: a pool and a fresh info only */
    const struct env *env;
    void *arg; /* for the callbacks below */

    const uint8_t *wire; /* what the client sends ... */
    size_t wire_len;
    const struct law_peer *peer; /* ... or a live client in its place (@wire NULL) */
    bool wire_eof; /* the client's direction ends after that (also with a peer that fell silent) */

    /* what the relay must get, exactly; after EV_DIVERT also what chain_divert gives back */
    const uint8_t *plain;
    size_t plain_len;
    bool plain_eof; /* ... and whether its queue must end */

    const uint8_t *down; /* what the relay sends, from the moment all of @events were reported */
    size_t down_len;
    bool down_eof;

    uint32_t events; /* enum events_mask: all of these must be reported */
    enum status end; /* what chain_run must end with: ST_OK or an error */
    unsigned runs;   /* random cuts; 0 = LAW_RUNS */

    /* Judges all bytes that went to the wire in one whole run (NULL: anything is fine). With a
     * peer, who judged them already, it gets them too. */
    bool (*written)(void *arg, const uint8_t *wire, size_t len);
    /* Sees what each chain_run reported, right after it. */
    void (*reported)(void *arg, const struct events *ev);
};

#define LAW_RUNS 24

/* True when every law holds; else @err says which one, in which run and where. */
bool law_check(const struct law_case *c, char err[LAW_ERR_LEN]);

#endif
