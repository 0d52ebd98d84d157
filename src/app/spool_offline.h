/* app/spool_offline.h - the spool of a service that does not run: `v2sp spool` opens the state
 * database itself. */
#ifndef APP_SPOOL_OFFLINE_H
#define APP_SPOOL_OFFLINE_H

#include "base/status.h"
#include "base/textbuf.h"
#include "control/admin/spool_orders.h"

struct config;

#define SPOOL_OFFLINE_TEXT SPOOL_ORDER_TEXT

/* Writes the list (spool_orders_list) of @cfg's StateDir into @out, reading only. ST_OK;
 * ST_E_IO, ST_E_NOMEM with @problem. */
NODISCARD enum status spool_offline_list(const struct config *cfg, struct textbuf *out,
                                         char problem[SPOOL_OFFLINE_TEXT]);
/* Does what @order says, in the way of a start of the service: what the counters of a killed
 * process hold is in the database first. Refuses while another process has it open. ST_OK, or an
 * error; out->text in any case. */
NODISCARD enum status spool_offline_run(const struct config *cfg, const struct spool_order *order,
                                        struct spool_outcome *out);

#endif
