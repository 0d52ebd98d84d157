#include "control/server/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

/* The kernel takes 107 bytes of path. A longer one is reached through an open directory, which is
 * *@dir then (else -1) and is to be closed after use. */
static bool fill(struct sockaddr_un *sa, const char *path, int *dir)
{
    const char *name = strrchr(path, '/');
    char parent[UNIX_SOCKET_PATH_MAX];

    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    *dir = -1;
    if (strlen(path) < sizeof(sa->sun_path)) {
        memcpy(sa->sun_path, path, strlen(path));
        return true;
    }
    errno = ENAMETOOLONG;
    if (name == NULL || (size_t)(name - path) >= sizeof(parent))
        return false;
    memcpy(parent, path, (size_t)(name - path));
    parent[name - path] = '\0';
    *dir = open(parent[0] != '\0' ? parent : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0)
        return false;
    int n = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d%s", *dir, name);
    if (n > 0 && (size_t)n < sizeof(sa->sun_path))
        return true;
    close(*dir);
    *dir = -1;
    errno = ENAMETOOLONG;
    return false;
}

static void close_kept(int fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
}

static int connect_to(const char *path, int flags, uint32_t wait_ms)
{
    const struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = (wait_ms % 1000) * 1000};
    struct sockaddr_un sa;
    int dir, fd;

    if (!fill(&sa, path, &dir))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd >= 0 && wait_ms > 0) {
        /* The latter is for connect as well: it waits where the queue is full. */
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    }
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
        close_kept(fd);
        fd = -1;
    }
    close_kept(dir);
    return fd;
}

int unix_socket_connect(const char *path, uint32_t wait_ms)
{
    return connect_to(path, 0, wait_ms);
}

/* ST_OK: nobody serves @path; ST_E_BUSY: somebody does; ST_E_IO: that cannot be said, for want of
 * descriptors or memory, and it must not be replaced. */
static enum status probe(const char *path)
{
    int fd = connect_to(path, SOCK_NONBLOCK, 0);

    if (fd >= 0) {
        close(fd);
        return ST_E_BUSY;
    }
    switch (errno) {
    case EAGAIN: /* its queue is full */
    case EINPROGRESS:
        return ST_E_BUSY;
    case ECONNREFUSED:
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG: /* as binding it will say */
        return ST_OK;
    default:
        return ST_E_IO;
    }
}

void unix_socket_init(struct unix_socket *u, const char *dir, const char *name)
{
    *u = (struct unix_socket){.ino = 0};
    snprintf(u->path, sizeof(u->path), "%s/%s", dir, name);
}

/* Bound under another name first: who comes meanwhile finds the old one or the new one. */
static int make(struct unix_socket *u, const char *as, const struct sockaddr_un *sa,
                const char **text)
{
    struct stat info;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *text = "cannot make a socket";
    if (fd < 0)
        return -1;
    unlink(as);
    *text = "cannot bind the socket";
    /* Linux takes the mode of the file from the socket's: it is never open to others. */
    if (fchmod(fd, 0600) == 0 && bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0) {
        *text = "cannot listen on the socket";
        if (chmod(as, 0600) == 0 && listen(fd, BACKLOG) == 0 && stat(as, &info) == 0 &&
            rename(as, u->path) == 0) {
            u->dev = (uint64_t)info.st_dev;
            u->ino = (uint64_t)info.st_ino;
            return fd;
        }
    }
    close_kept(fd);
    int saved = errno;
    unlink(as);
    errno = saved;
    return -1;
}

enum status unix_socket_listen(struct unix_socket *u, int *fd, struct why *why)
{
    char as[UNIX_SOCKET_PATH_MAX + 16];
    struct sockaddr_un sa;
    const char *text;
    int dir;

    snprintf(as, sizeof(as), "%s.%ld", u->path, (long)getpid());
    enum status st = probe(u->path);
    if (st == ST_E_BUSY)
        return why_set(why, st, "another process serves it", EADDRINUSE);
    if (st != ST_OK)
        return why_set(why, st, "cannot find out whether another process serves it", errno);
    if (!fill(&sa, as, &dir))
        return why_set(why, errno == ENAMETOOLONG ? ST_E_LIMIT : ST_E_IO,
                       "cannot make a socket there", errno);
    *fd = make(u, as, &sa, &text);
    close_kept(dir);
    return *fd >= 0 ? ST_OK : why_set(why, ST_E_IO, text, errno);
}

void unix_socket_remove(struct unix_socket *u)
{
    struct stat info;

    if (u->ino != 0 && lstat(u->path, &info) == 0 && (uint64_t)info.st_dev == u->dev &&
        (uint64_t)info.st_ino == u->ino)
        unlink(u->path);
    u->ino = 0;
}
