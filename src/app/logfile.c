#include "app/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum target { TARGET_FILE, TARGET_PIPE, TARGET_SOCKET };

struct logfile {
    struct log_sink sink;
    int fd;                /* never closed before the end: files change beneath it */
    _Atomic int target;    /* enum target of fd */
    _Atomic uint64_t size; /* of the file, as far as we know */
    _Atomic uint64_t max_size;
    _Atomic bool failing; /* standard error has been told */
    _Atomic bool torn;    /* the file ends in the middle of a line */
    _Atomic uint64_t lost;
    pthread_mutex_t files; /* held by who opens, renames or removes */
    char *path;            /* "" = standard error */
    uint32_t max_backups, max_age_days;
};

static struct logfile *of_sink(struct log_sink *s)
{
    return (struct logfile *)(void *)((char *)s - offsetof(struct logfile, sink));
}

static enum target target_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode))
        return TARGET_FILE;
    return S_ISSOCK(st.st_mode) ? TARGET_SOCKET : TARGET_PIPE;
}

/* Writes at most @len bytes without waiting for a reader. A pipe that polls writable takes PIPE_BUF
 * bytes, more than a line has. */
static ssize_t write_now(int fd, enum target target, const char *p, size_t len)
{
    ssize_t n;
    if (target == TARGET_SOCKET)
        return send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    if (target == TARGET_PIPE && (poll(&pfd, 1, 0) != 1 || (pfd.revents & POLLOUT) == 0)) {
        errno = EAGAIN;
        return -1;
    }
    do
        n = write(fd, p, len);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool to_stderr(const char *p, size_t len)
{
    return write_now(STDERR_FILENO, target_of(STDERR_FILENO), p, len) == (ssize_t)len;
}

static void complain(struct logfile *f, const char *what, int number)
{
    char text[160];
    if (atomic_exchange(&f->failing, true))
        return;
    int n =
        snprintf(text, sizeof(text),
                 "v2sp: the log file cannot be %s (%s); lines go to standard error until it can\n",
                 what, strerror(number));
    (void)to_stderr(text, n > 0 && n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* ---- rotation ---- */

/* Puts the file at f->path under f->fd. */
static enum status open_path(struct logfile *f, const char *path, struct why *why)
{
    int fd = *path != '\0' ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640)
                           : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 && errno == ENOENT && strchr(path, '/') != NULL) {
        char *dir = strdup(path);
        if (dir == NULL)
            return why_set(why, ST_E_NOMEM, "out of memory", 0);
        *strrchr(dir, '/') = '\0';
        (void)mkdir(dir, 0750);
        free(dir);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    }
    if (fd < 0)
        return why_set(why, ST_E_IO, "the log file cannot be opened", errno);
    struct stat st;
    uint64_t size = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    atomic_store(&f->target, (int)target_of(fd));
    if (dup3(fd, f->fd, O_CLOEXEC) < 0) {
        int number = errno;
        close(fd);
        atomic_store(&f->target, (int)target_of(f->fd));
        return why_set(why, ST_E_IO, "the log file cannot be opened", number);
    }
    close(fd);
    atomic_store(&f->size, size);
    atomic_store(&f->torn, false);
    atomic_store(&f->failing, false);
    return ST_OK;
}

/* Rotated files have the name of the file and a time behind it: sorted by name they are sorted by
 * age. */
static bool is_rotated(const char *name, const char *base)
{
    size_t n = strlen(base);
    return strncmp(name, base, n) == 0 && name[n] == '.' &&
           strspn(name + n + 1, "0123456789TZ-") == strlen(name + n + 1) &&
           strlen(name + n + 1) >= 16;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void remove_old(const struct logfile *f, int dir, char **names, size_t count)
{
    time_t limit = f->max_age_days != 0 ? time(NULL) - (time_t)f->max_age_days * 86400 : 0;
    qsort(names, count, sizeof(names[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        bool surplus = f->max_backups != 0 && count - i > f->max_backups;
        bool old = limit != 0 && fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                   st.st_mtime < limit;
        if (surplus || old)
            (void)unlinkat(dir, names[i], 0);
        free(names[i]);
    }
}

static void clean_up(const struct logfile *f)
{
    if (f->max_backups == 0 && f->max_age_days == 0)
        return;
    const char *slash = strrchr(f->path, '/');
    char *dir = slash == NULL ? strdup(".") : strndup(f->path, (size_t)(slash - f->path) + 1);
    DIR *d = dir != NULL ? opendir(dir) : NULL;
    free(dir);
    if (d == NULL)
        return;
    char **names = NULL;
    size_t count = 0, cap = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (!is_rotated(e->d_name, slash != NULL ? slash + 1 : f->path))
            continue;
        if (count == cap) {
            cap = cap != 0 ? cap * 2 : 16;
            char **grown = reallocarray(names, cap, sizeof(names[0]));
            if (grown == NULL)
                break;
            names = grown;
        }
        names[count] = strdup(e->d_name);
        if (names[count] != NULL)
            count++;
    }
    remove_old(f, dirfd(d), names, count);
    free(names);
    closedir(d);
}

/* FILE.20261121T115407Z, or with -1, -2, ... before a name that is taken. */
static bool rename_aside(const char *path)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm) == NULL || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm) == 0) {
        errno = EOVERFLOW;
        return false;
    }
    for (unsigned i = 0; i < 1000; i++) {
        char *to;
        int n = i == 0 ? asprintf(&to, "%s.%s", path, stamp)
                       : asprintf(&to, "%s.%s-%03u", path, stamp, i);
        if (n < 0)
            return false;
        int rc = renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE);
        if (rc != 0 && errno == EINVAL && access(to, F_OK) != 0)
            rc = rename(path, to); /* file systems without RENAME_NOREPLACE */
        free(to);
        if (rc == 0)
            return true;
        if (errno != EEXIST)
            return false;
    }
    return false;
}

/* One thread rotates, the others write on; what they write meanwhile lands in the old file or the
 * new one. */
static void rotate(struct logfile *f)
{
    struct why why = {0};
    struct stat st;
    if (pthread_mutex_trylock(&f->files) != 0)
        return;
    uint64_t max = atomic_load(&f->max_size);
    if (fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < max) {
        atomic_store(&f->size,
                     (uint64_t)st.st_size); /* another thread was first, or it was truncated */
    } else if (max == 0 || f->path[0] == '\0') {
        atomic_store(&f->size, 0);
    } else if (!rename_aside(f->path) && errno != ENOENT) {
        complain(f, "rotated", errno);
        atomic_store(&f->size, 0); /* try again after as much again */
    } else if (open_path(f, f->path, &why) != ST_OK) {
        complain(f, "opened", (int)why.number);
        atomic_store(&f->size, 0);
    } else {
        clean_up(f);
    }
    pthread_mutex_unlock(&f->files);
}

/* ---- writing ---- */

static void write_line(struct log_sink *sink, const char *line, size_t len)
{
    struct logfile *f = of_sink(sink);
    enum target target = (enum target)atomic_load_explicit(&f->target, memory_order_relaxed);
    if (target == TARGET_FILE && atomic_load_explicit(&f->torn, memory_order_relaxed) &&
        write_now(f->fd, target, "\n", 1) == 1)
        atomic_store(&f->torn, false);
    ssize_t n = write_now(f->fd, target, line, len);
    if (n == (ssize_t)len) {
        if (target != TARGET_FILE)
            return;
        if (atomic_load_explicit(&f->failing, memory_order_relaxed))
            atomic_store(&f->failing, false);
        uint64_t size = atomic_fetch_add_explicit(&f->size, len, memory_order_relaxed) + len;
        uint64_t max = atomic_load_explicit(&f->max_size, memory_order_relaxed);
        if (max != 0 && size > max)
            rotate(f);
        return;
    }
    if (target == TARGET_FILE) {
        atomic_store(&f->torn, n > 0 || atomic_load(&f->torn));
        complain(f, "written", n < 0 ? errno : ENOSPC);
        if (to_stderr(line, len))
            return;
    }
    atomic_fetch_add_explicit(&f->lost, 1, memory_order_relaxed);
}

/* ---- life ---- */

struct logfile *logfile_new(void)
{
    struct logfile *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->sink.write = write_line;
    f->path = strdup("");
    f->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (f->fd < 0) /* started without a standard error */
        f->fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (f->path == NULL || f->fd < 0 || pthread_mutex_init(&f->files, NULL) != 0) {
        if (f->fd >= 0)
            close(f->fd);
        free(f->path);
        free(f);
        return NULL;
    }
    atomic_store(&f->target, (int)target_of(f->fd));
    return f;
}

void logfile_free(struct logfile *f)
{
    if (f == NULL)
        return;
    pthread_mutex_destroy(&f->files);
    close(f->fd);
    free(f->path);
    free(f);
}

enum status logfile_configure(struct logfile *f, const struct logfile_conf *conf, struct why *why)
{
    char *path = strdup(conf->path);
    if (path == NULL)
        return why_set(why, ST_E_NOMEM, "out of memory", 0);
    pthread_mutex_lock(&f->files);
    enum status st = ST_OK;
    if (strcmp(path, f->path) != 0)
        st = open_path(f, path, why);
    if (st == ST_OK) {
        char *old = f->path;
        f->path = path;
        path = old;
        f->max_backups = conf->max_backups;
        f->max_age_days = conf->max_age_days;
        atomic_store(&f->max_size, conf->path[0] != '\0' ? (uint64_t)conf->max_size_mb << 20 : 0);
    }
    pthread_mutex_unlock(&f->files);
    free(path);
    return st;
}

enum status logfile_reopen(struct logfile *f, struct why *why)
{
    pthread_mutex_lock(&f->files);
    enum status st = f->path[0] != '\0' ? open_path(f, f->path, why) : ST_OK;
    pthread_mutex_unlock(&f->files);
    return st;
}

struct log_sink *logfile_sink(struct logfile *f)
{
    return &f->sink;
}

uint64_t logfile_lost(const struct logfile *f)
{
    return atomic_load_explicit(&f->lost, memory_order_relaxed);
}
