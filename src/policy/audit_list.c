#include "policy/audit_list.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"

struct builder {
    struct arena *arena;
    struct audit_list *list;
    char *texts; /* where the next item's goes */
    size_t names, four, six, ranges, regexps;
    audit_problem_fn *problem;
    void *arg;
};

static void tell(const struct builder *b, const struct audit_item *item, bool used,
                 const char *problem)
{
    if (b->problem != NULL)
        b->problem(b->arg, item, used, problem);
}

/* The value where it stands in the item's own text, or a copy. */
static const char *keep_value(struct builder *b, const char *text, size_t len,
                              const struct audit_reading *r)
{
    for (size_t at = len - (r->len < len ? r->len : len);; at--) {
        if (at + r->len <= len && memcmp(text + at, r->value, r->len) == 0)
            return text + at;
        if (at == 0)
            return arena_strndup(b->arena, r->value, r->len);
    }
}

static size_t count_ports(const struct audit_reading *r)
{
    size_t at = 0, n = 0;
    uint16_t lo, hi;

    while (audit_rule_next_port(r->value, r->len, &at, &lo, &hi) == ST_OK)
        n++;
    return n;
}

static void count_kind(struct builder *b, const struct audit_reading *r)
{
    switch (r->kind) {
    case AUDIT_FULL:
    case AUDIT_DOMAIN:
        b->names++;
        break;
    case AUDIT_REGEXP:
        b->regexps++;
        break;
    case AUDIT_NET:
        r->net.net.family == ADDR_IP4 ? b->four++ : b->six++;
        break;
    case AUDIT_PORT:
        b->ranges += count_ports(r);
        break;
    case AUDIT_KEYWORD:
    case AUDIT_PROTOCOL:
        break;
    }
}

static enum status read_item(struct builder *b, const struct audit_item *item)
{
    struct audit_reading r;
    enum status st = audit_rule_read(item->as, item->text, item->len, &r);

    if (st == ST_E_NOTFOUND)
        return ST_OK;
    if (st == ST_OK && b->list->count == AUDIT_LIST_MAX)
        st = ST_E_LIMIT, r.error = "too many rules";
    if (st == ST_OK && r.kind == AUDIT_REGEXP && b->regexps == AUDIT_REGEXPS_MAX)
        st = ST_E_LIMIT, r.error = "too many regular expressions";
    if (st != ST_OK) {
        tell(b, item, false, r.error);
        return ST_OK;
    }
    if (r.guessed)
        tell(b, item, true, "no regular expression, taken for a domain and what is below it");
    struct audit_rule *rule = &b->list->rules[b->list->count];
    memcpy(b->texts, r.text, r.text_len);
    const char *value = keep_value(b, b->texts, r.text_len, &r);
    if (value == NULL)
        return ST_E_NOMEM;
    *rule = (struct audit_rule){.text = b->texts,
                                .value = value,
                                .id = item->id,
                                .value_len = (uint16_t)r.len,
                                .kind = (uint8_t)r.kind};
    b->texts += r.text_len + 1;
    b->list->count++;
    count_kind(b, &r);
    return ST_OK;
}

static enum status add_regexp(struct builder *b, uint32_t i)
{
    const struct audit_rule *r = &b->list->rules[i];
    const struct audit_item item = {.text = r->text, .len = strlen(r->text), .id = r->id};
    struct regexp_error err = {0};
    char text[AUDIT_PROBLEM_SIZE];
    enum status st = audit_regexps_add(&b->list->regexps, r->value, r->value_len, i, &err);

    if (st == ST_E_NOMEM || st == ST_OK)
        return st;
    if (st == ST_E_LIMIT)
        snprintf(text, sizeof(text), "too long");
    else if (err.at == 0)
        snprintf(text, sizeof(text), "%s", err.text);
    else
        snprintf(text, sizeof(text), "%s, at character %zu", err.text, err.at);
    tell(b, &item, false, text);
    b->list->bad++;
    return ST_OK;
}

static void add_protocol(struct audit_list *l, const struct audit_rule *r)
{
    for (int i = 0; i < AUDIT_PROTOCOLS; i++) {
        const struct audit_rule *p = l->protocols[i];
        if (p == NULL)
            l->protocols[i] = r;
        else if (p->value_len != r->value_len || memcmp(p->value, r->value, r->value_len) != 0)
            continue;
        return;
    }
}

static void add_ports(struct audit_list *l, uint32_t i)
{
    const struct audit_rule *r = &l->rules[i];
    size_t at = 0;
    uint16_t lo, hi;

    while (audit_rule_next_port(r->value, r->value_len, &at, &lo, &hi) == ST_OK)
        audit_ports_add(&l->ports, lo, hi, i);
}

static void add_net(struct audit_list *l, uint32_t i)
{
    const struct audit_rule *r = &l->rules[i];
    struct audit_reading again;

    if (audit_rule_read(AUDIT_AS_NET, r->value, r->value_len, &again) == ST_OK)
        audit_nets_add(&l->nets, &again.net, i);
}

/* Files rule number @i where it is looked up; keywords are filed all at once. */
static enum status add_rule(struct builder *b, uint32_t i)
{
    struct audit_list *l = b->list;

    switch ((enum audit_kind)l->rules[i].kind) {
    case AUDIT_FULL:
    case AUDIT_DOMAIN:
        audit_names_add(&l->names, i);
        break;
    case AUDIT_REGEXP: {
        enum status st = add_regexp(b, i);
        l->by_name = l->by_name || l->regexps.count > 0;
        return st;
    }
    case AUDIT_NET:
        add_net(l, i);
        return ST_OK;
    case AUDIT_PORT:
        add_ports(l, i);
        return ST_OK;
    case AUDIT_PROTOCOL:
        add_protocol(l, &l->rules[i]);
        return ST_OK;
    case AUDIT_KEYWORD:
        break;
    }
    l->by_name = true;
    return ST_OK;
}

static enum status make_room(struct builder *b)
{
    struct audit_list *l = b->list;
    enum status st = audit_names_init(&l->names, b->arena, l->rules, b->names);

    if (st == ST_OK)
        st = audit_words_init(&l->words, b->arena, l->rules, l->count);
    if (st == ST_OK)
        st = audit_nets_init(&l->nets, b->arena, b->four, b->six);
    if (st == ST_OK)
        st = audit_ports_init(&l->ports, b->arena, b->ranges);
    if (st == ST_OK)
        st = audit_regexps_init(&l->regexps, b->arena, b->regexps);
    return st;
}

static enum status file_rules(struct builder *b)
{
    struct audit_list *l = b->list;
    enum status st = make_room(b);

    for (uint32_t i = 0; i < l->count && st == ST_OK; i++)
        st = add_rule(b, i);
    audit_nets_finish(&l->nets);
    audit_ports_finish(&l->ports);
    return st == ST_OK ? audit_regexps_finish(&l->regexps) : st;
}

enum status audit_list_build(struct arena *a, const struct audit_item *items, size_t count,
                             audit_problem_fn *problem, void *arg, struct audit_list **out)
{
    struct builder b = {.arena = a, .problem = problem, .arg = arg};
    size_t rules = count < AUDIT_LIST_MAX ? count : AUDIT_LIST_MAX, bytes = 0;
    enum status st = ST_OK;

    *out = NULL;
    for (size_t i = 0; i < count; i++)
        bytes += items[i].len + 1;
    b.list = arena_alloc(a, sizeof(*b.list));
    b.texts = arena_alloc(a, bytes + 1);
    if (b.list == NULL || b.texts == NULL ||
        (b.list->rules = arena_alloc(a, rules * sizeof(b.list->rules[0]) + 1)) == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < count && st == ST_OK; i++)
        st = read_item(&b, &items[i]);
    if (st == ST_OK && b.list->count > 0)
        st = file_rules(&b);
    if (st == ST_OK && audit_list_used(b.list) > 0)
        *out = b.list;
    else
        audit_list_fini(b.list);
    return st;
}

uint32_t audit_list_used(const struct audit_list *l)
{
    return l->count - l->bad;
}

void audit_list_fini(struct audit_list *l)
{
    if (l != NULL)
        audit_regexps_fini(&l->regexps);
}
