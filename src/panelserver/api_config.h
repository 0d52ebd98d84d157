/* panelserver/api_config.h - the reply to `config`: a node as the flat object of specs/panel-api
 * section 5. */
#ifndef PANELSERVER_API_CONFIG_H
#define PANELSERVER_API_CONFIG_H

#include "panelserver/db_node.h"
#include "panelserver/textbuf.h"

void api_config_write(struct textbuf *t, const struct db_node *n);

#endif
