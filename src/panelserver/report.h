/* panelserver/report.h - bodies of `push` and `alive`, read strictly into arrays: one wrong value
 * refuses the whole body.
 *
 * Pure but for the arrays, which grow with what was really read, never by a claimed size. `[]`
 * counts as `{}`: PHP writes an empty map so. Several entries for one user add up.
 * (docs/panel-api.md, "push" and "alive".) */
#ifndef PANELSERVER_REPORT_H
#define PANELSERVER_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

#define REPORT_USERS_MAX 500000u
#define REPORT_IPS_MAX   1024u              /* addresses of one user */
#define REPORT_BYTES_MAX (INT64_C(1) << 50) /* one number of a push: more is a broken counter */

struct report_push_entry {
    int64_t user_id, up, down; /* bytes, 0..REPORT_BYTES_MAX */
};

struct report_push {
    struct report_push_entry *entries;
    size_t count, cap;
};

/* The user's addresses are ips[first .. first + count); none clears the user. */
struct report_alive_user {
    int64_t user_id;
    size_t first, count;
};

struct report_alive {
    struct report_alive_user *users;
    size_t count, cap;
    struct addr *ips; /* port 0; IPv4-mapped ones as IPv4 */
    size_t ip_count, ip_cap;
};

/* What is wrong with a body, for the one who sent it. */
struct report_error {
    char text[160];
    uint64_t offset; /* byte of the body, from 0 */
};

/* Parses @len bytes. Whatever the answer, *@out is to be given to the matching fini.
 * ST_OK; ST_E_PROTO (@err says what and where); ST_E_LIMIT (a bound above, or nesting); ST_E_NOMEM.
 */
NODISCARD enum status report_parse_push(const char *body, size_t len, struct report_push *out,
                                        struct report_error *err);
NODISCARD enum status report_parse_alive(const char *body, size_t len, struct report_alive *out,
                                         struct report_error *err);
void report_push_fini(struct report_push *r);
void report_alive_fini(struct report_alive *r);

#endif
