#include "app/notify.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Whoever listens is not waited for, and nothing depends on him. */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;

    if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0'; /* abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0) {
        /* Nobody is there: started by hand with a stale environment. */
    }
    close(fd);
}

void notify_ready(void)
{
    char text[64];

    snprintf(text, sizeof(text), "READY=1\nMAINPID=%ld\n", (long)getpid());
    notify(text);
}

void notify_reloading(void)
{
    struct timespec now;
    char text[64];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    notify(text);
}

void notify_stopping(void)
{
    notify("STOPPING=1\n");
}

bool notify_is_heard(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

bool notify_allows_upgrade(void)
{
    const char *pid = getenv("SYSTEMD_EXEC_PID");

    return notify_is_heard() || pid == NULL || strtol(pid, NULL, 10) != (long)getpid();
}
