/* app/sharelink.h - what a client needs to reach a node as one user: the link people paste or scan,
 * and whole configurations for Xray and sing-box. Pure but for textbuf's memory.
 *
 * Links are the de-facto standards of the clients. vless:// and trojan://, and vmess:// with
 * REALITY: XTLS/Xray-core issue 91 ("VMessAEAD / VLESS share link"), every value percent-encoded as
 * encodeURIComponent does, no field twice, IPv6 in brackets; allowInsecure is not in the standard,
 * but is what v2rayN and others read. vmess:// else: base64 of v2rayN's JSON, version 2. ss://:
 * SIP002, user info in base64url, or percent-encoded for the 2022 editions (SIP022 section 4). */
#ifndef APP_SHARELINK_H
#define APP_SHARELINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/uuid.h"

struct db_node;
struct db_user;
struct textbuf;

#define SHARELINK_TEXT_MAX       256
#define SHARELINK_VERIFY_MAX     2624
#define SHARELINK_ENCRYPTION_MAX 4096
#define SHARELINK_PASSWORD_MAX   96
#define SHARELINK_SOCKS          1080 /* port of the local proxy in a configuration */

enum sharelink_protocol {
    SHARELINK_VLESS,
    SHARELINK_VMESS,
    SHARELINK_TROJAN,
    SHARELINK_SHADOWSOCKS
};
enum sharelink_security { SHARELINK_NONE, SHARELINK_TLS, SHARELINK_REALITY };

/* Texts are "" where a member does not apply. Holds secrets: crypto_wipe when done. */
struct sharelink {
    enum sharelink_protocol protocol;
    char uuid[UUID_STRLEN];                    /* secret; VLESS, VMess */
    char password[SHARELINK_PASSWORD_MAX];     /* secret; Trojan, Shadowsocks: 2022 "server:user" */
    char method[32];                           /* Shadowsocks */
    char encryption[SHARELINK_ENCRYPTION_MAX]; /* VLESS: the clients' string */
    char server[SHARELINK_TEXT_MAX];           /* name or IP, IPv6 without brackets */
    uint16_t port;
    char name[SHARELINK_TEXT_MAX];    /* for people; UTF-8 */
    char network[16];                 /* tcp, ws, httpupgrade, grpc, xhttp */
    char path[SHARELINK_TEXT_MAX];    /* ws, httpupgrade, xhttp: as sent, may end in "?ed=2048" */
    char host[SHARELINK_TEXT_MAX];    /* their Host; grpc: authority */
    char service[SHARELINK_TEXT_MAX]; /* grpc: service name */
    char flow[32];
    enum sharelink_security security;
    char sni[SHARELINK_TEXT_MAX];
    char alpn[64];        /* comma list */
    char fingerprint[32]; /* of the ClientHello to imitate */
    /* REALITY: */
    char public_key[64], short_id[32];
    char spider[SHARELINK_TEXT_MAX];   /* path a client begins to crawl at when it was betrayed */
    char verify[SHARELINK_VERIFY_MAX]; /* ML-DSA-65 key, base64url */
    bool allow_insecure;               /* the certificate is self-signed */
};

/* Takes what the panel knows of @n and @u. On failure *@problem (static text) says what the node
 * lacks. ST_OK; ST_E_CONFIG (no public host, unreadable settings, a text too long). */
NODISCARD enum status sharelink_from(struct sharelink *s, const struct db_node *n,
                                     const struct db_user *u, const char **problem);

/* Writes vless://..., vmess://..., trojan://... or ss://... without a newline; @t->failed tells
 * about memory. */
void sharelink_uri(const struct sharelink *s, struct textbuf *t);
/* Writes a whole configuration with a SOCKS proxy on 127.0.0.1:@socks_port, ending with a newline.
 */
void sharelink_xray(const struct sharelink *s, uint16_t socks_port, struct textbuf *t);
/* ST_OK, or ST_E_UNSUPPORTED with *@lacks (static text) what sing-box does not have: the
 * network, or VLESS encryption. */
NODISCARD enum status sharelink_sing_box(const struct sharelink *s, uint16_t socks_port,
                                         struct textbuf *t, const char **lacks);

#endif
