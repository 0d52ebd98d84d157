#include "io/file_watch.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/loop.h"

#define LINKS_MAX 40 /* on one path, as the kernel has it */
#define PATIENCE  5  /* times settle_ms */
#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

/* A name in a directory. */
struct place {
    int wd;
    char *name; /* a pattern */
};

struct places {
    struct place *list;
    size_t count, room;
    bool nomem;
};

struct file_watch {
    struct loop *loop;
    struct watch watch;
    struct timer timer;
    uint32_t settle_ms;
    uint64_t first_ms; /* when the row of changes began */
    char **paths;
    size_t path_count;
    struct places places;
    void (*changed)(void *arg);
    void *arg;
};

/* ---- places ---------------------------------------------------------------------------------- */

static void places_fini(struct places *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->list[i].name);
    free(p->list);
    *p = (struct places){.list = NULL};
}

static bool has_wd(const struct places *p, int wd)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i].wd == wd)
            return true;
    return false;
}

static void add_place(struct places *p, int wd, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->list[i].wd == wd && strcmp(p->list[i].name, name) == 0)
            return;
    if (p->count == p->room) {
        size_t room = p->room == 0 ? 16 : p->room * 2;
        struct place *list = realloc(p->list, room * sizeof(*list));
        if (list == NULL) {
            p->nomem = true;
            return;
        }
        p->list = list;
        p->room = room;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        p->nomem = true;
    else
        p->list[p->count++] = (struct place){.wd = wd, .name = copy};
}

/* Where a path leads, a component at a time. */
struct walk {
    char dir[PATH_MAX];      /* so far; "" or ends with '/' */
    char rest[2 * PATH_MAX]; /* what is left */
    char name[NAME_MAX + 1];
    int links;
};

/* Takes the next component into w->name. False: there is none, or it is too long. */
static bool next_name(struct walk *w)
{
    size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");

    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(w->name, w->rest + skip, len);
    w->name[len] = '\0';
    memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
    return true;
}

static bool enter(struct walk *w)
{
    size_t len = strlen(w->dir);
    int n = snprintf(w->dir + len, sizeof(w->dir) - len, "%s/", w->name);
    return n > 0 && (size_t)n < sizeof(w->dir) - len;
}

static void from_root(struct walk *w)
{
    w->dir[0] = '/';
    w->dir[1] = '\0';
}

/* The link at @path leads elsewhere: what is left begins there. */
static bool turn(struct walk *w, const char *path)
{
    char target[PATH_MAX], rest[sizeof(w->rest)];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n <= 0 || ++w->links > LINKS_MAX)
        return false;
    target[n] = '\0';
    if (target[0] == '/')
        from_root(w);
    int len = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);
    if (len >= (int)sizeof(rest))
        return false;
    memcpy(w->rest, rest, (size_t)len + 1);
    return true;
}

static bool at_end(const struct walk *w)
{
    return w->rest[strspn(w->rest, "/")] == '\0';
}

/* Adds the directories whose changes can change where @path leads, or what is there. */
static void walk(struct file_watch *fw, struct places *into, const char *path, int *err)
{
    struct walk w = {.dir = ""};
    char full[PATH_MAX + NAME_MAX + 1];
    struct stat st;

    if (snprintf(w.rest, sizeof(w.rest), "%s", path) >= PATH_MAX)
        return;
    if (path[0] == '/')
        from_root(&w);
    while (next_name(&w)) {
        snprintf(full, sizeof(full), "%s%s", w.dir, w.name);
        bool there = lstat(full, &st) == 0, link = there && S_ISLNK(st.st_mode);
        if (there && !link && !at_end(&w)) {
            if (!enter(&w))
                return;
            continue;
        }
        int wd = inotify_add_watch(fw->watch.fd, w.dir[0] != '\0' ? w.dir : ".", EVENTS);
        if (wd >= 0)
            add_place(into, wd, w.name);
        else if (*err == 0)
            *err = errno;
        if (!link || !turn(&w, full))
            return;
    }
}

static enum status look_again(struct file_watch *w, int *err)
{
    struct places places = {.list = NULL};

    *err = 0;
    for (size_t i = 0; i < w->path_count; i++)
        walk(w, &places, w->paths[i], err);
    if (places.nomem) {
        places_fini(&places);
        return ST_E_NOMEM;
    }
    for (size_t i = 0; i < w->places.count; i++)
        if (!has_wd(&places, w->places.list[i].wd))
            inotify_rm_watch(w->watch.fd, w->places.list[i].wd);
    places_fini(&w->places);
    w->places = places;
    return *err == 0 ? ST_OK : ST_E_IO;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_settled(struct timer *t)
{
    struct file_watch *w = LIST_ENTRY(t, struct file_watch, timer);
    int err;

    w->first_ms = 0;
    /* Links may lead elsewhere now. What cannot be watched was said when the paths were set. */
    if (look_again(w, &err) == ST_E_NOMEM)
        loop_timer_in(w->loop, t, w->settle_ms);
    w->changed(w->arg);
}

static void note_change(struct file_watch *w)
{
    uint64_t now = loop_now_ms(w->loop);

    if (!timer_armed(&w->timer))
        w->first_ms = now;
    uint64_t at = now + w->settle_ms, latest = w->first_ms + PATIENCE * (uint64_t)w->settle_ms;
    loop_timer_at(w->loop, &w->timer, at < latest ? at : latest);
}

static bool concerns(const struct file_watch *w, const struct inotify_event *e)
{
    if (e->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF))
        return true;
    for (size_t i = 0; e->len > 0 && i < w->places.count; i++) {
        const struct place *p = &w->places.list[i];
        if (p->wd == e->wd && (strcmp(p->name, e->name) == 0 || fnmatch(p->name, e->name, 0) == 0))
            return true;
    }
    return false;
}

static void on_events(struct watch *watch, uint32_t events)
{
    struct file_watch *w = LIST_ENTRY(watch, struct file_watch, watch);
    union {
        struct inotify_event first; /* for its alignment */
        char space[4096];
    } buf;
    ssize_t n;

    (void)events;
    while ((n = read(w->watch.fd, &buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(buf.space + at);
            if (concerns(w, e))
                note_change(w);
            at += (ssize_t)(sizeof(*e) + e->len);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_paths(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}

struct file_watch *file_watch_new(struct loop *l, uint32_t settle_ms, void (*changed)(void *arg),
                                  void *arg)
{
    struct file_watch *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    *w = (struct file_watch){
        .loop = l, .watch = {.fd = -1}, .settle_ms = settle_ms, .changed = changed, .arg = arg};
    timer_init(&w->timer, on_settled);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && loop_watch_add(l, &w->watch, fd, LOOP_IN, on_events) == ST_OK)
        return w;
    int err = errno;
    if (fd >= 0)
        close(fd);
    free(w);
    errno = err;
    return NULL;
}

void file_watch_free(struct file_watch *w)
{
    if (w == NULL)
        return;
    int fd = w->watch.fd;
    loop_timer_del(w->loop, &w->timer);
    loop_watch_del(w->loop, &w->watch);
    close(fd);
    places_fini(&w->places);
    free_paths(w->paths, w->path_count);
    free(w);
}

enum status file_watch_set(struct file_watch *w, const char *const *paths, size_t count, int *err)
{
    char **copy = calloc(count + 1, sizeof(*copy));

    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(paths[i]);
        if (copy[i] == NULL) {
            free_paths(copy, i);
            copy = NULL;
        }
    }
    if (copy == NULL)
        return ST_E_NOMEM;
    free_paths(w->paths, w->path_count);
    w->paths = copy;
    w->path_count = count;
    return look_again(w, err);
}

size_t file_watch_count(const struct file_watch *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->places.count; i++) {
        size_t k = 0;
        while (w->places.list[k].wd != w->places.list[i].wd)
            k++;
        n += k == i;
    }
    return n;
}
