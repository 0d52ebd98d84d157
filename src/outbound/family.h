/* outbound/family.h - which of a target's addresses may be used, and in which order. Shared by the
 * TCP and UDP side of direct. */
#ifndef OUTBOUND_FAMILY_H
#define OUTBOUND_FAMILY_H

#include "outbound/direct.h"

/* False when @conf has a source address, but none of the @family. */
bool family_allowed(const struct direct_conf *conf, enum addr_family family);
/* What to ask the resolver for. ST_OK, or ST_E_REFUSED with @why when strategy and source address
 * exclude each other. */
NODISCARD enum status family_want(const struct direct_conf *conf, enum resolve_want *want,
                                  struct why *why);
/* May @a be reached? ST_OK, or ST_E_REFUSED with @why: private, family without source address. */
NODISCARD enum status family_check(const struct direct_conf *conf, const struct addr *a,
                                   struct why *why);
/* Copies what may be reached of @from, which has addresses, to @to (room for RESOLVE_ADDRS_MAX)
 * with @port, in the order of the strategy. Those that family_check refuses are left out;
 * conf.allow refuses all of them together. Returns how many; 0 with @why filled (text NULL: by
 * conf.allow). */
size_t family_pick(const struct direct_conf *conf, const struct resolve_answer *from, uint16_t port,
                   struct addr *to, struct why *why);
/* The cause of a failed lookup. */
struct why family_lookup_failed(enum status st);

#endif
