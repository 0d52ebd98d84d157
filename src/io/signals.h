/* io/signals.h - process signals as events of the control loop (signalfd). */
#ifndef IO_SIGNALS_H
#define IO_SIGNALS_H

#include "io/loop.h"

struct signals {
    struct watch watch;
    struct loop *loop;
    void (*fn)(struct signals *, int signo);
};

/* Blocks INT, TERM, HUP, USR1 and USR2 in this thread (and those started after it), ignores
 * PIPE, and reports them to @fn in the loop. ST_OK or ST_E_IO. */
NODISCARD enum status signals_init(struct signals *s, struct loop *l,
                                   void (*fn)(struct signals *, int signo));
/* Reports no more; the signals stay blocked. */
void signals_fini(struct signals *s);

#endif
