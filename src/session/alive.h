/* session/alive.h - which sources of which users moved bytes since the last report: what closed
 * sessions leave behind. Single-threaded. */
#ifndef SESSION_ALIVE_H
#define SESSION_ALIVE_H

#include "policy/plane.h"

#define ALIVE_MAX 65536u /* pairs a report; more are left out */

/* Grows from nothing; open addressing over (uid, ip). */
struct alive_table {
    struct plane_alive *slots; /* an ip of ADDR_NONE: free */
    size_t size, count;
};

/* Adds @bytes to the pair, and that a session of it is there. Without memory the pair is lost
 * for this report: a state that the next one repairs. */
void alive_add(struct alive_table *t, uint64_t uid, const struct addr *ip, uint64_t bytes,
               enum plane_presence presence);
/* Empties @t into an array of *@n entries that the caller frees; NULL when it was empty. */
struct plane_alive *alive_take(struct alive_table *t, size_t *n);
/* Frees the table; it is empty then. */
void alive_fini(struct alive_table *t);

#endif
