/* app/pid_file.h - a file with the number of the process that serves, for who has no systemd: an
 * upgrade changes it. */
#ifndef APP_PID_FILE_H
#define APP_PID_FILE_H

#include "base/status.h"

/* Replaces @path, whole, with this process's number. ST_OK; ST_E_IO with errno set. */
NODISCARD enum status pid_file_write(const char *path);
/* Removes it if it still names this process. */
void pid_file_remove(const char *path);

#endif
