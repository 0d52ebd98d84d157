#include "policy/fallback.h"

#include <string.h>

#include "base/arena.h"
#include "base/ascii.h"

/* Three levels of short lists, searched in order: a node has a handful of fallbacks and few
 * connections need them. */
struct path_row {
    struct path_row *next;
    const char *path;
    const struct fallback_dest *dest;
};

struct alpn_row {
    struct alpn_row *next;
    const char *alpn;
    struct path_row *paths;
};

struct name_row {
    struct name_row *next;
    const char *name;
    struct alpn_row *alpns;
};

struct fallback_table {
    struct name_row *names;
};

/* A request line shows its path within this many bytes, or not at all. */
#define PATH_WINDOW 64
/* A first read shorter than a VLESS header up to the addons is not looked at for a path. */
#define FIRST_MIN 18

/* ---- the three levels: find, and add where missing ------------------------------------------- */

static struct name_row *name_find(const struct fallback_table *t, const char *name)
{
    for (struct name_row *n = t->names; n != NULL; n = n->next)
        if (strcmp(n->name, name) == 0)
            return n;
    return NULL;
}

static struct alpn_row *alpn_find(const struct name_row *n, const char *alpn)
{
    for (struct alpn_row *r = n->alpns; r != NULL; r = r->next)
        if (strcmp(r->alpn, alpn) == 0)
            return r;
    return NULL;
}

static struct path_row *path_find(const struct alpn_row *r, const char *path, size_t len)
{
    for (struct path_row *p = r->paths; p != NULL; p = p->next)
        if (strlen(p->path) == len && memcmp(p->path, path, len) == 0)
            return p;
    return NULL;
}

static struct name_row *name_add(struct arena *a, struct fallback_table *t, const char *name)
{
    struct name_row *n = name_find(t, name);

    if (n == NULL && (n = arena_alloc(a, sizeof(*n))) != NULL) {
        n->name = name;
        n->next = t->names;
        t->names = n;
    }
    return n;
}

static struct alpn_row *alpn_add(struct arena *a, struct name_row *n, const char *alpn)
{
    struct alpn_row *r = alpn_find(n, alpn);

    if (r == NULL && (r = arena_alloc(a, sizeof(*r))) != NULL) {
        r->alpn = alpn;
        r->next = n->alpns;
        n->alpns = r;
    }
    return r;
}

/* Puts @dest under @path; an entry that is there stays unless @replace. */
static enum status path_put(struct arena *a, struct alpn_row *r, const char *path,
                            const struct fallback_dest *dest, bool replace)
{
    struct path_row *p = path_find(r, path, strlen(path));

    if (p != NULL) {
        if (replace)
            p->dest = dest;
        return ST_OK;
    }
    p = arena_alloc(a, sizeof(*p));
    if (p == NULL)
        return ST_E_NOMEM;
    *p = (struct path_row){.next = r->paths, .path = path, .dest = dest};
    r->paths = p;
    return ST_OK;
}

/* ---- reading a row --------------------------------------------------------------------------- */

static enum status parse_port(const char *text, uint16_t *port)
{
    unsigned v = 0;

    if (*text == '\0')
        return ST_E_CONFIG;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return ST_E_CONFIG;
        v = v * 10 + (unsigned)(*text - '0');
        if (v > 65535)
            return ST_E_CONFIG;
    }
    *port = (uint16_t)v;
    return v == 0 ? ST_E_CONFIG : ST_OK;
}

static enum status parse_unix(struct arena *a, const char *text, struct fallback_dest *d)
{
    d->kind = FALLBACK_UNIX;
    if (text[0] == '@' && text[1] == '@') {
        d->padded = true;
        text++;
    }
    /* 107 bytes fit in sockaddr_un beside the NUL (or the leading NUL of an abstract name). */
    if (text[1] == '\0' || strlen(text) > 107)
        return ST_E_CONFIG;
    d->host = arena_strdup(a, text);
    return d->host == NULL ? ST_E_NOMEM : ST_OK;
}

/* "80" is a port of this host; else "host:port" with an IPv6 address in brackets. */
static enum status parse_tcp(struct arena *a, const char *text, struct fallback_dest *d)
{
    const char *colon = strrchr(text, ':');
    size_t len;

    d->kind = FALLBACK_TCP;
    if (colon == NULL) {
        d->host = "localhost";
        return parse_port(text, &d->port);
    }
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return ST_E_CONFIG;
    }
    if (len == 0 || len > 255)
        return ST_E_CONFIG;
    d->host = arena_strndup(a, text, len);
    if (d->host == NULL)
        return ST_E_NOMEM;
    return parse_port(colon + 1, &d->port);
}

static enum status parse_rule(struct arena *a, const struct fallback_rule *rule,
                              const struct fallback_dest **out)
{
    struct fallback_dest *d;

    if (rule->dest == NULL || rule->dest[0] == '\0' || rule->xver > 2)
        return ST_E_CONFIG;
    if (rule->path != NULL && rule->path[0] != '\0' && rule->path[0] != '/')
        return ST_E_CONFIG;
    d = arena_alloc(a, sizeof(*d));
    if (d == NULL)
        return ST_E_NOMEM;
    *out = d;
    d->xver = rule->xver;
    if (rule->dest[0] == '/' || rule->dest[0] == '@')
        return parse_unix(a, rule->dest, d);
    return parse_tcp(a, rule->dest, d);
}

static enum status add_rule(struct arena *a, struct fallback_table *t,
                            const struct fallback_rule *rule)
{
    const struct fallback_dest *dest;
    enum status st = parse_rule(a, rule, &dest);
    const char *name, *alpn, *path;
    struct name_row *n;
    struct alpn_row *r;

    if (st != ST_OK)
        return st;
    name = ascii_lower_text(arena_strdup(a, rule->name != NULL ? rule->name : ""));
    alpn = ascii_lower_text(arena_strdup(a, rule->alpn != NULL ? rule->alpn : ""));
    path = arena_strdup(a, rule->path != NULL ? rule->path : "");
    if (name == NULL || alpn == NULL || path == NULL)
        return ST_E_NOMEM;
    n = name_add(a, t, name);
    r = n == NULL ? NULL : alpn_add(a, n, alpn);
    return r == NULL ? ST_E_NOMEM : path_put(a, r, path, dest, true);
}

/* ---- inheritance ----------------------------------------------------------------------------- */

static enum status copy_missing(struct arena *a, struct alpn_row *to, const struct alpn_row *from)
{
    for (const struct path_row *p = from->paths; p != NULL; p = p->next)
        if (path_put(a, to, p->path, p->dest, false) != ST_OK)
            return ST_E_NOMEM;
    return ST_OK;
}

/* The order matters, as in Xray-core: first every name gets the ALPN keys of "", then every ALPN
 * its name's paths for any ALPN, and only then what name "" has: a name's own general rule beats a
 * foreign special one. */
static enum status inherit(struct arena *a, struct fallback_table *t)
{
    struct name_row *any = name_find(t, "");

    for (struct name_row *n = t->names; any != NULL && n != NULL; n = n->next)
        for (struct alpn_row *r = any->alpns; n != any && r != NULL; r = r->next)
            if (alpn_add(a, n, r->alpn) == NULL)
                return ST_E_NOMEM;

    for (struct name_row *n = t->names; n != NULL; n = n->next) {
        struct alpn_row *general = alpn_find(n, "");
        for (struct alpn_row *r = n->alpns; general != NULL && r != NULL; r = r->next)
            if (r != general && copy_missing(a, r, general) != ST_OK)
                return ST_E_NOMEM;
    }

    for (struct name_row *n = t->names; any != NULL && n != NULL; n = n->next)
        for (struct alpn_row *r = any->alpns; n != any && r != NULL; r = r->next)
            if (copy_missing(a, alpn_find(n, r->alpn), r) != ST_OK)
                return ST_E_NOMEM;
    return ST_OK;
}

enum status fallback_build(struct arena *a, const struct fallback_rule *rules, size_t n,
                           const struct fallback_table **out, size_t *bad)
{
    struct fallback_table *t = arena_alloc(a, sizeof(*t));

    *out = NULL;
    if (t == NULL)
        return ST_E_NOMEM;
    for (size_t i = 0; i < n; i++) {
        enum status st = add_rule(a, t, &rules[i]);
        if (st == ST_E_CONFIG && bad != NULL)
            *bad = i;
        if (st != ST_OK)
            return st;
    }
    if (inherit(a, t) != ST_OK)
        return ST_E_NOMEM;
    *out = t;
    return ST_OK;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

/* Exact, else the longest configured name that is part of the SNI, else the general rows. */
static const struct name_row *pick_name(const struct fallback_table *t, const char *sni)
{
    const struct name_row *best = name_find(t, sni);
    size_t longest = 0;

    if (best != NULL)
        return best;
    for (const struct name_row *n = t->names; n != NULL; n = n->next) {
        size_t len = strlen(n->name);
        if (len > longest && strstr(sni, n->name) != NULL) {
            longest = len;
            best = n;
        }
    }
    return best != NULL ? best : name_find(t, "");
}

/* The path of an HTTP/1 request line; *@len is 0 when there is none. Byte 4 is '*' in the HTTP/2
 * preface. */
static const uint8_t *request_path(const uint8_t *first, size_t n, size_t *len)
{
    size_t start = 4, end;

    *len = 0;
    if (n < FIRST_MIN || first[4] == '*')
        return first;
    while (start <= 8 && !(first[start] == '/' && first[start - 1] == ' '))
        start++;
    if (start > 8)
        return first;
    end = n < PATH_WINDOW ? n : PATH_WINDOW;
    for (size_t i = start + 1; i < end; i++) {
        if (first[i] == '\r' || first[i] == '\n')
            break;
        if (first[i] == '?' || first[i] == ' ') {
            *len = i - start;
            break;
        }
    }
    return first + start;
}

const struct fallback_dest *fallback_find(const struct fallback_table *t, const char *sni,
                                          const char *alpn, const uint8_t *first, size_t len)
{
    const struct name_row *n = pick_name(t, sni != NULL ? sni : "");
    const struct alpn_row *r;
    const struct path_row *p = NULL;
    const uint8_t *path;
    size_t path_len;

    if (n == NULL)
        return NULL;
    r = alpn_find(n, alpn != NULL ? alpn : "");
    if (r == NULL)
        r = alpn_find(n, "");
    if (r == NULL)
        return NULL;
    path = request_path(first, len, &path_len);
    if (path_len > 0)
        p = path_find(r, (const char *)path, path_len);
    if (p == NULL)
        p = path_find(r, "", 0);
    return p != NULL ? p->dest : NULL;
}
