/* control/config/config_fetch.h - fetches Include URLs for config_load. Blocks; for start,
 * reload and the command line only. */
#ifndef CONTROL_CONFIG_CONFIG_FETCH_H
#define CONTROL_CONFIG_CONFIG_FETCH_H

#include "control/config/config.h"

/* http and https, certificates checked, three redirects, 10 s in all, JSON_SIZE_MAX bytes. @arg is
 * unused. ST_OK: *@body is malloc'ed and the caller's; else ST_E_IO, ST_E_LIMIT, ST_E_NOMEM with
 * @reason. Made for struct config_env_io.fetch. */
NODISCARD enum status config_fetch(void *arg, const char *url, char **body, size_t *len,
                                   char reason[160]);

#endif
