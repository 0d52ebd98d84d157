/* transport/vlessenc/vlessenc_tickets.h - the 0-RTT tickets of a node and what was done with them,
 * shared by all workers: one of SHARDS spin locks for each call, held for a list walk. Pure.
 *
 * Bounded: VLESSENC_TICKETS_MAX tickets, VLESSENC_USES_MAX connections a ticket and a cap on the
 * memory of uses. Whatever does not fit is forgotten oldest first: its client is told to begin
 * anew, and never is a hello let through twice. */
#ifndef TRANSPORT_VLESSENC_TICKETS_H
#define TRANSPORT_VLESSENC_TICKETS_H

#include <stddef.h>
#include <stdint.h>

#define VLESSENC_TICKET_LEN  16u
#define VLESSENC_PFS_LEN     64u
#define VLESSENC_NFS_LEN     32u
#define VLESSENC_TICKETS_MAX 65536u
#define VLESSENC_USES_MAX    16384u

struct vlessenc_tickets;

/* For tickets that are kept @keep_s seconds. NULL without memory. */
struct vlessenc_tickets *vlessenc_tickets_new(uint32_t keep_s);
/* Wipes; NULL is fine. Nobody may use it any more. */
void vlessenc_tickets_free(struct vlessenc_tickets *t);

/* Remembers what @ticket, fresh and random, stands for. Without memory it does not. */
void vlessenc_tickets_put(struct vlessenc_tickets *t, const uint8_t ticket[VLESSENC_TICKET_LEN],
                          const uint8_t pfs[VLESSENC_PFS_LEN], uint64_t now_s);

enum vlessenc_use {
    VLESSENC_USE_GOOD,     /* @pfs is filled */
    VLESSENC_USE_UNKNOWN,  /* no such ticket, or no room to note its use */
    VLESSENC_USE_REPLAYED, /* @nfs, the secret of this hello, was used with it before */
};
/* A hello with secret @nfs comes with @ticket: notes that. */
enum vlessenc_use vlessenc_tickets_use(struct vlessenc_tickets *t,
                                       const uint8_t ticket[VLESSENC_TICKET_LEN],
                                       const uint8_t nfs[VLESSENC_NFS_LEN], uint64_t now_s,
                                       uint8_t pfs[VLESSENC_PFS_LEN]);
/* Tickets held now, expired ones that nobody asked for included. For tests. */
size_t vlessenc_tickets_count(struct vlessenc_tickets *t);

#endif
