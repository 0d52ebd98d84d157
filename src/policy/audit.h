/* policy/audit.h - the block rules of a node: is a user's target one that nobody may reach? Pure,
 * thread-safe: all workers share a list, nothing is allocated and no search takes more than a fixed
 * number of steps.
 *
 * Lists are compiled once (policy/audit_list.h) and shared by the nodes that have the same; a
 * struct audit is what one node looks at. It lives as long as the view_node that points at it.
 *
 * What is looked at, before a target is resolved: of one given as a name, the name; of one given as
 * an address, the address and its text; and in both cases the name that sniffing found. Names have
 * no case and no dot at the end. Then, of the name of a target alone, the addresses that it stands
 * for. */
#ifndef POLICY_AUDIT_H
#define POLICY_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct audit_list;
struct target;

#define AUDIT_LISTS_MAX 2 /* the panel's, and the node's own file */

enum audit_kind {
    AUDIT_FULL,     /* the name */
    AUDIT_DOMAIN,   /* the name, and all below it */
    AUDIT_KEYWORD,  /* anywhere in the name */
    AUDIT_REGEXP,   /* in the name, in the text of the address, or in "tcp:host:port" */
    AUDIT_NET,      /* an address or a network */
    AUDIT_PORT,     /* ports and ranges of ports */
    AUDIT_PROTOCOL, /* what sniffing found */
};

struct audit_rule {
    const char *text;   /* as written, for logs and status */
    const char *value;  /* without prefix, in lower case; not terminated */
    uint32_t id;        /* number in the list, from 1; for a file, its line */
    uint16_t value_len; /* bytes */
    uint8_t kind;       /* enum audit_kind */
};

struct audit {
    const struct audit_list *lists[AUDIT_LISTS_MAX];
    unsigned count;
};

/* What a session or a flow of datagrams wants, as far as it is known. */
struct audit_flow {
    const struct target *target;
    const char *sniffed_host; /* NULL or "": none found */
    const char *protocol;     /* "http1", "tls", "quic", "bittorrent"; NULL: none found */
    bool udp;
};

/* Some rule looks at the protocol or at names: then the first bytes of a session are worth looking
 * at. @a may be NULL. */
bool audit_needs_sniffing(const struct audit *a);
/* A rule that blocks @f, or NULL. Of several one of the first list, in the order protocol, port,
 * network, name, keyword, expression. The rule lives as long as @a, which may be NULL. A regular
 * expression that needs too many steps for a text does not match it. */
const struct audit_rule *audit_match(const struct audit *a, const struct audit_flow *f);

/* Some rule looks at networks, so that audit_match_addrs may find one. @a may be NULL. */
bool audit_needs_addrs(const struct audit *a);
/* A rule that blocks one of the @count addresses that a target's name stands for, *@which; NULL:
 * none. Only networks are looked at: port and name were judged by audit_match. A name is blocked by
 * any of its addresses, as with Xray-core (its domainStrategy IPIfNonMatch). @a may be NULL. */
const struct audit_rule *audit_match_addrs(const struct audit *a, const struct addr *addrs,
                                           size_t count, size_t *which);

#endif
