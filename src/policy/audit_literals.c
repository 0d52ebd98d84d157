#include "policy/audit_literals.h"

#include <string.h>

#include "base/ascii.h"

#define DEPTH_MAX 12u
#define RUN_MAX   64u

/* Where in the expression we are. */
struct reader {
    const char *p, *end;
    unsigned depth;
    bool lost; /* something came that is not followed */
};

/* One alternative: what it cannot do without, as far as read. */
struct branch {
    struct audit_literals best; /* count 0: nothing yet */
    char run[RUN_MAX];          /* letters that follow each other */
    size_t len;
};

static void read_alternatives(struct reader *r, struct audit_literals *out);

static bool in_no_name(const struct audit_literals *l, unsigned i)
{
    const char *p = l->bytes + l->texts[i].at;

    for (size_t k = 0; k < l->texts[i].len; k++)
        if (p[k] == ' ' || p[k] == '\t' || p[k] == '/')
            return true;
    return false;
}

/* Length of the shortest text: what is worth most, but for what is never there. */
static unsigned worth(const struct audit_literals *l)
{
    unsigned least = l->count > 0 ? 2 * UINT8_MAX : 0;

    for (unsigned i = 0; i < l->count; i++) {
        unsigned n = l->texts[i].len + (in_no_name(l, i) ? UINT8_MAX : 0u);
        least = n < least ? n : least;
    }
    return least;
}

static void keep_better(struct audit_literals *best, const struct audit_literals *other)
{
    unsigned a = worth(best), b = worth(other);

    if (b > a || (b == a && b > 0 && other->count < best->count))
        *best = *other;
}

static bool add_text(struct audit_literals *l, const char *p, size_t len)
{
    if (l->count == AUDIT_LITERALS_MAX || l->used + len > sizeof(l->bytes))
        return false;
    memcpy(l->bytes + l->used, p, len);
    l->texts[l->count].at = (uint16_t)l->used;
    l->texts[l->count++].len = (uint8_t)len;
    l->used += len;
    return true;
}

static void end_run(struct branch *b)
{
    struct audit_literals one = {.count = 0};

    if (b->len >= AUDIT_LITERAL_MIN && add_text(&one, b->run, b->len))
        keep_better(&b->best, &one);
    b->len = 0;
}

static void add_letter(struct branch *b, char c)
{
    if (b->len == RUN_MAX)
        end_run(b);
    b->run[b->len++] = ascii_lower(c);
}

/* ---- syntax ---- */

struct quantifier {
    bool any;      /* there is one */
    bool optional; /* what it stands behind may be missing */
};

/* "{n}", "{n,}", "{n,m}"; anything else in braces stands for itself. */
static bool read_braces(struct reader *r, struct quantifier *q)
{
    const char *p = r->p + 1;
    bool zero = true;

    if (p == r->end || !ascii_is_digit(*p))
        return false;
    for (; p < r->end && ascii_is_digit(*p); p++)
        zero = zero && *p == '0';
    if (p < r->end && *p == ',')
        for (p++; p < r->end && ascii_is_digit(*p);)
            p++;
    if (p == r->end || *p != '}')
        return false;
    r->p = p + 1;
    *q = (struct quantifier){.any = true, .optional = zero};
    return true;
}

static struct quantifier read_quantifier(struct reader *r)
{
    struct quantifier q = {.any = false};

    if (r->p == r->end)
        return q;
    if (*r->p == '*' || *r->p == '?' || *r->p == '+') {
        q = (struct quantifier){.any = true, .optional = *r->p != '+'};
        r->p++;
    } else if (*r->p != '{' || !read_braces(r, &q)) {
        return q;
    }
    if (r->p < r->end && (*r->p == '?' || *r->p == '+')) /* lazy, possessive */
        r->p++;
    return q;
}

static void skip_class(struct reader *r)
{
    const char *p = r->p + 1;

    if (p < r->end && *p == '^')
        p++;
    if (p < r->end && *p == ']')
        p++;
    for (; p < r->end && *p != ']'; p++) {
        if (*p == '[' && p + 1 < r->end && (p[1] == ':' || p[1] == '.' || p[1] == '=')) {
            /* "[:alpha:]", and "[:" that is two members */
            const char *q = p + 2;
            while (q < r->end && ascii_is_letter(*q))
                q++;
            if (q + 1 < r->end && *q == ':' && q[1] == ']')
                p = q + 1;
        } else if (*p == '\\') {
            if (++p == r->end)
                break;
            r->lost = r->lost || (ascii_is_letter(*p) && strchr("dDwWsS", *p) == NULL) ||
                      ascii_is_digit(*p);
        }
    }
    r->lost = r->lost || p >= r->end;
    r->p = p < r->end ? p + 1 : r->end;
}

/* Behind "(?": flags that change nothing here; true: the group that follows is to be read. */
static bool read_flags(struct reader *r)
{
    while (r->p < r->end && strchr("ims", *r->p) != NULL)
        r->p++;
    if (r->p < r->end && *r->p == ')') {
        r->p++;
        return false;
    }
    r->lost = r->lost || r->p == r->end || *r->p != ':';
    if (!r->lost)
        r->p++;
    return !r->lost;
}

static void read_group(struct reader *r, struct branch *b)
{
    struct audit_literals inner = {.count = 0};

    end_run(b);
    r->p++;
    if (r->p < r->end && *r->p == '*') {
        r->lost = true; /* a verb */
        return;
    }
    if (r->p < r->end && *r->p == '?') {
        r->p++;
        if (!read_flags(r))
            return;
    }
    if (++r->depth > DEPTH_MAX) {
        r->lost = true;
        return;
    }
    read_alternatives(r, &inner);
    r->depth--;
    if (r->p == r->end || *r->p != ')') {
        r->lost = true;
        return;
    }
    r->p++;
    if (!read_quantifier(r).optional)
        keep_better(&b->best, &inner);
}

/* A character that stands for itself, and how often. */
static void read_letter(struct reader *r, struct branch *b, char c)
{
    struct quantifier q = read_quantifier(r);

    if ((signed char)c < 0) { /* of a longer one, whose other case has other bytes */
        end_run(b);
        return;
    }
    if (!q.optional)
        add_letter(b, c);
    if (q.any)
        end_run(b);
}

static void read_escape(struct reader *r, struct branch *b)
{
    if (r->p + 1 == r->end) {
        r->lost = true;
        return;
    }
    char c = r->p[1];
    r->p += 2;
    if (!ascii_is_letter(c) && !ascii_is_digit(c)) {
        read_letter(r, b, c);
        return;
    }
    r->lost = r->lost || strchr("dDwWsSbBAzZ", c) == NULL;
    end_run(b);
    (void)read_quantifier(r);
}

static void read_branch(struct reader *r, struct branch *b)
{
    while (!r->lost && r->p < r->end && *r->p != '|' && *r->p != ')') {
        char c = *r->p;
        if (c == '(') {
            read_group(r, b);
        } else if (c == '[') {
            end_run(b);
            skip_class(r);
            (void)read_quantifier(r);
        } else if (c == '\\') {
            read_escape(r, b);
        } else if (c == '.' || c == '^' || c == '$') {
            end_run(b);
            r->p++;
            (void)read_quantifier(r);
        } else {
            r->p++;
            read_letter(r, b, c);
        }
    }
    end_run(b);
}

/* One of the texts of each alternative must be there. */
static void read_alternatives(struct reader *r, struct audit_literals *out)
{
    bool known = true;

    for (;;) {
        struct branch b = {.len = 0};
        read_branch(r, &b);
        known = known && b.best.count > 0;
        for (unsigned i = 0; known && i < b.best.count; i++)
            known = add_text(out, b.best.bytes + b.best.texts[i].at, b.best.texts[i].len);
        if (r->lost || r->p == r->end || *r->p != '|')
            break;
        r->p++;
    }
    if (!known)
        *out = (struct audit_literals){.count = 0};
}

bool audit_literals_of(const char *pattern, size_t len, struct audit_literals *out)
{
    struct reader r = {.p = pattern, .end = pattern + len};

    *out = (struct audit_literals){.count = 0};
    read_alternatives(&r, out);
    return !r.lost && r.p == r.end && out->count > 0;
}

bool audit_literals_in_no_name(const struct audit_literals *l)
{
    return worth(l) > UINT8_MAX;
}
