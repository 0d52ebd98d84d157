#include "control/node/rule_lists.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "crypto/hash.h"
#include "panel/v2sp/routes.h"

#define LIST_OF(l) LIST_ENTRY(l, struct rule_list, link)

struct rule_lists {
    struct list all;
};

struct rule_lists *rule_lists_new(void)
{
    struct rule_lists *s = calloc(1, sizeof(*s));

    if (s != NULL)
        list_init(&s->all);
    return s;
}

void rule_lists_free(struct rule_lists *s)
{
    if (s == NULL)
        return;
    LIST_FOREACH(l, tmp, &s->all)
        list_del(l);
    free(s);
}

struct rule_list *rule_list_ref(struct rule_list *l)
{
    if (l != NULL)
        l->refs++;
    return l;
}

void rule_list_unref(struct rule_list *l)
{
    if (l == NULL || --l->refs > 0)
        return;
    list_del(&l->link);
    audit_list_fini(l->list);
    arena_free(l->arena);
    free(l);
}

uint32_t rule_list_count(const struct rule_list *l)
{
    return l != NULL && l->list != NULL ? audit_list_used(l->list) : 0;
}

static struct rule_list *list_new(void)
{
    struct rule_list *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    list_init(&l->link);
    l->refs = 1;
    l->arena = arena_new();
    if (l->arena == NULL) {
        rule_list_unref(l);
        return NULL;
    }
    return l;
}

static void on_problem(void *arg, const struct audit_item *item, bool used, const char *problem)
{
    struct rule_list *l = arg;

    if (l->note_count == RULE_LIST_NOTES) {
        l->more++;
        return;
    }
    int len = item->len > 60 ? 60 : (int)item->len;
    snprintf(l->notes[l->note_count++], RULE_LIST_NOTE_MAX, "%s %u, \"%.*s%s\": %s%s",
             l->path != NULL ? "line" : "route", item->id, len, item->text,
             len < (int)item->len ? "..." : "", problem, used ? "" : ": skipped");
}

/* ---- a panel's ---- */

static enum status digest_of(const struct v2sp_routes *r, struct arena *a, uint8_t digest[32])
{
    size_t n = 0, count = 2 * r->count + r->notice_count;
    struct hash_piece *pieces = arena_alloc(a, (count + 1) * sizeof(*pieces));
    struct mark {
        uint64_t len;
        uint32_t id, as;
    } *marks = arena_alloc(a, (r->count + 1) * sizeof(*marks));

    if (pieces == NULL || marks == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < r->count; i++) {
        const struct audit_item *item = &r->items[i];
        marks[i] = (struct mark){.len = item->len, .id = item->id, .as = item->as};
        pieces[n++] = (struct hash_piece){&marks[i], sizeof(marks[i])};
        pieces[n++] = (struct hash_piece){item->text, item->len};
    }
    for (unsigned i = 0; i < r->notice_count; i++)
        pieces[n++] = (struct hash_piece){r->notices[i].text, sizeof(r->notices[i].text)};
    return hash_pieces(NULL, HASH_SHA256, pieces, n, digest);
}

static struct rule_list *find_panel(struct rule_lists *s, const uint8_t digest[32])
{
    LIST_FOREACH(l, tmp, &s->all)
        if (LIST_OF(l)->path == NULL && memcmp(LIST_OF(l)->digest, digest, 32) == 0)
            return LIST_OF(l);
    return NULL;
}

static enum status build_panel(struct rule_lists *s, const struct v2sp_routes *r,
                               const uint8_t digest[32], struct rule_list **out)
{
    struct rule_list *l = list_new();

    if (l == NULL)
        return ST_E_NOMEM;
    memcpy(l->digest, digest, sizeof(l->digest));
    for (unsigned i = 0; i < r->notice_count; i++)
        snprintf(l->notes[l->note_count++], RULE_LIST_NOTE_MAX, "%s", r->notices[i].text);
    l->more = r->more;
    enum status st = audit_list_build(l->arena, r->items, r->count, on_problem, l, &l->list);
    if (st != ST_OK) {
        rule_list_unref(l);
        return st;
    }
    list_add_tail(&s->all, &l->link);
    *out = l;
    return ST_OK;
}

enum status rule_lists_panel(struct rule_lists *s, const struct json_t *routes,
                             struct rule_list **out)
{
    struct arena *scratch = arena_new();
    struct v2sp_routes r;
    uint8_t digest[32];
    enum status st = ST_E_NOMEM;

    *out = NULL;
    if (scratch == NULL || (st = v2sp_routes_read(routes, scratch, &r)) != ST_OK ||
        r.count + r.notice_count == 0 || (st = digest_of(&r, scratch, digest)) != ST_OK)
        goto out;
    *out = rule_list_ref(find_panel(s, digest));
    if (*out == NULL)
        st = build_panel(s, &r, digest, out);
out:
    arena_free(scratch);
    return st;
}

/* ---- a file's ---- */

static struct rule_stamp stamp_of(const struct stat *st)
{
    return (struct rule_stamp){
        .device = st->st_dev, .inode = st->st_ino, .size = st->st_size, .changed = st->st_mtim};
}

static bool same_stamp(const struct rule_stamp *a, const struct rule_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

bool rule_list_is_stale(const struct rule_list *l)
{
    struct stat st;

    if (stat(l->path, &st) != 0)
        return false;
    const struct rule_stamp now = stamp_of(&st);
    return !same_stamp(&now, &l->stamp);
}

static struct rule_list *find_file(struct rule_lists *s, const char *path,
                                   const struct rule_stamp *stamp)
{
    LIST_FOREACH(l, tmp, &s->all)
        if (LIST_OF(l)->path != NULL && strcmp(LIST_OF(l)->path, path) == 0 &&
            same_stamp(&LIST_OF(l)->stamp, stamp))
            return LIST_OF(l);
    return NULL;
}

/* All of a plain file: no device or pipe may hold up the control thread. malloc'ed; NULL with
 * errno. */
static char *read_all(int fd, const struct stat *st, size_t *len)
{
    if (!S_ISREG(st->st_mode) || st->st_size > (off_t)RULE_LIST_FILE_MAX) {
        errno = S_ISREG(st->st_mode) ? EFBIG : EINVAL;
        return NULL;
    }
    size_t room = (size_t)st->st_size;
    char *text = malloc(room + 1);
    *len = 0;
    while (text != NULL && *len < room) {
        ssize_t n = read(fd, text + *len, room - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(text);
            return NULL;
        }
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    return text;
}

/* A place in a file's text. */
struct lines {
    const char *p, *end;
    uint32_t number;
};

static struct lines lines_of(const char *text, size_t len)
{
    size_t bom = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

    return (struct lines){.p = text + bom, .end = text + len};
}

/* The next line that is not blank and no comment. False: there is none. */
static bool next_item(struct lines *l, struct audit_item *out)
{
    while (l->p < l->end) {
        const char *line = l->p, *end = memchr(line, '\n', (size_t)(l->end - line));
        if (end == NULL)
            end = l->end;
        l->p = end + (end < l->end);
        l->number++;
        while (line < end && (*line == ' ' || *line == '\t' || *line == '\r'))
            line++;
        if (line == end || *line == '#')
            continue;
        *out = (struct audit_item){.text = line, .len = (size_t)(end - line), .id = l->number};
        return true;
    }
    return false;
}

/* One item a line. Memory is for rules, however many lines there are. */
static enum status read_lines(struct rule_list *l, const char *text, size_t len)
{
    struct lines at = lines_of(text, len);
    struct audit_item *items, item;
    size_t count = 0;

    while (next_item(&at, &item))
        count++;
    if (count > AUDIT_LIST_MAX) {
        snprintf(l->notes[l->note_count++], RULE_LIST_NOTE_MAX,
                 "it has more than %u rules: those behind are skipped", AUDIT_LIST_MAX);
        l->more = count - AUDIT_LIST_MAX;
        count = AUDIT_LIST_MAX;
    }
    if ((items = calloc(count + 1, sizeof(*items))) == NULL)
        return ST_E_NOMEM;
    at = lines_of(text, len);
    for (size_t i = 0; i < count; i++)
        (void)next_item(&at, &items[i]);
    enum status st = audit_list_build(l->arena, items, count, on_problem, l, &l->list);
    free(items);
    return st;
}

enum status rule_lists_file(struct rule_lists *s, const char *path, struct rule_list **out,
                            int *error)
{
    struct rule_list *l = NULL;
    char *text = NULL;
    struct stat info;
    size_t len;
    enum status st = ST_E_IO;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    *out = NULL;
    if (fd < 0 || fstat(fd, &info) != 0)
        goto out;
    const struct rule_stamp stamp = stamp_of(&info);
    *out = rule_list_ref(find_file(s, path, &stamp));
    if (*out != NULL) {
        st = ST_OK;
        goto out;
    }
    if ((text = read_all(fd, &info, &len)) == NULL)
        goto out;
    st = ST_E_NOMEM;
    if ((l = list_new()) == NULL || (l->path = arena_strdup(l->arena, path)) == NULL)
        goto out;
    l->stamp = stamp;
    if ((st = read_lines(l, text, len)) != ST_OK)
        goto out;
    list_add_tail(&s->all, &l->link);
    *out = l;
    l = NULL;
out:
    *error = errno;
    if (fd >= 0)
        close(fd);
    free(text);
    rule_list_unref(l);
    return st;
}
