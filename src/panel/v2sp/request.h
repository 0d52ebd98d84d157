/* panel/v2sp/request.h - what a node sends to a panel of the v2sp dialect: addresses and bodies.
 * Pure, stateless.
 *
 * Source: docs/panel-api.md; the README of nsevo/v2sp v1.3.0 and the requests of its client
 * (api/panel). */
#ifndef PANEL_V2SP_REQUEST_H
#define PANEL_V2SP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"

enum v2sp_action { V2SP_CONFIG, V2SP_USER, V2SP_ALIVELIST, V2SP_PUSH, V2SP_ALIVE };

/* Who asks whom. Texts are borrowed. */
struct v2sp_peer {
    const char *api_host;  /* the full endpoint address, http or https, perhaps with a query */
    const char *token;     /* secret */
    const char *node_type; /* "vless"; NULL or "" while not known. "v2ray" is sent as vmess */
    int64_t node_id;
};

#define V2SP_URL_MAX 4096 /* room for any address with its NUL */

/* The word of the query: "config", "user", "alivelist", "push", "alive". */
const char *v2sp_action_str(enum v2sp_action a);
/* Writes the address of @action, NUL-terminated. It holds the token: never log it. ST_OK;
 * ST_E_CONFIG: api_host is no http(s) address; ST_E_LIMIT: longer than @cap. */
NODISCARD enum status v2sp_request_url(char *dst, size_t cap, const struct v2sp_peer *peer,
                                       enum v2sp_action action);
/* The same address for logs: scheme, host and path, no user name, no query. Cut at @cap. Returns
 * @dst. */
char *v2sp_request_shown(char *dst, size_t cap, const char *url);

/* Bodies are written piece by piece into memory of the caller, who keeps V2SP_BODY_STEP free before
 * every piece. */
#define V2SP_BODY_STEP 128

struct v2sp_body {
    char *text; /* caller's; not NUL-terminated */
    size_t len;
    bool more; /* something stands in the object */
    bool list; /* inside the list of a user */
};

/* {"<uid>":[up,down],...} */
void v2sp_body_open(struct v2sp_body *b, char *text);
void v2sp_body_traffic(struct v2sp_body *b, uint64_t uid, uint64_t up, uint64_t down);
/* {"<uid>":["ip",...],...}: a user, then his addresses; a user without addresses gets an empty
 * list. */
void v2sp_body_user(struct v2sp_body *b, uint64_t uid);
void v2sp_body_ip(struct v2sp_body *b, const struct addr *ip);
void v2sp_body_close(struct v2sp_body *b);

#endif
