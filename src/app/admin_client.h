/* app/admin_client.h - asks the running program through its socket (control/admin/admin.h).
 * Blocking, for commands. */
#ifndef APP_ADMIN_CLIENT_H
#define APP_ADMIN_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct cmd;
struct json_t;

#define ADMIN_CLIENT_PATH_MAX 1024u
#define ADMIN_CLIENT_WAIT_MS  15000u
#define ADMIN_TEXT_MAX        600u

struct admin_reply {
    unsigned status;         /* of HTTP */
    struct json_t *own_json; /* the body; NULL: it is no JSON. For json_unref */
    char *own_text;          /* the body, NUL-terminated; for free */
    size_t len;
    uint32_t uid;                 /* of who serves the socket; UINT32_MAX: not known */
    char problem[ADMIN_TEXT_MAX]; /* one line; "" after 200 */
};

/* The socket of the service that runs @config (NULL: the default file), or @socket if it is not
 * NULL. Returns @dst. */
char *admin_socket_path(char dst[ADMIN_CLIENT_PATH_MAX], const char *config, const char *socket);
/* Sends one request, @body NULL or JSON, and waits @wait_ms at most for each piece of the answer.
 * ST_OK: it was answered, whatever with; ST_E_NOTFOUND: nobody serves the socket; ST_E_IO,
 * ST_E_PROTO, ST_E_NOMEM: it ended in the middle. out->problem says what is wrong. @out is to be
 * given to admin_reply_fini in any case. */
NODISCARD enum status admin_call(const char *path, const char *method, const char *target,
                                 const char *body, uint32_t wait_ms, struct admin_reply *out);
/* Frees what @r owns. Harmless twice. */
void admin_reply_fini(struct admin_reply *r);

#endif
