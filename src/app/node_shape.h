/* app/node_shape.h - what a node's protocol asks for: which network and security go with it, its
 * cipher, its keys. What was wished for is checked, in the words of the command line; what was not
 * is made up. */
#ifndef APP_NODE_SHAPE_H
#define APP_NODE_SHAPE_H

#include "base/status.h"

struct db_node;

#define NODE_SHAPE_PROBLEM 240

/* The options that were given; NULL: not. Type, network, tls and flow are in the node already. */
struct node_wish {
    const char *network, *tls, *flow;
    const char *cipher, *server_key;     /* Shadowsocks */
    const char *encryption, *decryption; /* VLESS: a mode, "none", or the two strings */
    const char *auth, *ticket;           /* of new keys: "x25519" or "mlkem768"; "600s" */
    const char *carrier; /* name of an option of TLS or of a network's settings that was given */
};

/* Brings @n in line with its type and @w: what belongs to another type goes, what is missing is
 * made: a key for a 2022 cipher, TLS for Trojan, Vision for VLESS with REALITY over tcp. Does not
 * fill REALITY's settings (reality_node.h). ST_OK; ST_E_CONFIG with @problem, which names the
 * option; ST_E_CRYPTO, ST_E_NOMEM with @problem. */
NODISCARD enum status node_shape_fill(struct db_node *n, const struct node_wish *w,
                                      char problem[NODE_SHAPE_PROBLEM]);

#endif
