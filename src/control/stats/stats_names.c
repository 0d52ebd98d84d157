#include "control/stats/stats_names.h"

#include <stdlib.h>
#include <string.h>

#include "control/config/config_stats.h"
#include "control/node/users.h"

/* ---- sets ------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status stats_set_init(struct stats_set *s, const struct config_stats_names *names)
{
    *s = (struct stats_set){0};
    if (names->count == 0)
        return ST_OK;
    s->names = calloc(names->count, sizeof(*s->names));
    if (s->names == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < names->count; i++) {
        s->names[i] = strdup(names->list[i]);
        if (s->names[i] == NULL) {
            stats_set_fini(s);
            return ST_E_NOMEM;
        }
        s->count++;
        s->all = s->all || strcmp(names->list[i], "*") == 0;
    }
    qsort(s->names, s->count, sizeof(*s->names), compare);
    size_t kept = 1;
    for (size_t i = 1; i < s->count; i++) {
        if (strcmp(s->names[i], s->names[kept - 1]) == 0)
            free(s->names[i]);
        else
            s->names[kept++] = s->names[i];
    }
    s->count = kept;
    return ST_OK;
}

void stats_set_fini(struct stats_set *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->names[i]);
    free(s->names);
    *s = (struct stats_set){0};
}

struct wanted {
    const char *text;
    size_t len;
};

static int compare_wanted(const void *key, const void *item)
{
    const struct wanted *w = key;
    const char *name = *(char *const *)item;
    int c = strncmp(w->text, name, w->len);

    return c != 0 ? c : name[w->len] != '\0' ? -1 : 0;
}

bool stats_set_lists(const struct stats_set *s, const char *name, size_t len)
{
    const struct wanted w = {name, len};

    return s->count > 0 &&
           bsearch(&w, s->names, s->count, sizeof(*s->names), compare_wanted) != NULL;
}

bool stats_set_has(const struct stats_set *s, const char *name, size_t len)
{
    return s->all || stats_set_lists(s, name, len);
}

/* ---- users by credential --------------------------------------------------------------------- */

/* FNV-1a: credentials are the panel's, nobody can choose them to collide. */
static size_t hash(const char *p, size_t len)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ h >> 29);
}

static bool build(struct stats_index *x, const struct user_table *t)
{
    size_t size = 16;

    while (size < t->count * 2)
        size *= 2;
    stats_index_fini(x);
    x->cells = calloc(size, sizeof(*x->cells));
    if (x->cells == NULL)
        return false;
    x->size = size;
    x->version = t->version;
    for (size_t i = 0; i < t->count; i++) {
        char text[USER_SECRET_MAX + 1];
        const char *secret = user_secret(t->by_id[i], text);
        size_t at = hash(secret, strlen(secret)) & (size - 1);
        while (x->cells[at] != 0)
            at = (at + 1) & (size - 1);
        x->cells[at] = (uint32_t)i + 1;
    }
    return true;
}

const struct user_rt *stats_index_find(struct stats_index *x, const struct user_table *t,
                                       const char *credential, size_t len)
{
    if (t->count == 0 || ((x->cells == NULL || x->version != t->version) && !build(x, t)))
        return NULL;
    for (size_t at = hash(credential, len) & (x->size - 1); x->cells[at] != 0;
         at = (at + 1) & (x->size - 1)) {
        char text[USER_SECRET_MAX + 1];
        const struct user_rt *u = t->by_id[x->cells[at] - 1];
        const char *secret = user_secret(u, text);
        if (strlen(secret) == len && memcmp(secret, credential, len) == 0)
            return u;
    }
    return NULL;
}

void stats_index_fini(struct stats_index *x)
{
    free(x->cells);
    *x = (struct stats_index){0};
}
