#include "panel/v2sp/routes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "codec/json.h"

/* What a route asks for beside blocking. */
static const char *const later[] = {"dns", "route", "route_ip", "default_out", "direct", "proxy"};
#define LATER (sizeof(later) / sizeof(later[0]))

struct reader {
    struct arena *a;
    struct v2sp_routes *out;
    size_t room;
    uint32_t id; /* of the route being read */
    enum audit_as as;
    unsigned later[LATER]; /* routes of each kind */
    bool nomem;
};

__attribute__((format(printf, 2, 3))) static void notice(struct reader *r, const char *fmt, ...)
{
    va_list ap;

    if (r->out->notice_count == V2SP_ROUTE_NOTICES) {
        r->out->more++;
        return;
    }
    char *text = r->out->notices[r->out->notice_count++].text;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(r->out->notices[0].text), fmt, ap);
    va_end(ap);
}

static void add_item(struct reader *r, const char *text, size_t len)
{
    struct v2sp_routes *o = r->out;

    if (o->count == r->room) {
        size_t room = r->room == 0 ? 32 : r->room * 2;
        struct audit_item *items = arena_alloc(r->a, room * sizeof(*items));
        if (items == NULL) {
            r->nomem = true;
            return;
        }
        if (o->count > 0)
            memcpy(items, o->items, o->count * sizeof(*items));
        o->items = items;
        r->room = room;
    }
    o->items[o->count++] = (struct audit_item){.text = text, .len = len, .id = r->id, .as = r->as};
}

/* The comma behind a port in "port:80,443,example.com" ends the item only if no port comes. */
static bool port_follows(const char *p)
{
    size_t digits = strspn(p, " 0123456789-");
    return digits > 0 && (p[digits] == ',' || p[digits] == '\n' || p[digits] == '\0');
}

/* Commas in braces are those of expressions: a{1,3}. */
static void add_text(struct reader *r, const char *text, bool commas)
{
    const char *from = text;
    bool braces = false, ports = false;

    for (const char *p = text;; p++) {
        if (p == from || p[-1] == ' ')
            ports = ports || strncasecmp(p, "port:", 5) == 0;
        if (*p == '{' || *p == '}')
            braces = *p == '{';
        bool comma = *p == ',' && commas && !braces && !(ports && port_follows(p + 1));
        if (*p != '\0' && *p != '\n' && !comma)
            continue;
        add_item(r, from, (size_t)(p - from));
        if (*p == '\0')
            return;
        from = p + 1;
        braces = ports = false;
    }
}

static void add_one(struct reader *r, const struct json_t *v, bool commas)
{
    const char *text = json_str(v);
    int64_t n = 0;

    if (text == NULL && r->as == AUDIT_AS_PORT && json_to_int(v, 0, &n) == ST_OK && n != 0) {
        text = arena_printf(r->a, "%" PRId64, n);
        r->nomem = r->nomem || text == NULL;
    }
    if (text != NULL)
        /* Nothing but a name or an expression has a comma in it. */
        add_text(r, text, commas || r->as == AUDIT_AS_NET || r->as == AUDIT_AS_PROTOCOL);
    else if (!json_is_null(v) && !r->nomem)
        notice(r, "route %" PRIu32 ": an entry of \"match\" is no text: skipped", r->id);
}

static void add_match(struct reader *r, const struct json_t *match)
{
    if (json_is_array(match)) {
        for (size_t i = 0; i < json_array_len(match) && !r->nomem; i++)
            add_one(r, json_at(match, i), false);
    } else if (json_is_object(match)) {
        for (void *it = json_first(match); it != NULL && !r->nomem; it = json_next(match, it))
            add_one(r, json_iter_value(it), false);
    } else {
        add_one(r, match, true);
    }
}

static bool is_blocking(const char *action, enum audit_as *as)
{
    static const struct {
        const char *action;
        enum audit_as as;
    } actions[] = {{"block", AUDIT_AS_ANY},
                   {"block_ip", AUDIT_AS_NET},
                   {"block_port", AUDIT_AS_PORT},
                   {"protocol", AUDIT_AS_PROTOCOL}};

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcasecmp(action, actions[i].action) == 0) {
            *as = actions[i].as;
            return true;
        }
    return false;
}

static void read_route(struct reader *r, const struct json_t *route, uint32_t place)
{
    int64_t id = json_get_int(route, "id", place);
    const char *action = json_get_str(route, "action", "");

    r->id = id > 0 && id <= UINT32_MAX ? (uint32_t)id : place;
    if (is_blocking(action, &r->as)) {
        add_match(r, json_get(route, "match"));
        return;
    }
    for (size_t i = 0; i < LATER; i++)
        if (strcasecmp(action, later[i]) == 0) {
            r->later[i]++;
            return;
        }
    notice(r, "route %" PRIu32 ": no action is called \"%.32s\": skipped", r->id, action);
}

enum status v2sp_routes_read(const struct json_t *routes, struct arena *a, struct v2sp_routes *out)
{
    struct reader r = {.a = a, .out = out};
    uint32_t place = 0;

    *out = (struct v2sp_routes){.items = NULL};
    if (json_is_array(routes)) {
        for (size_t i = 0; i < json_array_len(routes) && !r.nomem; i++)
            read_route(&r, json_at(routes, i), ++place);
    } else if (json_is_object(routes)) {
        for (void *it = json_first(routes); it != NULL && !r.nomem; it = json_next(routes, it))
            read_route(&r, json_iter_value(it), ++place);
    } else if (!json_is_null(routes) && (json_str(routes) == NULL || json_str(routes)[0] != '\0')) {
        notice(&r, "routes: a list was expected");
    }
    for (size_t i = 0; i < LATER; i++)
        if (r.later[i] > 0)
            notice(&r, "%u route%s with action \"%s\": a later version will do it, not used",
                   r.later[i], r.later[i] == 1 ? "" : "s", later[i]);
    return r.nomem ? ST_E_NOMEM : ST_OK;
}
