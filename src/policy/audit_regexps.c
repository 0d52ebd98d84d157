#include "policy/audit_regexps.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "policy/audit_literals.h"

#define STEPS     2000u /* of one search, from each byte of the text */
#define SPENT_MAX 16u   /* searches that may run into that for one text */

enum status audit_regexps_init(struct audit_regexps *r, struct arena *a, size_t count)
{
    *r = (struct audit_regexps){.arena = a};
    if (count == 0)
        return ST_OK;
    struct audit_scratch *s = arena_alloc(a, AUDIT_REGEXPS_SCRATCH * sizeof(*s));
    r->list = arena_alloc(a, count * sizeof(r->list[0]));
    r->turn = arena_alloc(a, sizeof(*r->turn));
    if (s == NULL || r->list == NULL || r->turn == NULL)
        return ST_E_NOMEM;
    r->scratches = s;
    for (int i = 0; i < AUDIT_REGEXPS_SCRATCH; i++) {
        atomic_flag_clear(&s[i].busy);
        if ((s[i].scratch = regexp_scratch_new(STEPS)) == NULL)
            return ST_E_NOMEM;
    }
    return ST_OK;
}

void audit_regexps_fini(struct audit_regexps *r)
{
    for (size_t i = 0; i < r->count; i++)
        regexp_free(r->list[i].compiled);
    for (int i = 0; r->scratches != NULL && i < AUDIT_REGEXPS_SCRATCH; i++)
        regexp_scratch_free(r->scratches[i].scratch);
    *r = (struct audit_regexps){.list = NULL};
}

/* A colon that is searched for: not that of "(?:", "(?i:" or "[:alpha:]". No name has one. */
static bool has_colon(const char *p, size_t len)
{
    bool group = false; /* between "(?" and what ends its flags */

    for (size_t i = 0; i < len; i++) {
        if (p[i] == '?' && i > 0 && p[i - 1] == '(')
            group = true;
        else if (p[i] == ')')
            group = false;
        if (p[i] != ':')
            continue;
        if (!group && (i == 0 || p[i - 1] != '[') && (i + 1 == len || p[i + 1] != ']'))
            return true;
        group = false;
    }
    return false;
}

/* What is in each of these is in everything that people call: ".*", "a||b", ".", "[a-z0-9]". Left
 * in, one empty alternative would block the node's whole traffic. */
static bool matches_all(const struct regexp *r, struct regexp_scratch *s)
{
    static const char *const texts[] = {"x", "0", "q.invalid"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (regexp_search(r, s, texts[i], strlen(texts[i])) != ST_OK)
            return false;
    return true;
}

static enum status add_literal(struct audit_regexps *r, const char *text, size_t len)
{
    if (r->literal_count == r->literal_room) {
        size_t room = r->literal_room == 0 ? 64 : r->literal_room * 2;
        struct audit_rule *literals = arena_alloc(r->arena, room * sizeof(*literals));
        if (literals == NULL)
            return ST_E_NOMEM;
        if (r->literal_count > 0)
            memcpy(literals, r->literals, r->literal_count * sizeof(*literals));
        r->literals = literals;
        r->literal_room = room;
    }
    char *copy = arena_strndup(r->arena, text, len);
    if (copy == NULL)
        return ST_E_NOMEM;
    r->literals[r->literal_count++] = (struct audit_rule){.text = copy,
                                                          .value = copy,
                                                          .value_len = (uint16_t)len,
                                                          .kind = AUDIT_KEYWORD,
                                                          .id = (uint32_t)r->count};
    return ST_OK;
}

/* What must be there for the expression that comes next in the list; count 0: nothing is known. */
static enum status add_literals(struct audit_regexps *r, const struct audit_literals *l)
{
    enum status st = ST_OK;

    if (l->count == 0)
        r->always[r->count / 64] |= UINT64_C(1) << r->count % 64;
    for (unsigned i = 0; i < l->count && st == ST_OK; i++)
        st = add_literal(r, l->bytes + l->texts[i].at, l->texts[i].len);
    return st;
}

static enum status refuse(struct regexp *compiled, const char *why, struct regexp_error *err)
{
    regexp_free(compiled);
    err->at = 0;
    snprintf(err->text, sizeof(err->text), "%s", why);
    return ST_E_PROTO;
}

enum status audit_regexps_add(struct audit_regexps *r, const char *pattern, size_t len,
                              uint32_t rule, struct regexp_error *err)
{
    struct audit_literals literals;
    struct regexp *compiled;
    enum status st = regexp_new(pattern, len, REGEXP_CASELESS, &compiled, err);

    if (st != ST_OK)
        return st;
    if (matches_all(compiled, r->scratches[0].scratch))
        return refuse(compiled, "everything matches it", err);
    if (!audit_literals_of(pattern, len, &literals))
        literals.count = 0;
    /* Lines of hosts files and of lists of URLs: "0.0.0.0 a.example", "http://a.example/". */
    if (audit_literals_in_no_name(&literals))
        return refuse(compiled, "nothing matches it: no name has a blank or a '/'", err);
    if ((st = add_literals(r, &literals)) != ST_OK) {
        regexp_free(compiled);
        return st;
    }
    r->list[r->count++] = (struct audit_regexp){
        .compiled = compiled, .rule = rule, .wants_long = has_colon(pattern, len)};
    return ST_OK;
}

enum status audit_regexps_finish(struct audit_regexps *r)
{
    return audit_words_init(&r->words, r->arena, r->literals, r->literal_count);
}

/* Held for one target, at most some milliseconds. */
static struct audit_scratch *take_scratch(const struct audit_regexps *r)
{
    uint32_t i = atomic_fetch_add_explicit(r->turn, 1, memory_order_relaxed);

    for (;; i++) {
        struct audit_scratch *s = &r->scratches[i % AUDIT_REGEXPS_SCRATCH];
        if (!atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire))
            return s;
    }
}

static enum status search(const struct audit_regexp *e, struct regexp_scratch *s,
                          const struct audit_text *t)
{
    enum status st = regexp_search(e->compiled, s, t->host, t->host_len);

    if (st == ST_E_NOTFOUND && e->wants_long)
        st = regexp_search(e->compiled, s, t->all, t->all_len);
    return st;
}

uint32_t audit_regexps_find(const struct audit_regexps *r, const struct audit_text *t)
{
    uint64_t bits[AUDIT_REGEXPS_BITS];
    uint32_t found = AUDIT_REGEXPS_NONE;
    struct audit_scratch *s = NULL;
    unsigned spent = 0;

    if (r->count == 0)
        return found;
    memcpy(bits, r->always, sizeof(bits));
    audit_words_mark(&r->words, t->all, t->all_len, bits);
    for (size_t i = 0; i < r->count && found == AUDIT_REGEXPS_NONE && spent < SPENT_MAX; i++) {
        if ((bits[i / 64] >> i % 64 & 1) == 0)
            continue;
        if (s == NULL)
            s = take_scratch(r);
        enum status st = search(&r->list[i], s->scratch, t);
        if (st == ST_OK)
            found = r->list[i].rule;
        else if (st == ST_E_LIMIT)
            spent++;
    }
    if (s != NULL)
        atomic_flag_clear_explicit(&s->busy, memory_order_release);
    return found;
}
