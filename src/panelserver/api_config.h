/* panelserver/api_config.h - the reply to `config`: a node as the flat object of docs/panel-api.md,
 * "config". */
#ifndef PANELSERVER_API_CONFIG_H
#define PANELSERVER_API_CONFIG_H

#include "panelserver/db_node.h"
#include "base/textbuf.h"

/* The lines of @block as a JSON array of texts. */
void api_config_write_block(struct textbuf *t, const char *block);
/* The node as a JSON object. */
void api_config_write(struct textbuf *t, const struct db_node *n);

#endif
