/* app/upgrade_request.h - POST /upgrade on the socket for commands: {"binary": "/path"} (without it
 * the file this program was started from) begins an upgrade and answers when its outcome is known:
 * 200 {"text": ...}, 409 {"error": ...}. */
#ifndef APP_UPGRADE_REQUEST_H
#define APP_UPGRADE_REQUEST_H

struct admin;
struct upgrade;

#define UPGRADE_REQUEST_PATH    "/upgrade"
#define UPGRADE_REQUEST_WAIT_MS 45000u /* longer than an upgrade waits for the new process */

/* Serves it for the life of @a. */
void upgrade_request_add(struct admin *a, struct upgrade *u);

#endif
