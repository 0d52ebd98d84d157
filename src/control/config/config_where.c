#include "codec/json_lax.h"
#include "codec/json_pull.h"
#include "control/config/config_read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The search for one path in the text. A member of a container at depth d (the root is 1) can be
 * step d - 1 of the path. */
struct search {
    const struct config_path *steps[CONFIG_PATH_MAX]; /* outermost first */
    size_t count;
    bool on_path[JSON_PULL_DEPTH +
                 1]; /* the steps before lead to the container open at this depth */
    bool in_array[JSON_PULL_DEPTH + 1];
    size_t index[JSON_PULL_DEPTH + 1]; /* of the next element */
    bool next;                         /* the value that follows is the next step */
    uint64_t best; /* offset of the last step met; after a duplicate of an outer one, of that */
};

static void meet(struct search *s, size_t depth, const char *key, size_t index, uint64_t offset)
{
    s->next = false;
    if (!s->on_path[depth] || depth > s->count)
        return;
    const struct config_path *step = s->steps[depth - 1];
    if (key != NULL ? step->key != NULL && strcasecmp(step->key, key) == 0
                    : step->key == NULL && step->index == index) {
        s->next = true;
        s->best = offset;
    }
}

/* A value starts directly inside the container at @depth, 0 = it is the root. A member was met at
 * its key already. */
static void start_value(struct search *s, size_t depth, uint64_t offset)
{
    if (depth == 0) {
        s->next = true;
        s->best = offset;
    } else if (s->in_array[depth]) {
        meet(s, depth, NULL, s->index[depth]++, offset);
    }
}

static void take_event(struct search *s, const struct json_pull *p)
{
    switch (p->event) {
    case JSON_EVENT_OBJECT:
    case JSON_EVENT_ARRAY:
        start_value(s, p->depth - 1, p->offset);
        s->on_path[p->depth] = s->next;
        s->in_array[p->depth] = p->event == JSON_EVENT_ARRAY;
        s->index[p->depth] = 0;
        break;
    case JSON_EVENT_OBJECT_END:
    case JSON_EVENT_ARRAY_END:
        break;
    case JSON_EVENT_KEY:
        meet(s, p->depth, p->text, 0, p->offset);
        break;
    default:
        start_value(s, p->depth, p->offset);
        break;
    }
}

void config_where(const char *text, size_t len, const struct config_path *path, int *line,
                  int *column)
{
    struct search s = {.count = 0};
    struct json_lax lax;
    struct json_pull pull;
    char chunk[1024];
    enum status st;

    for (const struct config_path *p = path; p != NULL; p = p->up)
        s.count++;
    if (s.count > CONFIG_PATH_MAX)
        s.count = 0;
    size_t i = s.count;
    for (const struct config_path *p = path; i > 0; p = p->up)
        s.steps[--i] = p;

    json_lax_init(&lax, text, len);
    json_pull_init(&pull);
    while ((st = json_pull_next(&pull)) == ST_OK || st == ST_MORE) {
        if (st == ST_OK) {
            take_event(&s, &pull);
            continue;
        }
        size_t n = json_lax_read(&lax, chunk, sizeof(chunk));
        json_pull_feed(&pull, chunk, n);
        if (n == 0)
            json_pull_end(&pull);
    }
    json_lax_position(text, len, (size_t)s.best, line, column);
}

static size_t append_step(const struct config_path *p, char *dst, size_t cap, size_t used)
{
    int n;
    if (p->key == NULL)
        n = snprintf(dst + used, cap - used, "[%zu]", p->index);
    else
        n = snprintf(dst + used, cap - used, "%s%s", p->up != NULL ? "." : "", p->key);
    if (n < 0)
        return used;
    return used + (size_t)n < cap ? used + (size_t)n : cap - 1;
}

char *config_path_str(const struct config_path *path, char *dst, size_t cap)
{
    const struct config_path *steps[CONFIG_PATH_MAX];
    size_t n = 0, used = 0;
    dst[0] = '\0';
    for (const struct config_path *p = path; p != NULL && n < CONFIG_PATH_MAX; p = p->up)
        steps[n++] = p;
    while (n > 0)
        used = append_step(steps[--n], dst, cap, used);
    return dst;
}
