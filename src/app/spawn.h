/* app/spawn.h - starting a program as the successor of this one: which file, and with what. */
#ifndef APP_SPAWN_H
#define APP_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

#define SPAWN_PATH_MAX 4096

/* The file this program was started from, as a new start would find it: @argv0 where it names a
 * file, looked up in PATH where it does not, else what /proc/self/exe says, also of one that was
 * replaced since. @dst takes SPAWN_PATH_MAX bytes. ST_OK or ST_E_NOTFOUND. */
NODISCARD enum status spawn_own_path(const char *argv0, char *dst);

/* Starts @path with the arguments of this process, its environment and @fd as the environment
 * variable @name says; but for 0 to 2 no other descriptor is open there, no signal blocked or
 * ignored. ST_OK with *@pid; ST_E_IO with *@err the errno (also of the exec itself). */
NODISCARD enum status spawn_again(const char *path, const char *name, int fd, pid_t *pid, int *err);

#endif
