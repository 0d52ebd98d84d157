#include "app/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status pid_file_write(const char *path)
{
    char temp[PATH_MAX], text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (snprintf(temp, sizeof(temp), "%s.%ld", path, (long)getpid()) >= (int)sizeof(temp)) {
        errno = ENAMETOOLONG;
        return ST_E_IO;
    }
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return ST_E_IO;
    bool good = write(fd, text, (size_t)len) == len;
    good = close(fd) == 0 && good;
    if (good && rename(temp, path) == 0)
        return ST_OK;
    int err = errno;
    unlink(temp);
    errno = err;
    return ST_E_IO;
}

void pid_file_remove(const char *path)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (strtol(text, NULL, 10) == (long)getpid())
        unlink(path);
}
