/* app/block_list.h - the block rules that `v2sp panel node --block` takes, checked as a node reads
 * them. Pure. */
#ifndef APP_BLOCK_LIST_H
#define APP_BLOCK_LIST_H

#include <stddef.h>

#include "base/status.h"

#define BLOCK_LIST_PROBLEM 320

/* Reads @text, rules with commas or line ends between them, into @out (@size bytes): one rule a
 * line, "" for none. ST_OK; ST_E_CONFIG with @problem: one of them is no rule; ST_E_LIMIT: they do
 * not fit; ST_E_NOMEM. */
NODISCARD enum status block_list_read(const char *text, char *out, size_t size,
                                      char problem[BLOCK_LIST_PROBLEM]);

#endif
