/* app/demo.h - what `v2sp demo` keeps between runs: a panel database with one user and a node for
 * each protocol that was tried, and the port of the panel. */
#ifndef APP_DEMO_H
#define APP_DEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "panelserver/db_user.h"

struct config;
struct demo_kind;

/* From the command line; NULL, 0 and false where nothing was said. */
struct demo_options {
    const char *state_dir, *host, *network;
    const struct demo_kind *kind; /* never NULL */
    const char *method;           /* of Shadowsocks */
    const char *target, *sni;     /* of REALITY */
    uint16_t port;
    bool plain, tls, allow_private, no_qr;
};

struct demo_setup {
    struct db *db;
    struct db_node node;
    struct db_user user; /* the first one */
};

/* Opens or makes the database with its node and user, and brings the node in line with @o. ST_OK;
 * else nothing is open, and the cause was said on standard error. */
NODISCARD enum status demo_open(const struct demo_options *o, struct demo_setup *out);
/* Closes the database and wipes node and user. */
void demo_close(struct demo_setup *s);
/* The node's configuration, its panel on 127.0.0.1:@panel_port. The caller's reference; NULL:
 * the cause was said. */
const struct config *demo_config(const struct demo_options *o, const struct demo_setup *s,
                                 uint16_t panel_port);
/* Port the embedded panel had last time; 0 = none. Saving is best effort. */
uint16_t demo_panel_port_load(const struct demo_options *o);
void demo_panel_port_save(const struct demo_options *o, uint16_t port);
/* The link, its QR code, and how to connect. */
void demo_print_welcome(const struct demo_options *o, const struct demo_setup *s);

int64_t demo_now(void); /* unix time */
/* "1.5 MiB"; returns @dst. */
char *demo_size_str(char dst[32], uint64_t bytes);

#endif
