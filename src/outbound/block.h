/* outbound/block.h - the outbound that leads nowhere. */
#ifndef OUTBOUND_BLOCK_H
#define OUTBOUND_BLOCK_H

#include "base/status.h"

/* Answers any target, TCP or UDP: ST_E_REFUSED, with @why (may be NULL) filled. */
NODISCARD enum status block_dial(struct why *why);

#endif
