/* proto/shadowsocks/conf.h - what the panel says of a node: cipher and server_key. */
#ifndef PROTO_SHADOWSOCKS_CONF_H
#define PROTO_SHADOWSOCKS_CONF_H

#include "crypto/aes_block.h"
#include "proto/shadowsocks/method.h"

struct ss_conf {
    const struct ss_method *method;
    bool identity;           /* 2022: identity headers name one of many users */
    uint8_t key[SS_KEY_MAX]; /* 2022: server_key */
    /* 2022 with AES: the same key, for the separate headers of datagrams */
    struct aes_block opens, seals;
};

/* Makes a configuration of @m with @key (2022 only, else NULL). */
void ss_conf_init(struct ss_conf *c, const struct ss_method *m, const uint8_t *key, bool identity);

#endif
