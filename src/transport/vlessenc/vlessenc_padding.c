#include "transport/vlessenc/vlessenc_padding.h"

#include <string.h>

void vlessenc_padding_default(struct vlessenc_padding *p)
{
    *p = (struct vlessenc_padding){
        .len = {{100, 111, 1111}, {50, 0, 3333}},
        .gap = {{75, 0, 111}},
        .len_count = 2,
        .gap_count = 1,
    };
}

/* Digits up to @stop or the end of the text; at most six of them. */
static bool read_number(const char **p, const char *end, char stop, uint32_t *out)
{
    const char *s = *p;
    uint32_t v = 0;

    for (; s < end && *s >= '0' && *s <= '9' && s - *p < 6; s++)
        v = v * 10 + (uint32_t)(*s - '0');
    if (s == *p || (stop != '\0' ? s == end || *s != stop : s != end))
        return false;
    *p = s + 1;
    *out = v;
    return true;
}

static uint32_t sum_of_lengths(const struct vlessenc_padding *p)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < p->len_count; i++)
        sum += p->len[i].max;
    return sum;
}

enum status vlessenc_padding_add(struct vlessenc_padding *p, const char *text, size_t n)
{
    const char *end = text + n;
    struct vlessenc_rule r;
    bool gap = p->len_count > p->gap_count;

    if (!read_number(&text, end, '-', &r.percent) || !read_number(&text, end, '-', &r.min) ||
        !read_number(&text, end, '\0', &r.max))
        return ST_E_CONFIG;
    if (r.min > r.max) {
        /* Xray-core takes the two in any order. */
        uint32_t t = r.min;
        r.min = r.max;
        r.max = t;
    }
    if (p->len_count == 0 && (r.percent < 100 || r.min < VLESSENC_PADDING_MIN))
        return ST_E_CONFIG;
    if (gap && r.max > VLESSENC_GAP_MAX_MS)
        return ST_E_CONFIG;
    if ((gap ? p->gap_count : p->len_count) == VLESSENC_RULES_MAX)
        return ST_E_LIMIT;
    if (gap)
        p->gap[p->gap_count++] = r;
    else
        p->len[p->len_count++] = r;
    return sum_of_lengths(p) > VLESSENC_PADDING_MAX ? ST_E_LIMIT : ST_OK;
}

static uint32_t draw(const struct vlessenc_rule *r, struct rng *rng)
{
    if (r->percent < rng_below(rng, 100))
        return 0;
    return r->min == r->max ? r->min : r->min + (uint32_t)rng_below(rng, r->max - r->min);
}

void vlessenc_padding_draw(const struct vlessenc_padding *p, struct rng *r,
                           struct vlessenc_pieces *out)
{
    memset(out, 0, sizeof(*out));
    out->count = p->len_count;
    for (unsigned i = 0; i < p->len_count; i++) {
        out->len[i] = draw(&p->len[i], r);
        out->total += out->len[i];
    }
    for (unsigned i = 0; i < p->gap_count; i++)
        out->gap_ms[i] = draw(&p->gap[i], r);
}
