#include "policy/audit.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/ascii.h"
#include "policy/audit_list.h"

/* "tcp:[" host "]:65535" */
struct subject {
    char buf[TARGET_HOST_MAX + 16];
    struct audit_text text;
    struct addr ip; /* family 0: a name */
};

bool audit_needs_sniffing(const struct audit *a)
{
    for (unsigned i = 0; a != NULL && i < a->count; i++)
        if (a->lists[i]->by_name || a->lists[i]->protocols[0] != NULL)
            return true;
    return false;
}

bool audit_needs_addrs(const struct audit *a)
{
    for (unsigned i = 0; a != NULL && i < a->count; i++)
        if (a->lists[i]->nets.four_count + a->lists[i]->nets.six_count > 0)
            return true;
    return false;
}

/* @host, in lower case and without a dot at its end, becomes the subject; false: it is none. */
static bool set_subject(struct subject *s, const char *host, size_t len, const struct audit_flow *f)
{
    bool six = memchr(host, ':', len) != NULL;
    size_t at = six ? 5 : 4;

    while (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len > TARGET_HOST_MAX)
        return false;
    memcpy(s->buf, f->udp ? "udp:[" : "tcp:[", at);
    for (size_t i = 0; i < len; i++)
        s->buf[at + i] = ascii_lower(host[i]);
    int n = snprintf(s->buf + at + len, sizeof(s->buf) - at - len, "%s:%u", six ? "]" : "",
                     f->target->addr.port);
    s->text = (struct audit_text){
        .all = s->buf, .all_len = at + len + (size_t)n, .host = s->buf + at, .host_len = len};
    return true;
}

static bool set_target(struct subject *s, const struct audit_flow *f)
{
    const struct target *t = f->target;
    char ip[ADDR_STRLEN];

    s->ip = (struct addr){0};
    if (t->host_len > 0)
        return set_subject(s, t->host, t->host_len, f);
    s->ip = t->addr;
    addr_unmap(&s->ip);
    addr_ip_str(&s->ip, ip);
    return set_subject(s, ip, strlen(ip), f);
}

/* A Host header may hold an address. */
static bool set_sniffed(struct subject *s, const struct audit_flow *f)
{
    const char *host = f->sniffed_host;
    size_t len = host != NULL ? strnlen(host, TARGET_HOST_MAX + 1) : 0;

    s->ip = (struct addr){0};
    if (len == 0 || !set_subject(s, host, len, f))
        return false;
    if (addr_parse_ip(&s->ip, s->text.host, s->text.host_len) != ST_OK)
        s->ip.family = ADDR_NONE;
    return true;
}

static const struct audit_rule *rule_at(const struct audit_list *l, uint32_t i)
{
    return i < l->count ? &l->rules[i] : NULL;
}

static const struct audit_rule *match_protocol(const struct audit_list *l, const char *protocol)
{
    for (int i = 0; protocol != NULL && i < AUDIT_PROTOCOLS && l->protocols[i] != NULL; i++) {
        const struct audit_rule *r = l->protocols[i];
        if (strlen(protocol) == r->value_len && memcmp(protocol, r->value, r->value_len) == 0)
            return r;
    }
    return NULL;
}

static const struct audit_rule *match_subject(const struct audit_list *l, const struct subject *s)
{
    const struct audit_text *t = &s->text;
    const struct audit_rule *r = NULL;

    if (s->ip.family != ADDR_NONE)
        r = rule_at(l, audit_nets_find(&l->nets, &s->ip));
    if (r == NULL)
        r = audit_names_find(&l->names, t->host, t->host_len);
    if (r == NULL)
        r = audit_words_find(&l->words, t->host, t->host_len);
    return r != NULL ? r : rule_at(l, audit_regexps_find(&l->regexps, t));
}

static bool same_host(const struct subject *a, const struct subject *b)
{
    return a->text.host_len == b->text.host_len &&
           memcmp(a->text.host, b->text.host, a->text.host_len) == 0;
}

const struct audit_rule *audit_match(const struct audit *a, const struct audit_flow *f)
{
    struct subject target, sniffed;

    if (a == NULL || a->count == 0)
        return NULL;
    bool has_target = set_target(&target, f), has_sniffed = set_sniffed(&sniffed, f);
    if (has_target && has_sniffed && same_host(&target, &sniffed))
        has_sniffed = false;
    for (unsigned i = 0; i < a->count; i++) {
        const struct audit_list *l = a->lists[i];
        const struct audit_rule *r = match_protocol(l, f->protocol);
        if (r == NULL)
            r = rule_at(l, audit_ports_find(&l->ports, f->target->addr.port));
        if (r == NULL && has_target)
            r = match_subject(l, &target);
        if (r == NULL && has_sniffed)
            r = match_subject(l, &sniffed);
        if (r != NULL)
            return r;
    }
    return NULL;
}

const struct audit_rule *audit_match_addrs(const struct audit *a, const struct addr *addrs,
                                           size_t count, size_t *which)
{
    for (unsigned i = 0; a != NULL && i < a->count; i++) {
        const struct audit_list *l = a->lists[i];
        if (l->nets.four_count + l->nets.six_count == 0)
            continue;
        for (size_t k = 0; k < count; k++) {
            const struct audit_rule *r = rule_at(l, audit_nets_find(&l->nets, &addrs[k]));
            if (r == NULL)
                continue;
            *which = k;
            return r;
        }
    }
    return NULL;
}
