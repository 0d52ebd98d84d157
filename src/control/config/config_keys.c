#include "control/config/config_keys.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"
#include "codec/json.h"

#define DISTANCE_MAX 48 /* longer names are not compared */

/* Damerau-Levenshtein in its simple form (neighbours swapped once), three rows at a time. */
unsigned config_distance(const char *a, const char *b, unsigned max)
{
    unsigned rows[3][DISTANCE_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > DISTANCE_MAX || m > DISTANCE_MAX)
        return max + 1;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            bool same = ascii_lower(a[i - 1]) == ascii_lower(b[j - 1]);
            unsigned d = up[j - 1] + !same;
            if (up[j] + 1 < d)
                d = up[j] + 1;
            if (now[j - 1] + 1 < d)
                d = now[j - 1] + 1;
            if (i > 1 && j > 1 && ascii_lower(a[i - 1]) == ascii_lower(b[j - 2]) &&
                ascii_lower(a[i - 2]) == ascii_lower(b[j - 1]) && up2[j - 2] + 1 < d)
                d = up2[j - 2] + 1;
            now[j] = d;
        }
    }
    return rows[n % 3][m] <= max ? rows[n % 3][m] : max + 1;
}

const struct config_key *config_key_find(const struct config_scope *scope, const char *name)
{
    for (size_t i = 0; i < scope->count; i++) {
        const struct config_key *k = &scope->keys[i];
        if (strcasecmp(k->name, name) == 0 || (k->alias != NULL && strcasecmp(k->alias, name) == 0))
            return k;
    }
    return NULL;
}

const char *config_key_nearest(const struct config_scope *scope, const char *name)
{
    unsigned best = (unsigned)strlen(name) / 3 + 1;
    if (best > 4)
        best = 4;
    const char *found = NULL;
    for (size_t i = 0; i < scope->count && best > 0; i++) {
        unsigned d = config_distance(name, scope->keys[i].name, best);
        if (d < best || (d == best && found == NULL)) {
            best = d;
            found = scope->keys[i].name;
        }
    }
    return found;
}

/* Another object that knows the name: an option written one level too high or too low. */
static const struct config_scope *home_of(const struct config_scope *not_here, const char *name)
{
    const struct config_scope *const all[] = {
        &config_scope_node, &config_scope_cert, &config_scope_limits, &config_scope_top,
        &config_scope_log,  &config_scope_core, &config_scope_reality};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] != not_here && config_key_find(all[i], name) != NULL)
            return all[i];
    return NULL;
}

static void warn_unknown(struct config_reader *r, const struct config_path *at,
                         const struct config_scope *scope, const char *key)
{
    const struct config_scope *home = home_of(scope, key);
    const char *near = config_key_nearest(scope, key);
    if (home != NULL)
        config_report(r, CONFIG_WARNING, at, "unknown key here, not read; it belongs in %s",
                      home->name);
    else if (near != NULL)
        config_report(r, CONFIG_WARNING, at, "unknown key, not read; did you mean \"%s\"?", near);
    else
        config_report(r, CONFIG_WARNING, at, "unknown key, not read");
}

static void notice_once(struct config_reader *r, const struct config_path *at,
                        const struct config_key *k)
{
    size_t max = sizeof(r->noticed) / sizeof(r->noticed[0]);
    for (size_t i = 0; i < r->noticed_count; i++)
        if (r->noticed[i] == k)
            return;
    if (r->noticed_count < max)
        r->noticed[r->noticed_count++] = k;
    if (k->state == KEY_LATER)
        config_report(r, CONFIG_NOTICE, at,
                      "%s is understood but not implemented yet in this version; ignored", k->name);
    else
        config_report(r, CONFIG_NOTICE, at, "%s has no effect: %s", k->name, k->why);
}

static void read_number(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, const struct config_key *k, void *field)
{
    uint64_t n;
    switch (k->kind) {
    case KIND_U32:
        n = *(uint32_t *)field;
        if (config_number(r, at, v, k->min, k->max, &n))
            *(uint32_t *)field = (uint32_t)n;
        break;
    case KIND_MBPS:
        (void)config_rate(r, at, v, (uint32_t)k->max, field);
        break;
    case KIND_MS:
        n = *(uint32_t *)field;
        if (config_duration(r, at, v, k->unit, k->min, k->max, &n))
            *(uint32_t *)field = (uint32_t)n;
        break;
    case KIND_SECONDS:
        n = (uint64_t) * (uint32_t *)field * 1000;
        if (config_duration(r, at, v, k->unit, k->min, k->max, &n))
            *(uint32_t *)field = (uint32_t)(n / 1000);
        break;
    default:
        (void)config_size(r, at, v, k->unit, k->max, field);
        break;
    }
}

static void read_value(struct config_reader *r, const struct config_path *at,
                       const struct json_t *v, const struct config_key *k, void *dst)
{
    void *field = (char *)dst + k->offset;
    switch (k->kind) {
    case KIND_NONE:
        break;
    case KIND_BOOL:
        (void)config_bool(r, at, v, field);
        break;
    case KIND_TEXT:
        (void)config_text(r, at, v, field);
        break;
    case KIND_CUSTOM:
        (void)k->read(r, at, v, dst);
        break;
    case KIND_OBJECT:
        if (json_is_object(v))
            config_walk(r, at, v, k->scope, ~0u, field);
        else if (!config_is_neutral(v))
            config_report(r, CONFIG_ERROR, at, "must be an object in braces { }");
        break;
    default:
        read_number(r, at, v, k, field);
        break;
    }
}

/* Marks the row as written down; for a panel: false if it was. An object's rows are marked one by
 * one. */
static bool may_set(struct config_reader *r, const struct config_scope *scope,
                    const struct config_key *k)
{
    if (scope->given_bit == CONFIG_NO_BITS || r->given == NULL || k->kind == KIND_OBJECT)
        return true;
    size_t bit = scope->given_bit + (size_t)(k - scope->keys);
    uint64_t mask = (uint64_t)1 << (bit % 64);
    if (r->panel)
        return (r->given[bit / 64] & mask) == 0;
    r->given[bit / 64] |= mask;
    return true;
}

static void take_member(struct config_reader *r, const struct config_path *at, const char *key,
                        const struct json_t *v, const struct config_scope *scope, unsigned parts,
                        void *dst)
{
    const struct config_key *k = config_key_find(scope, key);
    if (k == NULL) {
        warn_unknown(r, at, scope, key);
        return;
    }
    if (k->part != 0 && (k->part & parts) == 0) {
        config_report(r, CONFIG_WARNING, at, "is not read here; move it into %s",
                      k->part == PART_API      ? "ApiConfig"
                      : k->part == PART_OPTION ? "Options"
                                               : "the entry of Nodes");
        return;
    }
    if (k->state == KEY_PLACE || (r->panel && !k->panel) || json_is_null(v))
        return;
    if (!may_set(r, scope, k))
        return;
    if (k->state != KEY_WORKS && !config_is_neutral(v))
        notice_once(r, at, k);
    read_value(r, at, v, k, dst);
}

void config_walk(struct config_reader *r, const struct config_path *at, const struct json_t *obj,
                 const struct config_scope *scope, unsigned parts, void *dst)
{
    if (json_is_array(obj))
        return; /* PHP's empty object */
    for (void *it = json_first(obj); it != NULL; it = json_next(obj, it)) {
        const char *key = json_iter_key(it);
        take_member(r, CONFIG_KEY(at, key), key, json_iter_value(it), scope, parts, dst);
    }
}
