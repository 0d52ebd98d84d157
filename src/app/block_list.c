#include "app/block_list.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/textbuf.h"
#include "codec/json.h"
#include "panel/v2sp/routes.h"

/* The first problem is the one that is told. A domain written "*.a" is one. */
static void on_problem(void *arg, const struct audit_item *item, bool used, const char *problem)
{
    char *text = arg;

    if (!used && text[0] == '\0')
        snprintf(text, BLOCK_LIST_PROBLEM, "\"%.*s\": %s", item->len > 100 ? 100 : (int)item->len,
                 item->text, problem);
}

/* The rules in @text as a node would take them from a route, whose texts lie in *@route. */
static enum status read_route(const char *text, struct arena *a, struct json_t **route,
                              struct v2sp_routes *out)
{
    struct textbuf t;
    struct json_error err;
    enum status st = ST_E_NOMEM;

    textbuf_init(&t);
    textbuf_puts(&t, "[{\"action\":\"block\",\"match\":");
    textbuf_json(&t, text);
    textbuf_puts(&t, "}]");
    if (!t.failed)
        st = json_parse(t.p, t.len, route, &err);
    textbuf_fini(&t);
    return st == ST_OK ? v2sp_routes_read(*route, a, out) : st;
}

static enum status join(const struct audit_list *l, char *out, size_t size)
{
    size_t n = 0;

    out[0] = '\0';
    for (uint32_t i = 0; l != NULL && i < l->count; i++) {
        int len = snprintf(out + n, size - n, "%s%s", i > 0 ? "\n" : "", l->rules[i].text);
        if (len < 0 || (size_t)len >= size - n)
            return ST_E_LIMIT;
        n += (size_t)len;
    }
    return ST_OK;
}

enum status block_list_read(const char *text, char *out, size_t size,
                            char problem[BLOCK_LIST_PROBLEM])
{
    struct arena *a = arena_new();
    struct json_t *route = NULL;
    struct audit_list *list = NULL;
    struct v2sp_routes r;
    enum status st = a != NULL ? read_route(text, a, &route, &r) : ST_E_NOMEM;

    problem[0] = '\0';
    if (st == ST_OK)
        st = audit_list_build(a, r.items, r.count, on_problem, problem, &list);
    if (st == ST_OK && problem[0] == '\0')
        st = join(list, out, size);
    if (problem[0] != '\0')
        st = ST_E_CONFIG;
    audit_list_fini(list);
    json_unref(route);
    arena_free(a);
    return st;
}
