/* base/span.h - blocks, spans and queues: how bytes lie in memory between the wire and the relay.
 *
 * A blk is 16 KiB of payload with room before and behind it; a span is a view of a blk; a bufq
 * is a queue of spans with a cap in bytes. Layers that change nothing move spans; layers that
 * add a few bytes write them into the room around the payload when span_owns_blk() says nobody
 * else looks at the blk. Single-threaded: pool, spans and queues belong to one worker; only
 * whole queues cross workers. Under ASan every blk and span is its own malloc, so no pool hides
 * a use after free. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define BLK_HEAD 512u   /* room in front of what a reader fills */
#define BLK_DATA 16384u /* payload of a full blk: the largest TLS record */
#define BLK_TAIL 512u   /* room behind it */
#define BLK_SIZE (BLK_HEAD + BLK_DATA + BLK_TAIL)
/* what a conn reads into one blk: leaves 64 bytes of a record for the heads of layers between */
#define BLK_READ       (BLK_DATA - 64u)
#define BLK_SMALL_SIZE 2048u /* small blk: same room rules, head 64 and tail 64 */
#define BLK_SMALL_HEAD 64u
#define BLK_SMALL_DATA (BLK_SMALL_SIZE - 2u * BLK_SMALL_HEAD)

struct pool;

struct blk {
    uint32_t refs; /* plain count: a blk never leaves its worker */
    uint32_t size; /* bytes of mem: BLK_SIZE or BLK_SMALL_SIZE */
    uint8_t *mem;
};

enum span_flags {
    SPAN_EDGE = 1,  /* a unit of the layer below starts here, nothing before it is merged with it */
    SPAN_ALONE = 2, /* nothing else shares this span's record or its write */
};

struct span {
    struct span *next;
    struct blk *blk;
    uint32_t off, len; /* the bytes are blk->mem[off .. off+len) */
    uint8_t flags;
    struct addr peer; /* datagrams: destination (up) or source (down); family 0 on byte streams */
};

struct bufq {
    struct span *head, *tail;
    uint32_t bytes; /* sum of the spans */
    uint32_t count; /* number of spans */
    uint32_t cap;   /* soft cap in bytes: see bufq_room() */
    bool eof;       /* no byte will follow what is queued */
};

/* ---- pool: one a worker ---------------------------------------------------------------------- */

/* A pool that hands out at most @budget bytes in all (0 = no cap). NULL: no memory. */
struct pool *pool_new(size_t budget);
/* Everything taken from the pool must have been given back. */
void pool_free(struct pool *p);
/* Bytes handed out now; the share of the budget in use, 0..100 (0 without budget). */
size_t pool_used(const struct pool *p);
unsigned pool_load(const struct pool *p);
/* Gives idle slabs back to the kernel. Called by the worker's slow timer. */
void pool_trim(struct pool *p);
/* Zeroed memory for the state of one layer or session, counted in the budget; NULL: it is spent.
 * pool_release takes the same @size (NULL is fine). */
void *pool_alloc(struct pool *p, size_t size);
void pool_release(struct pool *p, void *mem, size_t size);
/* For tests: the @nth allocation from now fails (1 = the next), and all later ones if @sticky. */
void pool_fail_after(struct pool *p, unsigned nth, bool sticky);

/* ---- spans ----------------------------------------------------------------------------------- */

/* A span over a fresh blk, off at BLK_HEAD and len 0: the owner fills and sets len (<= BLK_DATA);
 * _small: over a 2 KiB blk (off BLK_SMALL_HEAD, len <= BLK_SMALL_DATA). NULL: no memory. */
struct span *span_new(struct pool *p);
struct span *span_new_small(struct pool *p);
/* Smallest kind that holds @len bytes (<= BLK_DATA) behind the standard head room. */
struct span *span_new_for(struct pool *p, size_t len);
/* A second view of the same blk (adds a reference). NULL: no memory. */
struct span *span_share(struct pool *p, const struct span *s);
void span_free(struct pool *p, struct span *s); /* and its blk with the last one; NULL is fine */

static inline uint8_t *span_data(const struct span *s)
{
    return s->blk->mem + s->off;
}
/* Bytes of the blk free in front of and behind the span; only usable while span_owns_blk(). */
static inline uint32_t span_headroom(const struct span *s)
{
    return s->off;
}
static inline uint32_t span_tailroom(const struct span *s)
{
    return s->blk->size - s->off - s->len;
}
static inline bool span_owns_blk(const struct span *s)
{
    return s->blk->refs == 1;
}

/* ---- queues ---------------------------------------------------------------------------------- */

void bufq_init(struct bufq *q, uint32_t cap); /* empty; UINT32_MAX: without a cap */
/* Frees all spans; cap and eof stay. */
void bufq_clear(struct bufq *q, struct pool *p);
/* Bytes up to the cap, which is soft: whoever sees room > 0 may add one whole unit. */
static inline uint32_t bufq_room(const struct bufq *q)
{
    return q->bytes >= q->cap ? 0 : q->cap - q->bytes;
}
static inline bool bufq_empty(const struct bufq *q)
{
    return q->head == NULL;
}
/* No bytes and none will come. */
static inline bool bufq_ended(const struct bufq *q)
{
    return q->head == NULL && q->eof;
}
/* Takes @s over. Empty spans are kept (an empty datagram is a datagram). */
void bufq_push(struct bufq *q, struct span *s);
/* Puts @s in front (bytes given back). Takes it over. */
void bufq_unshift(struct bufq *q, struct span *s);
/* Gives the first span to the caller; NULL when empty. */
struct span *bufq_pop(struct bufq *q);
/* Moves all spans of @src to the end of @dst: pointers only. @src's eof is not moved. */
void bufq_move(struct bufq *dst, struct bufq *src);
/* Moves the first @n bytes (or all, if fewer), splitting a span by sharing its blk. Returns
 * bytes moved, or what was moved before memory ran out. */
size_t bufq_move_bytes(struct bufq *dst, struct bufq *src, size_t n, struct pool *p);
/* Drops the first @n bytes (byte streams; empty spans met on the way are dropped too). */
void bufq_drop(struct bufq *q, size_t n, struct pool *p);
/* Copies the first min(@n, bytes) bytes to @dst without eating them; returns how many. */
size_t bufq_peek(const struct bufq *q, void *dst, size_t n);
/* Copies @n bytes from offset @off without eating them; false if the queue is shorter. */
bool bufq_peek_at(const struct bufq *q, size_t off, void *dst, size_t n);
/* Appends a copy of @n bytes, filling the last span's blk when it is ours alone and has room and
 * neither flags nor a datagram forbid it; new spans as needed. ST_OK or ST_E_NOMEM (then nothing
 * was added). */
NODISCARD enum status bufq_put(struct bufq *q, const void *data, size_t n, struct pool *p);
/* Makes the first @n bytes (<= BLK_DATA) lie in one span, copying if needed, and returns them;
 * NULL when the queue is shorter or memory is out. The bytes stay queued. */
uint8_t *bufq_pullup(struct bufq *q, size_t n, struct pool *p);

#endif
