#include "app/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_BYTES (128u * 1024) /* more than the kernel's own limit for one argument */
#define ARGS_MAX   1024u
#define CHILD_FD   3 /* behind standard input, output and error */

static bool can_run(const char *path)
{
    return access(path, X_OK) == 0;
}

static bool find_in_path(const char *name, char *dst)
{
    const char *p = getenv("PATH");

    while (p != NULL && *p != '\0') {
        const char *end = strchrnul(p, ':');
        if (end > p && *p == '/' &&
            snprintf(dst, SPAWN_PATH_MAX, "%.*s/%s", (int)(end - p), p, name) < SPAWN_PATH_MAX &&
            can_run(dst))
            return true;
        p = *end == ':' ? end + 1 : end;
    }
    return false;
}

enum status spawn_own_path(const char *argv0, char *dst)
{
    static const char deleted[] = " (deleted)"; /* what the kernel says of a replaced file */

    if (argv0 != NULL && strchr(argv0, '/') != NULL && can_run(argv0) &&
        snprintf(dst, SPAWN_PATH_MAX, "%s", argv0) < SPAWN_PATH_MAX)
        return ST_OK;
    if (argv0 != NULL && *argv0 != '\0' && strchr(argv0, '/') == NULL && find_in_path(argv0, dst))
        return ST_OK;
    ssize_t n = readlink("/proc/self/exe", dst, SPAWN_PATH_MAX - 1);
    if (n <= 0)
        return ST_E_NOTFOUND;
    dst[n] = '\0';
    size_t tail = strlen(deleted);
    if ((size_t)n > tail && strcmp(dst + n - tail, deleted) == 0)
        dst[(size_t)n - tail] = '\0';
    return can_run(dst) ? ST_OK : ST_E_NOTFOUND;
}

/* The arguments of this process, split in place into @argv. 0: they cannot be had. */
static size_t own_arguments(char *text, char **argv)
{
    size_t used = 0, count = 0;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    for (ssize_t n = 1; n > 0 && used<ARGS_BYTES - 1; used += n> 0 ? (size_t)n : 0)
        n = read(fd, text + used, ARGS_BYTES - 1 - used);
    close(fd);
    text[used] = '\0';
    for (size_t at = 0; at < used && count < ARGS_MAX - 1; at += strlen(text + at) + 1)
        argv[count++] = text + at;
    argv[count] = NULL;
    return used < ARGS_BYTES - 1 ? count : 0;
}

/* The environment with one more; the array is the caller's. */
static char **environment_with(char *more, size_t name_len)
{
    size_t count = 0, kept = 0;

    while (environ[count] != NULL)
        count++;
    char **list = calloc(count + 2, sizeof(*list));
    for (size_t i = 0; list != NULL && i < count; i++)
        if (strncmp(environ[i], more, name_len + 1) != 0)
            list[kept++] = environ[i];
    if (list != NULL)
        list[kept] = more;
    return list;
}

static int start(const char *path, char **argv, char **envp, int fd, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_init(&files);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc != 0) {
        posix_spawn_file_actions_destroy(&files);
        return rc;
    }
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawn_file_actions_adddup2(&files, fd, CHILD_FD);
    /* libcurl's sockets are not close-on-exec. */
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&files, CHILD_FD + 1);
    if (rc == 0)
        rc = posix_spawn(pid, path, &files, &attr, argv, envp);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

enum status spawn_again(const char *path, const char *name, int fd, pid_t *pid, int *err)
{
    char *text = malloc(ARGS_BYTES), **argv = calloc(ARGS_MAX, sizeof(*argv)), **envp = NULL;
    char variable[64];
    int rc = ENOMEM;

    snprintf(variable, sizeof(variable), "%s=%d", name, CHILD_FD);
    if (text != NULL && argv != NULL)
        envp = environment_with(variable, strlen(name));
    if (envp != NULL)
        rc = own_arguments(text, argv) > 0 ? start(path, argv, envp, fd, pid) : ENOENT;
    free(envp);
    free(argv);
    free(text);
    *err = rc;
    return rc == 0 ? ST_OK : ST_E_IO;
}
