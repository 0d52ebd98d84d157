/* panelserver/db_node.h - nodes: what a node is told by `config`, and what users dial. */
#ifndef PANELSERVER_DB_NODE_H
#define PANELSERVER_DB_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "panelserver/cipher.h"

struct db;

#define DB_NAME_MAX       63
#define DB_HOST_MAX       255
#define DB_TOKEN_MAX      128
#define DB_SETTINGS_MAX   8191
#define DB_DECRYPTION_MAX 1023
#define DB_ENCRYPTION_MAX 4095
#define DB_BLOCK_MAX      8191
#define DB_INTERVAL_MIN   5
#define DB_INTERVAL_MAX   3600

enum db_tls { DB_TLS_NONE = 0, DB_TLS_TLS = 1, DB_TLS_REALITY = 2 };

struct db_node {
    int64_t id; /* 0 in db_node_add: the next free one */
    bool enabled;
    char name[DB_NAME_MAX + 1];
    char token[DB_TOKEN_MAX + 1];               /* secret; "" in db_node_add: made from a CSPRNG */
    char type[16];                              /* vless, vmess, trojan, shadowsocks */
    uint16_t port;                              /* the node listens here (server_port) */
    uint16_t public_port;                       /* users dial this; 0 = port */
    char host[DB_HOST_MAX + 1];                 /* users dial this name or IP */
    char network[16];                           /* tcp, ws, grpc, ... */
    char network_settings[DB_SETTINGS_MAX + 1]; /* JSON object or "" */
    int tls;                                    /* enum db_tls */
    /* JSON object or "": server_name, alpn, allow_insecure, ... */
    char tls_settings[DB_SETTINGS_MAX + 1];
    char flow[32];
    char cipher[32];                        /* Shadowsocks: a name of cipher.h */
    char server_key[CIPHER_KEY_TEXT];       /* secret; of a 2022 edition, base64 */
    char decryption[DB_DECRYPTION_MAX + 1]; /* secret; VLESS encryption, the node's string */
    char encryption[DB_ENCRYPTION_MAX + 1]; /* and the clients'; both or none */
    char block[DB_BLOCK_MAX + 1];           /* rules of targets to block, one a line */
    int32_t push_interval, pull_interval;   /* seconds */
    /* Kept by the panel; db_node_add and db_node_update leave them alone. */
    uint64_t up, down; /* bytes reported by this node, ever */
    int64_t seen;      /* unix time of its last report or poll; 0 = never */
};

/* A VLESS/TCP node with the default intervals and nothing else set. */
void db_node_init(struct db_node *n);

/* Checks, then inserts; @n gets its id and token. ST_OK; ST_E_CONFIG (db_error says which member);
 * ST_E_BUSY when the id is taken; ST_E_CRYPTO: no random bytes for a token. */
NODISCARD enum status db_node_add(struct db *db, struct db_node *n);
/* Writes all members but the counters. ST_OK; ST_E_CONFIG; ST_E_NOTFOUND. */
NODISCARD enum status db_node_update(struct db *db, const struct db_node *n);
/* ST_OK; ST_E_NOTFOUND. */
NODISCARD enum status db_node_get(struct db *db, int64_t id, struct db_node *out);
/* Removes the node; the traffic it reported stays in the books. ST_OK; ST_E_NOTFOUND. */
NODISCARD enum status db_node_del(struct db *db, int64_t id);
/* Calls @fn for each node in order of id until it returns false. @fn may not write. */
NODISCARD enum status db_node_each(struct db *db, bool (*fn)(void *ctx, const struct db_node *n),
                                   void *ctx);
/* Does any node have this token? Looks at every token whatever the answer. */
NODISCARD enum status db_node_any_token(struct db *db, const char *token, size_t len, bool *out);
/* Notes that the node was heard of at @now; writes at most once a minute. */
NODISCARD enum status db_node_touch(struct db *db, const struct db_node *n, int64_t now);

/* Sets (or with @value NULL removes) the text member @key of the JSON object in @json (@size bytes,
 * "" = {}). ST_OK; ST_E_CONFIG when @json is no object; ST_E_LIMIT when the result does not fit. */
NODISCARD enum status db_json_set(struct db *db, char *json, size_t size, const char *key,
                                  const char *value);

#endif
