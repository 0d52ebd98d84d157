#include "outbound/block.h"

enum status block_dial(struct why *why)
{
    return why_set(why, ST_E_REFUSED, "blocked by a rule", 0);
}
