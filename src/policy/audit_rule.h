/* policy/audit_rule.h - reads one item of a rule list: which kind of rule its text means. Pure,
 * stateless.
 *
 * Prefixes (in any case): domain: full: keyword: regexp: (or regex:) ip: port: protocol:. An item
 * without one is what its list is for; in a list of AUDIT_AS_ANY
 *   - an address or a network is that, and what is written as one but is none is refused,
 *   - "*.example.com" is the domain,
 *   - letters, digits, '.', '-' and '_' alone are looked for as they stand,
 *   - everything else is a regular expression, as the Go programs take it.
 * An expression that only says a name or its end ("^a\.com$", "(^|\.)a\.com$", "a\.com") becomes
 * AUDIT_FULL, AUDIT_DOMAIN or AUDIT_KEYWORD, which need no search.
 *
 * Source: what the node programs of this panel family do with a route's "match"
 * (docs/panel-api.md, "Routes"). */
#ifndef POLICY_AUDIT_RULE_H
#define POLICY_AUDIT_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "policy/audit.h"

#define AUDIT_VALUE_MAX 255u  /* bytes of a name or keyword */
#define AUDIT_TEXT_MAX  4096u /* bytes of an item */

/* What the items of a list are, where they do not say so themselves. */
enum audit_as { AUDIT_AS_ANY, AUDIT_AS_NET, AUDIT_AS_PORT, AUDIT_AS_PROTOCOL };

struct audit_reading {
    enum audit_kind kind;
    const char *text; /* the item's, without blanks around it */
    size_t text_len;
    const char *value; /* in the item's text, in buf, or static */
    size_t len;
    struct cidr net;   /* AUDIT_NET: IPv4-mapped networks as IPv4 */
    bool guessed;      /* "*.example.com", which is no regular expression */
    const char *error; /* static; why it is none */
    char buf[AUDIT_VALUE_MAX + 1];
};

/* Reads @len bytes of @text. ST_OK; ST_E_NOTFOUND: blank, or a comment (#); ST_E_UNSUPPORTED: well
 * known, but nothing that can be looked up yet (geosite:, geoip:); ST_E_PROTO: no rule; the last
 * two with @out->error. */
NODISCARD enum status audit_rule_read(enum audit_as as, const char *text, size_t len,
                                      struct audit_reading *out);
/* The next of the ports in @text ("53,443,1000-2000"), from *@at on, which is moved. ST_OK;
 * ST_EOF: there is none; ST_E_PROTO: what comes is no port. */
NODISCARD enum status audit_rule_next_port(const char *text, size_t len, size_t *at, uint16_t *lo,
                                           uint16_t *hi);

#endif
