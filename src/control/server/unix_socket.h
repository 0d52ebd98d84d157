/* control/server/unix_socket.h - a listening unix socket in a directory of ours: made so that
 * there is never a moment without one, taken away only by its maker. Control thread only. */
#ifndef CONTROL_SERVER_UNIX_SOCKET_H
#define CONTROL_SERVER_UNIX_SOCKET_H

#include <stdint.h>

#include "base/status.h"

#define UNIX_SOCKET_PATH_MAX 1024u

struct unix_socket {
    char path[UNIX_SOCKET_PATH_MAX];
    uint64_t dev, ino; /* of ours; ino 0: not there */
};

/* For <dir>/<name>; nothing is there yet. */
void unix_socket_init(struct unix_socket *u, const char *dir, const char *name);
/* Listens, mode 0600, in place of a socket that nobody serves. *@fd does not block and is the
 * caller's. ST_OK; ST_E_BUSY: another process serves it; ST_E_LIMIT: the path is too long, which
 * takes more than the kernel's 107 bytes; ST_E_IO: cannot be made, or whether it is served
 * cannot be told (no descriptors); *@why with errno in its number. */
NODISCARD enum status unix_socket_listen(struct unix_socket *u, int *fd, struct why *why);
/* Removes the file if it is still the one that was made. */
void unix_socket_remove(struct unix_socket *u);
/* Connects to @path. The descriptor, or -1 with errno. It blocks, as do calls with it: @wait_ms at
 * most each, then they fail with EAGAIN; 0: for ever. */
int unix_socket_connect(const char *path, uint32_t wait_ms);

#endif
