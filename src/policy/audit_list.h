/* policy/audit_list.h - compiles a list of block rules into what policy/audit.h looks at. Pure.
 *
 * Some 70 bytes a name; 100,000 names take about 50 ms. A bad item is skipped and named and never
 * stops the rest. */
#ifndef POLICY_AUDIT_LIST_H
#define POLICY_AUDIT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/audit.h"
#include "policy/audit_names.h"
#include "policy/audit_nets.h"
#include "policy/audit_regexps.h"
#include "policy/audit_rule.h"
#include "policy/audit_words.h"

#define AUDIT_LIST_MAX     1000000u /* rules */
#define AUDIT_PROTOCOLS    4
#define AUDIT_PROBLEM_SIZE 160

struct arena;

struct audit_item {
    const char *text; /* the caller's */
    size_t len;
    uint32_t id;
    enum audit_as as;
};

/* Something about @item: it is skipped, or (@used) taken for something it does not say. */
typedef void audit_problem_fn(void *arg, const struct audit_item *item, bool used,
                              const char *problem);

struct audit_list {
    struct audit_rule *rules; /* all of them */
    uint32_t count;
    uint32_t bad; /* of these, expressions that are none */
    bool by_name; /* some rule looks at names */
    struct audit_names names;
    struct audit_words words;
    struct audit_nets nets;
    struct audit_ports ports;
    struct audit_regexps regexps;
    const struct audit_rule *protocols[AUDIT_PROTOCOLS];
};

/* Compiles @items in @a, texts included. *@out NULL: no rule in them. ST_OK or ST_E_NOMEM. What is
 * not in @a audit_list_fini gives back, before @a is freed. */
NODISCARD enum status audit_list_build(struct arena *a, const struct audit_item *items,
                                       size_t count, audit_problem_fn *problem, void *arg,
                                       struct audit_list **out);
/* Rules that are looked at: without the expressions that are none. */
uint32_t audit_list_used(const struct audit_list *l);
void audit_list_fini(struct audit_list *l); /* NULL is fine */

#endif
