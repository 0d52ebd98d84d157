/* Lines: the first a target, the second what was sniffed, the rest rules. A list must block what
 * one of its rules alone blocks, and nothing else. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"
#include "base/arena.h"
#include "policy/audit_list.h"

#define RULES_MAX 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct line {
    const char *p;
    size_t len;
};

static bool next_line(const char **p, size_t *left, struct line *out)
{
    if (*left == 0)
        return false;
    const char *end = memchr(*p, '\n', *left);
    out->p = *p;
    out->len = end != NULL ? (size_t)(end - *p) : *left;
    *left -= out->len + (end != NULL);
    *p += out->len + (end != NULL);
    return true;
}

/* The number of the rule that blocks @f; 0: none. *@kind: what it is. */
static uint32_t ask(const struct audit_item *items, size_t count, const struct audit_flow *f,
                    enum audit_kind *kind)
{
    struct arena *a = arena_new();
    struct audit_list *l;
    uint32_t id = 0;

    if (a == NULL || audit_list_build(a, items, count, NULL, NULL, &l) != ST_OK)
        __builtin_trap();
    const struct audit audit = {.lists = {l}, .count = l != NULL};
    const struct audit_rule *r = audit_match(&audit, f);
    if (r != NULL) {
        id = r->id;
        *kind = (enum audit_kind)r->kind;
    }
    audit_list_fini(l);
    arena_free(a);
    return id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct audit_item items[RULES_MAX];
    struct line target, sniffed, rule;
    char host[TARGET_HOST_MAX + 8];
    struct target t;
    size_t count = 0;
    enum audit_kind kind = AUDIT_FULL;

    if (size < 4)
        return 0;
    const uint16_t port = (uint16_t)(data[0] << 8 | data[1]);
    size_t left = size - 2;
    p += 2;
    if (!next_line(&p, &left, &target) || !next_line(&p, &left, &sniffed) ||
        target_set_host(&t, target.p, target.len, port) != ST_OK)
        return 0;
    size_t n = sniffed.len < sizeof(host) - 1 ? sniffed.len : sizeof(host) - 1;
    memcpy(host, sniffed.p, n);
    host[n] = '\0';
    while (count < RULES_MAX && next_line(&p, &left, &rule)) {
        items[count] = (struct audit_item){.text = rule.p,
                                           .len = rule.len,
                                           .id = (uint32_t)count + 1,
                                           .as = (enum audit_as)(rule.len % 7 % 4)};
        count++;
    }
    const struct audit_flow f = {.target = &t,
                                 .sniffed_host = host,
                                 .protocol = port % 3 == 0 ? "tls" : NULL,
                                 .udp = port % 2 == 0};
    uint32_t id = ask(items, count, &f, &kind);
    for (size_t i = 0; i < count; i++) {
        bool alone = ask(&items[i], 1, &f, &kind) != 0;
        if (id == i + 1 && !alone)
            __builtin_trap();
        /* Some expressions that take too long end the search for others. */
        if (alone && kind != AUDIT_REGEXP && id == 0)
            __builtin_trap();
    }
    return 0;
}
