/* Datagrams under rules: a verdict for each of the last few destinations, and what the first
 * datagrams to it have told, and the first of each connection of QUIC that begins later. */
#include <string.h>

#include "base/frame.h"
#include "session/screen_judge.h"
#include "session/worker.h"

#define DESTS_MAX 4u /* of a flow that are remembered; beyond that they are judged again */
/* Datagrams to a destination that are looked at: of other protocols the first ones, of QUIC as many
 * as sniff.h bounds. */
#define LOOKS_MAX SNIFF_DATAGRAMS_MAX

struct dest {
    struct target to;
    uint8_t looked;
    bool settled; /* nothing more is looked at */
    bool blocked;
};

struct screen {
    uint64_t generation; /* of the view whose rules gave the verdicts */
    struct target first; /* port 0: not known by what the client asked for */
    struct dest dests[DESTS_MAX];
    uint8_t used, next, last; /* dests in use; the one to go; the one of the last datagram */
    uint8_t sniffed;          /* the one whose pieces are in @sniff */
    bool ended;
    struct sniff_datagrams sniff;
    uint32_t judged; /* datagrams at the head of the queue */
};

static struct pool *pool_of(const struct screen_flow *f)
{
    return f->wn->worker->pool;
}

/* Has its memory, with verdicts of the current rules only. */
static struct screen *prepare(struct screen **sc, const struct screen_flow *f)
{
    if (*sc == NULL) {
        *sc = pool_alloc(pool_of(f), sizeof(**sc));
        if (*sc == NULL)
            return NULL;
        (*sc)->generation = f->wn->view->generation;
    }
    if ((*sc)->generation != f->wn->view->generation) {
        (*sc)->generation = f->wn->view->generation;
        (*sc)->used = (*sc)->next = (*sc)->last = 0;
        sniff_datagrams_fini(&(*sc)->sniff, pool_of(f));
    }
    return *sc;
}

bool screen_begin(struct screen **sc, const struct screen_flow *f, const struct target *to)
{
    struct screen *s = prepare(sc, f);

    if (s != NULL)
        s->first = *to;
    return s != NULL;
}

/* ---- destinations ---------------------------------------------------------------------------- */

static bool same_target(const struct target *a, const struct target *b)
{
    if (a->host_len != b->host_len || a->addr.port != b->addr.port)
        return false;
    return a->host_len > 0 ? memcmp(a->host, b->host, a->host_len) == 0
                           : addr_ip_equal(&a->addr, &b->addr);
}

static struct dest *find(struct screen *s, const struct target *to)
{
    if (s->used > 0 && same_target(&s->dests[s->last].to, to))
        return &s->dests[s->last];
    for (uint8_t i = 0; i < s->used; i++) {
        if (same_target(&s->dests[i].to, to)) {
            s->last = i;
            return &s->dests[i];
        }
    }
    return NULL;
}

/* A new destination: its rules for addresses, ports and names. */
static struct dest *add(struct screen *s, const struct screen_flow *f, const struct target *to)
{
    uint8_t at = s->next;
    struct dest *d = &s->dests[at];

    s->next = (uint8_t)((at + 1) % DESTS_MAX);
    if (s->used < DESTS_MAX)
        s->used++;
    s->last = at;
    if (s->sniffed == at)
        sniff_datagrams_fini(&s->sniff, pool_of(f));
    *d = (struct dest){.to = *to};
    d->blocked = !screen_judge(f, to, true, NULL);
    d->settled = d->blocked || !screen_sniffs(f->wn);
    return d;
}

/* ---- what they say --------------------------------------------------------------------------- */

/* False: this one has told nothing. */
static bool look(struct screen *s, const struct screen_flow *f, struct dest *d, const uint8_t *p,
                 size_t n)
{
    uint8_t at = (uint8_t)(d - s->dests);
    struct sniff found;

    if (s->sniffed != at)
        sniff_datagrams_fini(&s->sniff, pool_of(f));
    s->sniffed = at;
    enum status st =
        sniff_datagrams_feed(&s->sniff, pool_of(f), f->wn->worker->crypto, p, n, &found);
    d->looked++;
    d->settled = st == ST_OK || d->looked >= LOOKS_MAX;
    /* That it is QUIC may be enough, before its name is whole. */
    s->ended = found.protocol != SNIFF_NONE && !screen_judge(f, &d->to, true, &found);
    if (d->settled)
        sniff_datagrams_fini(&s->sniff, pool_of(f));
    return found.protocol != SNIFF_NONE;
}

/* Applications with one socket for all their connections reach several names at one address. What
 * cannot be opened, as the later Initial packets of a connection, leaves things as they are. */
static void look_again(struct screen *s, const struct screen_flow *f, struct dest *d,
                       const uint8_t *p, size_t n)
{
    d->looked = 0;
    if (look(s, f, d, p, n))
        return;
    d->settled = true;
    sniff_datagrams_fini(&s->sniff, pool_of(f));
}

static enum screen_answer judge(struct screen *s, const struct screen_flow *f,
                                const struct target *to, const uint8_t *p, size_t n)
{
    if (s->ended)
        return SCREEN_BLOCKED;
    struct dest *d = find(s, to);
    if (d == NULL)
        d = add(s, f, to);
    if (!d->settled)
        (void)look(s, f, d, p, n);
    else if (!d->blocked && screen_sniffs(f->wn) && sniff_quic_begins(p, n))
        look_again(s, f, d, p, n);
    return d->blocked || s->ended ? SCREEN_BLOCKED : SCREEN_PASS;
}

enum screen_answer screen_datagram(struct screen **sc, const struct screen_flow *f,
                                   const struct target *to, const uint8_t *p, size_t n)
{
    struct screen *s = prepare(sc, f);

    return s != NULL ? judge(s, f, to, p, n) : SCREEN_BLOCKED;
}

/* ---- queues ---------------------------------------------------------------------------------- */

/* Where the datagram @d goes. */
static void target_of(const struct screen *s, const struct span *d, const struct addr *dflt,
                      struct target *to)
{
    if (d->peer.family == ADDR_NAME) {
        frame_get_target(d, to);
    } else if (d->peer.family != ADDR_NONE) {
        to->host_len = 0;
        to->addr = d->peer;
    } else if (s->first.addr.port != 0) {
        *to = s->first;
    } else {
        to->host_len = 0;
        to->addr = *dflt;
    }
}

/* Is the datagram for the address that the last one was for, is that settled, and nothing new
 * begun? */
static bool passes_at_once(const struct screen *s, const struct span *d)
{
    const struct dest *last = &s->dests[s->last];

    return s->used > 0 && last->settled && !last->blocked && last->to.host_len == 0 &&
           addr_equal(&last->to.addr, &d->peer) && !sniff_quic_begins(span_data(d), d->len);
}

enum status screen_queue(struct screen **sc, const struct screen_flow *f, const struct addr *dflt,
                         struct bufq *q)
{
    struct screen *s = prepare(sc, f);
    struct target to;

    if (s == NULL)
        return ST_E_REFUSED;
    uint32_t n = q->count;
    for (uint32_t i = 0; i < n && n > s->judged && !s->ended; i++) {
        struct span *d = bufq_pop(q);
        enum screen_answer answer = SCREEN_PASS;
        if (i >= s->judged && !passes_at_once(s, d)) {
            target_of(s, d, dflt, &to);
            answer = judge(s, f, &to, span_data(d), d->len);
        }
        if (answer == SCREEN_PASS)
            bufq_push(q, d);
        else
            span_free(pool_of(f), d);
    }
    s->judged = q->count;
    return s->ended ? ST_E_REFUSED : ST_OK;
}

void screen_taken(struct screen *sc, const struct bufq *q)
{
    if (sc != NULL)
        sc->judged = q->count;
}

bool screen_ended(const struct screen *sc)
{
    return sc != NULL && sc->ended;
}

void screen_free(struct screen *sc, struct pool *pool)
{
    if (sc == NULL)
        return;
    sniff_datagrams_fini(&sc->sniff, pool);
    pool_release(pool, sc, sizeof(*sc));
}
