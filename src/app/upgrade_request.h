/* app/upgrade_request.h - POST /upgrade on the socket for commands: {"binary": "/path", "timeout":
 * seconds} (without them the file this program was started from, and 30) begins an upgrade and
 * answers when its outcome is known: 200 {"text": ...}, 409 {"error": ...}.
 *
 * GET /upgrade: {"directory": ..., "config": ..., "binary": ...}, what a new process would start
 * with, for a check before: the names of the two files may be relative to the directory. */
#ifndef APP_UPGRADE_REQUEST_H
#define APP_UPGRADE_REQUEST_H

struct admin;
struct upgrade;

#define UPGRADE_REQUEST_PATH      "/upgrade"
#define UPGRADE_REQUEST_TIMEOUT_S 3600   /* the longest "timeout" */
#define UPGRADE_REQUEST_MORE_MS   15000u /* the answer may take so much longer */

/* Serves both for the life of @a. */
void upgrade_request_add(struct admin *a, struct upgrade *u);

#endif
