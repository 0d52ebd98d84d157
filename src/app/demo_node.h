/* app/demo_node.h - the node of `v2sp demo`: one for each kind of protocol, kept in the
 * database. */
#ifndef APP_DEMO_NODE_H
#define APP_DEMO_NODE_H

#include "app/demo.h"

#define DEMO_SNI          "www.example.com" /* on the self-signed certificate */
#define DEMO_NODE_PROBLEM 200

struct demo_kind {
    const char *word;  /* of --protocol */
    const char *title; /* for people */
    const char *type;  /* as panels say */
    const char *name;  /* of its node */
    const char *network;
    const char *cipher; /* NULL: not Shadowsocks */
};

/* The kind @word asks for (NULL: VLESS); a 2022 cipher as @method (may be NULL) makes "shadowsocks"
 * the one of the 2022 editions. NULL: there is none. */
const struct demo_kind *demo_kind_find(const char *word, const char *method);
/* Does what is in @o go together? False with @problem, which names the option. */
bool demo_options_ok(const struct demo_options *o, char problem[DEMO_NODE_PROBLEM]);

/* Reads or makes the node of o->kind and brings it in line with @o: what was asked for now, else
 * what was so last time, else the default. May look for a REALITY target (demo_target.h). ST_OK;
 * else the cause was said on standard error. */
NODISCARD enum status demo_node_ensure(const struct demo_options *o, struct db *db,
                                       struct db_node *n);

#endif
