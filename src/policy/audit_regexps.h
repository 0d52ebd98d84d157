/* policy/audit_regexps.h - the regular expressions of a rule list. Pure, thread-safe once finished:
 * searches take one of a few scratches, and wait for one where all are taken.
 *
 * One walk over a text tells which expressions can be in it (policy/audit_literals.h); only those
 * are searched for. */
#ifndef POLICY_AUDIT_REGEXPS_H
#define POLICY_AUDIT_REGEXPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/audit_words.h"
#include "policy/regexp.h"

#define AUDIT_REGEXPS_MAX     2000u /* in one list: each is tried for each new session */
#define AUDIT_REGEXPS_SCRATCH 8
#define AUDIT_REGEXPS_NONE    UINT32_MAX
#define AUDIT_REGEXPS_BITS    ((AUDIT_REGEXPS_MAX + 63) / 64)

struct arena;

struct audit_regexps {
    struct audit_regexp {
        struct regexp *compiled;
        uint32_t rule;
        bool wants_long; /* a ':' in it may be that of "tcp:host:port" */
    } * list;
    size_t count;
    uint64_t always[AUDIT_REGEXPS_BITS]; /* those that any text may have */
    struct audit_words words;            /* what the others need */
    struct audit_rule *literals;         /* of words; id: number in list */
    size_t literal_count, literal_room;
    struct arena *arena; /* while they are added */
    struct audit_scratch {
        atomic_flag busy;
        struct regexp_scratch *scratch;
    } * scratches;
    _Atomic uint32_t *turn; /* where the next search begins to look for a scratch */
};

/* The texts of one target: "tcp:host:port", of which the host is a part. */
struct audit_text {
    const char *all, *host;
    size_t all_len, host_len;
};

/* Makes room for @count, at most AUDIT_REGEXPS_MAX. ST_OK or ST_E_NOMEM; audit_regexps_fini in
 * both cases. */
NODISCARD enum status audit_regexps_init(struct audit_regexps *r, struct arena *a, size_t count);
void audit_regexps_fini(struct audit_regexps *r);
/* Compiles @len bytes of @pattern, without regard to case. ST_OK; ST_E_PROTO: none, or one that
 * everything or nothing matches (@err); ST_E_LIMIT: longer than REGEXP_PATTERN_MAX; ST_E_NOMEM. */
NODISCARD enum status audit_regexps_add(struct audit_regexps *r, const char *pattern, size_t len,
                                        uint32_t rule, struct regexp_error *err);
/* After the last one. ST_OK or ST_E_NOMEM. */
NODISCARD enum status audit_regexps_finish(struct audit_regexps *r);
/* Number of the rule of the first expression that is in the host or, if it has a ':', in the whole
 * of @t; else AUDIT_REGEXPS_NONE. When a few have taken too many steps the rest is not tried. */
uint32_t audit_regexps_find(const struct audit_regexps *r, const struct audit_text *t);

#endif
