#include "stream/law.h"

#include <stdio.h>
#include <string.h>

#define NOW_US    1000000u
#define TICKS_MAX 8u /* times a run that has come to rest goes on at a wake-up of a layer */
#define UNIX_S    1763726047
#define FAILS_MAX 100000u
#define TALK_MAX  32768u
#define BYTES_MAX 4096u /* cut byte by byte this far, then in small pieces: every piece is a blk */
#define ROOM_BYTE 0x5a  /* fills what lies around a span */
#define IDLE_MAX  4u    /* rounds without a byte moved before a run counts as over */

enum cut { CUT_WHOLE, CUT_BYTE, CUT_RANDOM };

/* How one run goes about it. */
struct way {
    enum cut cut;
    bool shared; /* spans are views of blks with another holder */
    bool full; /* output queues of cap 1, drained by one span now and then and when nothing moves */
    uint64_t seed;
    unsigned fail; /* the allocation that fails, 0 = none */
    bool sticky;
};

struct run {
    const struct law_case *c;
    const struct way *way;
    char *err;
    struct pool *pool; /* what the layers use */
    struct pool *own;  /* the harness's, never failing */
    struct env env;
    struct conn_info info;
    struct chain chain;
    struct bufq feed; /* cut, waiting to be sent */
    struct bufq held; /* second holders of shared blks that came from the wire */
    struct bufq sent; /* and of those the relay sent: nobody may write into them */
    void *peer;
    uint64_t x; /* random state */
    size_t plain_at, down_at;
    uint8_t *out;                  /* all that was written to the wire */
    size_t out_len, out_cap, told; /* told: what the peer has read of it */
    uint64_t now, wake;
    unsigned ticks;
    uint32_t seen;
    enum status st;
    bool out_of_memory, diverted, broken;
};

static uint32_t random_below(struct run *r, uint32_t n)
{
    r->x ^= r->x << 13;
    r->x ^= r->x >> 7;
    r->x ^= r->x << 17;
    return (uint32_t)((r->x >> 20) % n);
}

static void broken(struct run *r, const char *text, size_t at)
{
    static const char *const cuts[] = {"whole", "bytes", "random cuts"};
    if (r->broken)
        return;
    r->broken = true;
    snprintf(r->err, LAW_ERR_LEN, "%s at %zu [%s%s%s seed=%u fail=%u%s] status %s", text, at,
             cuts[r->way->cut], r->way->shared ? " shared" : "", r->way->full ? " full" : "",
             (unsigned)r->way->seed, r->way->fail, r->way->sticky ? "+" : "", status_str(r->st));
}

static size_t cut_len(struct run *r, size_t at, size_t left)
{
    static const uint32_t scales[] = {8000, 8, 60, 1000};
    size_t n = left;
    if (r->way->cut == CUT_BYTE)
        n = at < BYTES_MAX ? 1 : 1 + random_below(r, 64);
    else if (r->way->cut == CUT_RANDOM)
        n = 1 + random_below(r, scales[left > BYTES_MAX ? 3 : r->way->seed % 4]);
    if (n > BLK_DATA)
        n = BLK_DATA;
    return n < left ? n : left;
}

/* A span of @n bytes the way a reader would give it, or with no room in front of it, or with a blk
 * that somebody else holds too: layers must look before they write around a span. */
static struct span *span_made(struct run *r, struct bufq *twins, const uint8_t *data, size_t n)
{
    struct span *s = span_new_for(r->pool, n);
    if (s == NULL) {
        r->out_of_memory = true;
        return NULL;
    }
    if (r->way->cut == CUT_RANDOM && random_below(r, 4) == 0)
        s->off = 0;
    memset(s->blk->mem, ROOM_BYTE, s->blk->size);
    memcpy(span_data(s), data, n);
    s->len = (uint32_t)n;
    if (r->way->shared) {
        struct span *twin = span_share(r->pool, s);
        if (twin != NULL)
            bufq_push(twins, twin);
    }
    return s;
}

/* Whether the blks of what the relay sent are as they were, room included. */
static bool sent_is_untouched(const struct run *r)
{
    size_t at = 0;
    for (const struct span *s = r->sent.head; s != NULL; at += s->len, s = s->next) {
        if (memcmp(span_data(s), r->c->down + at, s->len) != 0)
            return false;
        for (uint32_t i = 0; i < s->blk->size; i++)
            if ((i < s->off || i >= s->off + s->len) && s->blk->mem[i] != ROOM_BYTE)
                return false;
    }
    return true;
}

static void cut_up(struct run *r, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = cut_len(r, at, len - at);
        struct span *s = span_made(r, &r->held, data + at, n);
        if (s == NULL)
            return;
        bufq_push(&r->feed, s);
        at += n;
    }
}

static bool feed_some(struct run *r)
{
    struct bufq *in = chain_bottom_in(&r->chain);
    struct span *s = bufq_pop(&r->feed);
    if (s != NULL) {
        bufq_push(in, s);
        return true;
    }
    if (r->c->wire_eof && !in->eof && (r->c->peer == NULL || r->plain_at == r->c->plain_len)) {
        in->eof = true;
        return true;
    }
    return false;
}

static bool push_down(struct run *r)
{
    struct bufq *down = chain_down(&r->chain);
    size_t left = r->c->down_len - r->down_at;
    if ((r->seen & r->c->events) != r->c->events || r->diverted)
        return false;
    if (left > 0 && bufq_room(down) > 0) {
        size_t n = cut_len(r, r->down_at, left);
        struct span *s = span_made(r, &r->sent, r->c->down + r->down_at, n);
        if (s == NULL)
            return false;
        bufq_push(down, s);
        r->down_at += n;
        return true;
    }
    if (left == 0 && r->c->down_eof && !down->eof) {
        down->eof = true;
        return true;
    }
    return false;
}

static void take_plain(struct run *r, struct span *s)
{
    size_t left = r->c->plain_len - r->plain_at;
    if (s->len > left)
        broken(r, "more plain bytes than expected", r->plain_at + left);
    else if (memcmp(r->c->plain + r->plain_at, span_data(s), s->len) != 0)
        broken(r, "plain bytes differ in the span", r->plain_at);
    r->plain_at += s->len <= left ? s->len : left;
    span_free(r->pool, s);
}

static void take_out(struct run *r, struct span *s)
{
    if (r->out_cap - r->out_len < s->len) {
        broken(r, "too many bytes written", r->out_len);
    } else {
        memcpy(r->out + r->out_len, span_data(s), s->len);
        r->out_len += s->len;
    }
    span_free(r->pool, s);
}

/* Empties the outer queues, or takes one span of each. */
static bool drain(struct run *r, bool one)
{
    bool any = false;
    struct span *s;
    while ((s = bufq_pop(chain_up(&r->chain))) != NULL) {
        take_plain(r, s);
        any = true;
        if (one)
            break;
    }
    while ((s = bufq_pop(chain_bottom_out(&r->chain))) != NULL) {
        take_out(r, s);
        any = true;
        if (one)
            break;
    }
    return any;
}

static bool talk(struct run *r)
{
    if (r->peer == NULL)
        return false;
    uint8_t *buf = pool_alloc(r->own, TALK_MAX);
    if (buf == NULL)
        return false;
    size_t n, len = r->out_len - r->told;
    bool any = len > 0;
    n = r->c->peer->talk(r->peer, r->out + r->told, len, buf, TALK_MAX);
    r->told = r->out_len;
    while (n > 0 && !r->out_of_memory) {
        any = true;
        cut_up(r, buf, n);
        n = r->c->peer->talk(r->peer, NULL, 0, buf, TALK_MAX);
    }
    pool_release(r->own, buf, TALK_MAX);
    return any;
}

/* A queue at its cap takes nothing more; the bottom's takes answers and last words of the layers,
 * but no bytes of the relay. */
static void check_caps(struct run *r, const struct chain *was, const struct bufq *up,
                       const struct bufq *down, const struct bufq *out)
{
    if (r->st < 0 || r->diverted || was->count != r->chain.count)
        return;
    if (bufq_room(up) == 0 && chain_up(&r->chain)->bytes > up->bytes)
        broken(r, "the full queue of the relay grows", r->plain_at);
    /* Past a layer that left, the chain moves the whole queue at once. */
    if (r->way->full && r->chain.rx_gone == 0 && chain_up(&r->chain)->bytes > BLK_SIZE)
        broken(r, "more than a unit for a queue of cap 1", r->plain_at);
    if (r->chain.count == 1 && bufq_room(out) == 0 && !chain_bottom_out(&r->chain)->eof &&
        !chain_up(&r->chain)->eof && chain_down(&r->chain)->bytes < down->bytes)
        broken(r, "the full queue of the wire takes more of the relay", r->out_len);
}

static bool run_chain(struct run *r)
{
    struct events ev = {0};
    const struct chain was = r->chain;
    const struct bufq up = *chain_up(&was), down = *chain_down(&was);
    const struct bufq out = *chain_bottom_out(&was);
    size_t before = chain_queued(&r->chain, CHAIN_RX) * 3 + chain_queued(&r->chain, CHAIN_TX);
    r->wake = UINT64_MAX;
    r->st = chain_run(&r->chain, &ev, r->now, UNIX_S, &r->wake);
    check_caps(r, &was, &up, &down, &out);
    r->seen |= ev.mask;
    if (r->c->reported != NULL)
        r->c->reported(r->c->arg, &ev);
    if (r->st < 0 && ev.why.text == NULL && r->st != ST_E_NOMEM)
        broken(r, "an error without a cause", 0);
    if ((ev.mask & EV_DIVERT) != 0 && !r->diverted) {
        r->diverted = true;
        chain_divert(&r->chain);
    }
    return before != chain_queued(&r->chain, CHAIN_RX) * 3 + chain_queued(&r->chain, CHAIN_TX);
}

static void run_rounds(struct run *r)
{
    for (unsigned idle = 0; idle < IDLE_MAX && r->st >= 0 && !r->broken && !r->out_of_memory;) {
        bool moved = feed_some(r);
        moved |= push_down(r);
        moved |= run_chain(r);
        if (!r->way->full || !moved || random_below(r, 8) == 0)
            moved |= drain(r, r->way->full);
        moved |= talk(r);
        idle = moved ? 0 : idle + 1;
        if (!moved && r->wake != UINT64_MAX && r->ticks < TICKS_MAX) {
            r->now = r->wake;
            r->ticks++;
        }
    }
    while (!r->broken && drain(r, false))
        ;
}

static void judge(struct run *r)
{
    const struct law_case *c = r->c;
    if (r->st != c->end)
        broken(r, "the run ends otherwise", r->plain_at);
    else if (r->plain_at != c->plain_len)
        broken(r, "plain bytes are missing", r->plain_at);
    else if (!r->diverted && c->end == ST_OK && chain_up(&r->chain)->eof != c->plain_eof)
        broken(r, c->plain_eof ? "the end is not told" : "an end nobody sent", r->plain_at);
    else if ((r->seen & c->events) != c->events)
        broken(r, "an event is missing", 0);
    else if (!sent_is_untouched(r))
        broken(r, "a blk that somebody else holds was written into", 0);
    else if (c->written != NULL && !c->written(c->arg, r->out, r->out_len))
        broken(r, "what was written is not right", r->out_len);
}

/* One run of the case. *@failed tells whether the failing allocation was reached. */
static void run_body(struct run *r, bool *failed)
{
    const struct law_case *c = r->c;
    if (c->wire != NULL)
        cut_up(r, c->wire, c->wire_len);
    pool_fail_after(r->pool, r->way->fail, r->way->sticky);
    r->st = chain_init(&r->chain, &r->env, c->stages, c->count);
    if (r->st == ST_OK) {
        if (r->way->full)
            chain_up(&r->chain)->cap = chain_bottom_out(&r->chain)->cap = 1;
        talk(r);
        run_rounds(r);
    }
    /* With a sticky failure this one fails too, if the point was reached. */
    void *probe = pool_alloc(r->pool, 1);
    *failed = probe == NULL || r->out_of_memory;
    pool_release(r->pool, probe, 1);
    pool_fail_after(r->pool, 0, false);
    bool excused = r->way->fail > 0 && (r->st == ST_E_NOMEM || r->out_of_memory);
    if (!excused && !r->broken) {
        if (r->chain.in == NULL)
            broken(r, "the chain cannot be made", 0);
        else
            judge(r);
    }
}

static bool run_once(const struct law_case *c, const struct way *way, bool *failed, char *err)
{
    struct run r = {.c = c, .way = way, .err = err, .now = NOW_US};
    r.pool = pool_new(0);
    r.own = pool_new(0);
    r.out_cap = 65536 + 4 * (c->wire_len + c->down_len + c->plain_len);
    r.out = r.own != NULL ? pool_alloc(r.own, r.out_cap) : NULL;
    if (r.pool == NULL || r.out == NULL)
        BUG_ON(true); /* the test machine is out of memory */
    if (c->env != NULL)
        r.env = *c->env;
    if (c->env != NULL && c->env->info != NULL)
        r.info = *c->env->info;
    r.env.pool = r.pool;
    r.env.info = &r.info;
    r.x = way->seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
    bufq_init(&r.feed, UINT32_MAX);
    bufq_init(&r.held, UINT32_MAX);
    bufq_init(&r.sent, UINT32_MAX);
    if (c->peer != NULL && (r.peer = c->peer->open(c->arg)) == NULL)
        broken(&r, "the peer cannot be opened", 0);
    else
        run_body(&r, failed);
    if (r.peer != NULL)
        c->peer->close(r.peer);
    chain_fini(&r.chain);
    bufq_clear(&r.feed, r.pool);
    bufq_clear(&r.held, r.pool);
    bufq_clear(&r.sent, r.pool);
    conn_info_clear(r.pool, &r.info);
    pool_release(r.own, r.out, r.out_cap);
    pool_free(r.own);
    if (pool_used(r.pool) != 0)
        broken(&r, "memory is not given back", pool_used(r.pool));
    else
        pool_free(r.pool);
    return !r.broken;
}

static bool check_cuts(const struct law_case *c, char *err)
{
    unsigned runs = c->runs > 0 ? c->runs : LAW_RUNS;
    bool failed;
    for (unsigned full = 0; full < 2; full++) {
        const struct way whole = {.cut = CUT_WHOLE, .full = full != 0, .seed = 1};
        const struct way bytes = {.cut = CUT_BYTE, .full = full != 0, .seed = 1};
        const struct way twins = {.cut = CUT_WHOLE, .shared = true, .full = full != 0, .seed = 1};
        if (!run_once(c, &whole, &failed, err) || !run_once(c, &bytes, &failed, err) ||
            !run_once(c, &twins, &failed, err))
            return false;
    }
    for (unsigned i = 0; i < runs; i++) {
        const struct way way = {
            .cut = CUT_RANDOM, .shared = i % 3 == 1, .full = i % 4 >= 2, .seed = i + 1};
        if (!run_once(c, &way, &failed, err))
            return false;
    }
    return true;
}

/* All allocations from the @i-th on fail, then the @i-th alone, until a run needs fewer than @i. */
static bool check_failures(const struct law_case *c, enum cut cut, bool full, char *err)
{
    bool failed = true;
    for (unsigned i = 1; failed && i < FAILS_MAX; i++) {
        const struct way once = {.cut = cut, .full = full, .seed = 7, .fail = i};
        const struct way on = {.cut = cut, .full = full, .seed = 7, .fail = i, .sticky = true};
        bool ignored;
        if (!run_once(c, &once, &ignored, err) || !run_once(c, &on, &failed, err))
            return false;
    }
    return true;
}

bool law_check(const struct law_case *c, char err[LAW_ERR_LEN])
{
    err[0] = '\0';
    return check_cuts(c, err) && check_failures(c, CUT_WHOLE, false, err) &&
           check_failures(c, CUT_RANDOM, true, err);
}
