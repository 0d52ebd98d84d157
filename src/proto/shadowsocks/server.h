/* proto/shadowsocks/server.h - the inside of the layer, for its files. */
#ifndef PROTO_SHADOWSOCKS_SERVER_H
#define PROTO_SHADOWSOCKS_SERVER_H

#include "proto/shadowsocks/cipher.h"
#include "proto/shadowsocks/conf.h"
#include "proto/shadowsocks/search.h"
#include "stream/transport.h"

enum ss_mode {
    SS_MODE_SALT,
    SS_MODE_SEARCH,   /* AEAD */
    SS_MODE_VARIABLE, /* 2022 */
    SS_MODE_ADDRESS,  /* AEAD, none */
    SS_MODE_DRAIN,    /* AEAD, none */
    SS_MODE_RELAY,
};

/* What only the beginning of a stream needs: until the answer has begun. */
struct ss_opening {
    uint8_t salt[SS_SALT_MAX]; /* of the request */
    uint8_t key[SS_KEY_MAX];   /* the user's: master key or PSK */
    /* Found in this call, of env->users; a later call looks him up again, for the list may be
     * another by then. NULL: see ss_user_now. */
    struct user_rt *user;
    uint64_t uid;                  /* his, AEAD */
    uint8_t name[SS2022_NAME_LEN]; /* his, 2022 with identities */
    struct ss_search search;
    struct bufq plain;   /* AEAD: what was opened and is not known to be a whole address */
    uint32_t eaten;      /* bytes from the wire */
    uint32_t drain_left; /* DRAIN: to be eaten yet */
    uint8_t cause;       /* DRAIN: enum ss_cause */
};

struct ss {
    struct layer layer;
    const struct ss_conf *conf;
    uint8_t mode;  /* enum ss_mode */
    bool answered; /* the beginning of the answer is out */
    uint32_t want; /* of the next chunk; 0: its length is next */
    struct ss_cipher rx, tx;
    struct ss_opening *opening; /* NULL: over */
};

static inline struct ss_shared *ss_shared_of(const struct ss *s)
{
    return s->layer.env->shared;
}

/* The client has ended, or there is more to come. */
static inline enum status ss_incomplete(struct turn *t)
{
    if (t->wire_in->eof)
        return turn_fail(t, ST_E_CLOSED,
                         "shadowsocks: the client left before its request was whole", 0);
    return ST_MORE;
}

/* The user that was found, in this call or an earlier one. NULL: he is gone since. */
struct user_rt *ss_user_now(const struct ss *s);
/* Reports the request of @user; from now on bytes are relayed. */
void ss_report(struct ss *s, struct turn *t, struct user_rt *user, const struct target *target);

/* server_aead.c: SALT, SEARCH, ADDRESS and DRAIN. ST_OK: the request is reported; else as
 * layer_ops.rx answers, with the errors of proto/shadowsocks/shadowsocks.h. */
enum status ss_aead_rx(struct ss *s, struct turn *t);
/* The beginning of an answer (ss_head_fn). */
enum status ss_aead_head(void *arg, uint32_t n, uint8_t head[SS_HEAD_MAX], uint32_t *len);

/* server_2022.c: SALT and VARIABLE, and the same. */
enum status ss2022_rx(struct ss *s, struct turn *t);
/* The beginning of an answer; @arg: struct ss2022_answer. */
struct ss2022_answer {
    struct ss *s;
    int64_t unix_s;
};
enum status ss2022_head(void *arg, uint32_t n, uint8_t head[SS_HEAD_MAX], uint32_t *len);

#endif
