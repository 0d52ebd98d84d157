#include "crypto/x25519_field.h"

#ifdef X25519_OWN

#include <string.h>

#include "base/bytes.h"
#include "crypto/mem.h"

typedef unsigned __int128 u128;
typedef struct x25519_fe fe;

#define MASK ((UINT64_C(1) << 51) - 1)

/* ---- numbers modulo 2^255 - 19 --------------------------------------------------------------- */

static inline void put_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* The top bit is ignored (RFC 7748 section 5). */
static void fe_read(fe *r, const uint8_t p[32])
{
    r->v[0] = get_le64(p) & MASK;
    r->v[1] = get_le64(p + 6) >> 3 & MASK;
    r->v[2] = get_le64(p + 12) >> 6 & MASK;
    r->v[3] = get_le64(p + 19) >> 1 & MASK;
    r->v[4] = get_le64(p + 24) >> 12 & MASK;
}

static void fe_carry(fe *r)
{
    for (int i = 0; i < 4; i++) {
        r->v[i + 1] += r->v[i] >> 51;
        r->v[i] &= MASK;
    }
    r->v[0] += 19 * (r->v[4] >> 51);
    r->v[4] &= MASK;
}

static void fe_write(uint8_t p[32], const fe *a)
{
    fe r = *a;

    fe_carry(&r);
    fe_carry(&r);
    /* Under 2^255 + 19 by now. The modulus is taken off if it fits: adding 19 shows in bit 255. */
    uint64_t q = (r.v[0] + 19) >> 51;
    for (int i = 1; i < 5; i++)
        q = (r.v[i] + q) >> 51;
    r.v[0] += 19 * q;
    for (int i = 0; i < 4; i++) {
        r.v[i + 1] += r.v[i] >> 51;
        r.v[i] &= MASK;
    }
    r.v[4] &= MASK;
    put_le64(p, r.v[0] | r.v[1] << 51);
    put_le64(p + 8, r.v[1] >> 13 | r.v[2] << 38);
    put_le64(p + 16, r.v[2] >> 26 | r.v[3] << 25);
    put_le64(p + 24, r.v[3] >> 39 | r.v[4] << 12);
}

static inline void fe_add(fe *r, const fe *a, const fe *b)
{
    r->v[0] = a->v[0] + b->v[0];
    r->v[1] = a->v[1] + b->v[1];
    r->v[2] = a->v[2] + b->v[2];
    r->v[3] = a->v[3] + b->v[3];
    r->v[4] = a->v[4] + b->v[4];
}

/* @b with limbs up to 2^53 - 76: four times the modulus is added. */
static inline void fe_sub(fe *r, const fe *a, const fe *b)
{
    r->v[0] = a->v[0] + 4 * (MASK - 18) - b->v[0];
    r->v[1] = a->v[1] + 4 * MASK - b->v[1];
    r->v[2] = a->v[2] + 4 * MASK - b->v[2];
    r->v[3] = a->v[3] + 4 * MASK - b->v[3];
    r->v[4] = a->v[4] + 4 * MASK - b->v[4];
}

static inline void fe_reduce(fe *r, u128 t0, u128 t1, u128 t2, u128 t3, u128 t4)
{
    t1 += (uint64_t)(t0 >> 51);
    t2 += (uint64_t)(t1 >> 51);
    t3 += (uint64_t)(t2 >> 51);
    t4 += (uint64_t)(t3 >> 51);
    uint64_t v0 = ((uint64_t)t0 & MASK) + 19 * (uint64_t)(t4 >> 51);
    r->v[0] = v0 & MASK;
    r->v[1] = ((uint64_t)t1 & MASK) + (v0 >> 51);
    r->v[2] = (uint64_t)t2 & MASK;
    r->v[3] = (uint64_t)t3 & MASK;
    r->v[4] = (uint64_t)t4 & MASK;
}

static inline void fe_mul(fe *r, const fe *x, const fe *y)
{
    uint64_t a0 = x->v[0], a1 = x->v[1], a2 = x->v[2], a3 = x->v[3], a4 = x->v[4];
    uint64_t b0 = y->v[0], b1 = y->v[1], b2 = y->v[2], b3 = y->v[3], b4 = y->v[4];
    uint64_t c1 = 19 * b1, c2 = 19 * b2, c3 = 19 * b3, c4 = 19 * b4;

    fe_reduce(r, (u128)a0 * b0 + (u128)a1 * c4 + (u128)a2 * c3 + (u128)a3 * c2 + (u128)a4 * c1,
              (u128)a0 * b1 + (u128)a1 * b0 + (u128)a2 * c4 + (u128)a3 * c3 + (u128)a4 * c2,
              (u128)a0 * b2 + (u128)a1 * b1 + (u128)a2 * b0 + (u128)a3 * c4 + (u128)a4 * c3,
              (u128)a0 * b3 + (u128)a1 * b2 + (u128)a2 * b1 + (u128)a3 * b0 + (u128)a4 * c4,
              (u128)a0 * b4 + (u128)a1 * b3 + (u128)a2 * b2 + (u128)a3 * b1 + (u128)a4 * b0);
}

static inline void fe_square(fe *r, const fe *x)
{
    uint64_t a0 = x->v[0], a1 = x->v[1], a2 = x->v[2], a3 = x->v[3], a4 = x->v[4];
    uint64_t d0 = 2 * a0, d1 = 2 * a1, c3 = 19 * a3, c4 = 19 * a4;

    fe_reduce(r, (u128)a0 * a0 + (u128)d1 * c4 + (u128)(2 * a2) * c3,
              (u128)d0 * a1 + (u128)(2 * a2) * c4 + (u128)a3 * c3,
              (u128)d0 * a2 + (u128)a1 * a1 + (u128)(2 * a3) * c4,
              (u128)d0 * a3 + (u128)d1 * a2 + (u128)a4 * c4,
              (u128)d0 * a4 + (u128)d1 * a3 + (u128)a2 * a2);
}

static void fe_squares(fe *r, const fe *x, unsigned n)
{
    fe_square(r, x);
    while (--n > 0)
        fe_square(r, r);
}

/* @x to the power 2^255 - 21, which is its inverse; 0 for 0. */
static void fe_invert(fe *r, const fe *x)
{
    fe x2, x9, x11, a, b, c;

    fe_square(&x2, x);
    fe_squares(&a, &x2, 2);
    fe_mul(&x9, &a, x);
    fe_mul(&x11, &x9, &x2);
    fe_square(&a, &x11);
    fe_mul(&a, &a, &x9); /* 2^5 - 1 */
    fe_squares(&b, &a, 5);
    fe_mul(&a, &b, &a); /* 2^10 - 1 */
    fe_squares(&b, &a, 10);
    fe_mul(&b, &b, &a); /* 2^20 - 1 */
    fe_squares(&c, &b, 20);
    fe_mul(&b, &c, &b); /* 2^40 - 1 */
    fe_squares(&b, &b, 10);
    fe_mul(&a, &b, &a); /* 2^50 - 1 */
    fe_squares(&b, &a, 50);
    fe_mul(&b, &b, &a); /* 2^100 - 1 */
    fe_squares(&c, &b, 100);
    fe_mul(&b, &c, &b); /* 2^200 - 1 */
    fe_squares(&b, &b, 50);
    fe_mul(&a, &b, &a); /* 2^250 - 1 */
    fe_squares(&a, &a, 5);
    fe_mul(r, &a, &x11);
}

/* ---- the ladder ------------------------------------------------------------------------------ */

static void clamp(uint8_t k[32], const uint8_t from[32])
{
    memcpy(k, from, 32);
    k[0] &= 248;
    k[31] = (uint8_t)((k[31] & 127) | 64);
}

/* Exchanges @a and @b if @bit is 1. */
static inline void fe_swap(fe *a, fe *b, uint64_t bit)
{
    uint64_t mask = 0 - bit;

    for (int i = 0; i < 5; i++) {
        uint64_t t = mask & (a->v[i] ^ b->v[i]);
        a->v[i] ^= t;
        b->v[i] ^= t;
    }
}

/* @r = @x times 121665 plus @y. */
static inline void fe_mul_small_add(fe *r, const fe *x, const fe *y)
{
    fe_reduce(r, (u128)x->v[0] * 121665 + y->v[0], (u128)x->v[1] * 121665 + y->v[1],
              (u128)x->v[2] * 121665 + y->v[2], (u128)x->v[3] * 121665 + y->v[3],
              (u128)x->v[4] * 121665 + y->v[4]);
}

struct ladder {
    uint8_t k[32];
    fe x1, x2, z2, x3, z3;
    fe a, b, aa, bb, c, d;
};

/* One step of RFC 7748 section 5, with its names. */
static inline void ladder_step(struct ladder *l)
{
    fe_add(&l->a, &l->x2, &l->z2);
    fe_sub(&l->b, &l->x2, &l->z2);
    fe_add(&l->c, &l->x3, &l->z3);
    fe_sub(&l->d, &l->x3, &l->z3);
    fe_mul(&l->d, &l->d, &l->a);
    fe_mul(&l->c, &l->c, &l->b);
    fe_square(&l->aa, &l->a);
    fe_square(&l->bb, &l->b);
    fe_add(&l->x3, &l->d, &l->c);
    fe_square(&l->x3, &l->x3);
    fe_sub(&l->z3, &l->d, &l->c);
    fe_square(&l->z3, &l->z3);
    fe_mul(&l->z3, &l->z3, &l->x1);
    fe_mul(&l->x2, &l->aa, &l->bb);
    fe_sub(&l->b, &l->aa, &l->bb); /* E */
    fe_mul_small_add(&l->a, &l->b, &l->aa);
    fe_mul(&l->z2, &l->b, &l->a);
}

void x25519_ladder(const uint8_t k[32], const uint8_t peer[32], uint8_t out[32])
{
    struct ladder l = {.x2 = {{1}}, .z3 = {{1}}};
    uint64_t swap = 0;

    clamp(l.k, k);
    fe_read(&l.x1, peer);
    l.x3 = l.x1;
    for (unsigned i = 255; i-- > 0;) {
        uint64_t bit = l.k[i / 8] >> (i % 8) & 1;
        fe_swap(&l.x2, &l.x3, swap ^ bit);
        fe_swap(&l.z2, &l.z3, swap ^ bit);
        swap = bit;
        ladder_step(&l);
    }
    /* The last bit of a clamped scalar is 0: nothing is left to exchange. */
    fe_invert(&l.z2, &l.z2);
    fe_mul(&l.x2, &l.x2, &l.z2);
    fe_write(out, &l.x2);
    crypto_wipe(&l, sizeof(l));
}

/* ---- products of the base point -------------------------------------------------------------- */

/* (X/Z, Y/Z) on -x^2 + y^2 = 1 + dx^2y^2, T = XY/Z: the form and formulas of Hisil, Wong, Carter,
 * Dawson, "Twisted Edwards Curves Revisited" (2008), section 3.1 and 3.3. */
struct point {
    fe x, y, z, t;
};

/* X = E F, Y = G H, Z = F G, T = E H. */
static inline void point_of(struct point *p, const fe *e, const fe *f, const fe *g, const fe *h)
{
    fe_mul(&p->x, e, f);
    fe_mul(&p->y, g, h);
    fe_mul(&p->z, f, g);
    fe_mul(&p->t, e, h);
}

static inline void point_double(struct point *p)
{
    fe a, b, c, e, f, g, h;

    fe_square(&a, &p->x);
    fe_square(&b, &p->y);
    fe_square(&c, &p->z);
    fe_add(&c, &c, &c);
    fe_add(&h, &a, &b);
    fe_add(&e, &p->x, &p->y);
    fe_square(&e, &e);
    fe_sub(&e, &h, &e);
    fe_sub(&g, &a, &b);
    fe_add(&f, &c, &g);
    fe_carry(&f);
    point_of(p, &e, &f, &g, &h);
}

/* Complete: right for any two points of the curve, the neutral one among them. */
static inline void point_add(struct point *p, const struct x25519_row *q)
{
    fe a, b, c, d, e, f, g, h;

    fe_sub(&a, &p->y, &p->x);
    fe_mul(&a, &a, &q->difference);
    fe_add(&b, &p->y, &p->x);
    fe_mul(&b, &b, &q->sum);
    fe_mul(&c, &p->t, &q->product);
    fe_add(&d, &p->z, &p->z);
    fe_sub(&e, &b, &a);
    fe_sub(&f, &d, &c);
    fe_add(&g, &d, &c);
    fe_add(&h, &b, &a);
    point_of(p, &e, &f, &g, &h);
}

/* Row @index of a table, by reading all of it. */
static inline void pick(struct x25519_row *r, const struct x25519_row table[16], uint64_t index)
{
    memset(r, 0, sizeof(*r));
    for (uint64_t j = 0; j < 16; j++) {
        uint64_t mask = ((j ^ index) - 1) >> 63; /* 1 if equal */
        mask = 0 - mask;
        for (int i = 0; i < 5; i++) {
            r->sum.v[i] |= table[j].sum.v[i] & mask;
            r->difference.v[i] |= table[j].difference.v[i] & mask;
            r->product.v[i] |= table[j].product.v[i] & mask;
        }
    }
}

/* Bits @i, @i + 64, @i + 128, @i + 192 of @k. */
static inline uint64_t column(const uint8_t k[32], unsigned i)
{
    uint64_t v = 0;

    for (unsigned t = 0; t < 4; t++)
        v |= (uint64_t)(k[(i + 64 * t) / 8] >> (i % 8) & 1) << t;
    return v;
}

void x25519_base(const uint8_t k[32], uint8_t out[32])
{
    struct {
        uint8_t k[32];
        struct point p;
        struct x25519_row row;
        fe a, b;
    } s = {.p = {.y = {{1}}, .z = {{1}}}};

    clamp(s.k, k);
    /* A comb of four teeth 64 bits apart, in two halves 32 bits apart. */
    for (unsigned i = 32; i-- > 0;) {
        point_double(&s.p);
        for (unsigned half = 0; half < 2; half++) {
            pick(&s.row, x25519_table[half], column(s.k, i + 32 * half));
            point_add(&s.p, &s.row);
        }
    }
    /* To the Montgomery curve: u = (1 + y) / (1 - y). */
    fe_sub(&s.a, &s.p.z, &s.p.y);
    fe_invert(&s.a, &s.a);
    fe_add(&s.b, &s.p.z, &s.p.y);
    fe_mul(&s.a, &s.a, &s.b);
    fe_write(out, &s.a);
    crypto_wipe(&s, sizeof(s));
}

#endif
