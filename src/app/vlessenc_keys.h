/* app/vlessenc_keys.h - the two strings of VLESS encryption, made from a new key pair, in the
 * grammar of Xray-core 25.12.1 (docs/panel-api.md, "config"). */
#ifndef APP_VLESSENC_KEYS_H
#define APP_VLESSENC_KEYS_H

#include <stdbool.h>

#include "base/status.h"

/* What proves the server's identity. Payload keys come from both either way. */
enum vlessenc_auth { VLESSENC_AUTH_X25519, VLESSENC_AUTH_MLKEM768 };

#define VLESSENC_TICKET "600s" /* the usual lifetime of tickets */

struct vlessenc_keys {
    char decryption[160];  /* the node's; secret */
    char encryption[1664]; /* the clients' */
};

/* native, xorpub or random? */
bool vlessenc_mode_ok(const char *text);
/* Seconds as "600s", "600", "300-600s"; "0s": no tickets. At most five digits. */
bool vlessenc_ticket_ok(const char *text);
/* Both texts must be good. ST_OK; ST_E_CRYPTO without random bytes. */
NODISCARD enum status vlessenc_keys_new(const char *mode, const char *ticket,
                                        enum vlessenc_auth auth, struct vlessenc_keys *out);

#endif
