/* session/screen_judge.h - what the two halves of screen.h share: verdicts, and how they are
 * written down. */
#ifndef SESSION_SCREEN_JUDGE_H
#define SESSION_SCREEN_JUDGE_H

#include "session/screen.h"
#include "sniff/sniff.h"

#define SCREEN_CAUSE "blocked by a rule"

/* Does a rule look at more than the target, and may it? */
bool screen_sniffs(const struct worker_node *wn);
/* True: no rule blocks it. Else the hit is counted and logged. @found NULL: not sniffed. */
bool screen_judge(const struct screen_flow *f, const struct target *to, bool udp,
                  const struct sniff *found);
/* A flow begins whose first target @to is allowed. False: no memory. */
bool screen_begin(struct screen **sc, const struct screen_flow *f, const struct target *to);

#endif
