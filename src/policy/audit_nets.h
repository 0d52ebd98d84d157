/* policy/audit_nets.h - addresses and networks of a rule list, and its ports: sorted, disjoint,
 * looked up by halving. Pure, const once finished. */
#ifndef POLICY_AUDIT_NETS_H
#define POLICY_AUDIT_NETS_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define AUDIT_NETS_NONE UINT32_MAX

struct arena;

struct audit_net4 {
    uint32_t ip; /* host order */
    uint32_t rule;
    uint8_t bits;
};

struct audit_net6 {
    uint8_t ip[16];
    uint32_t rule;
    uint8_t bits;
};

struct audit_nets {
    struct audit_net4 *four;
    struct audit_net6 *six;
    size_t four_count, six_count;
};

/* Makes room. ST_OK or ST_E_NOMEM. */
NODISCARD enum status audit_nets_init(struct audit_nets *n, struct arena *a, size_t four,
                                      size_t six);
/* Adds @net, of rule number @rule; no more than there is room for. */
void audit_nets_add(struct audit_nets *n, const struct cidr *net, uint32_t rule);
/* Sorts what was added, and drops what lies within another. */
void audit_nets_finish(struct audit_nets *n);
/* Number of the rule of the network that @a is in, the widest there is; else AUDIT_NETS_NONE. An
 * IPv6 address that leads to an IPv4 one (addr_embedded_ip4) is in that one's networks as well;
 * mapped, only in these. 0.0.0.0 and :: are in those of 127.0.0.1 and ::1, where Linux connects to
 * for them. */
uint32_t audit_nets_find(const struct audit_nets *n, const struct addr *a);

struct audit_ports {
    struct audit_port_range {
        uint16_t lo, hi;
        uint32_t rule;
    } * ranges;
    size_t count;
};

/* The same four for ports: a range @lo..@hi of rule number @rule; of ranges that overlap each port
 * belongs to the one that begins first. */
NODISCARD enum status audit_ports_init(struct audit_ports *p, struct arena *a, size_t count);
void audit_ports_add(struct audit_ports *p, uint16_t lo, uint16_t hi, uint32_t rule);
void audit_ports_finish(struct audit_ports *p);
uint32_t audit_ports_find(const struct audit_ports *p, uint16_t port);

#endif
