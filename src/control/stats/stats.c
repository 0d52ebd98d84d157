#include "control/stats/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config/config_stats.h"
#include "control/node/node.h"
#include "control/stats/stats_names.h"
#include "control/store/counters.h"
#include "policy/plane.h"

#define PLACE_DIRECT VIEW_NODES_MAX /* of the outbound "direct" */
#define NODE_OF(l)   LIST_ENTRY(l, struct node, link)

enum tracked { TRACKED_UNKNOWN, TRACKED_NO, TRACKED_YES };

/* Of a user's slot. Bases count modulo 2^64: one that took over from a departed namesake lies below
 * zero. */
struct base {
    uint64_t up, down;
    uint8_t tracked; /* of tags only */
    uint8_t seen;
    uint32_t gone; /* of users: index of what he is among the departed already, plus 1 */
};

struct tagged {
    char tag[STATS_TAG_MAX]; /* "": there is no such node, or another has its name now */
    char was[STATS_TAG_MAX]; /* of one that ends, its name that another has */
    struct stats_index index;
    struct base in, out, start; /* start: of the node itself, never moved */
};

/* One that left. While sessions of his go on, what his slot counts is added. */
struct gone {
    uint64_t up, down;
    size_t len;
    char *name;
    const struct user_rt *leaving; /* NULL: nothing moves any more */
    bool hidden;                   /* a living namesake has taken it over, but for the last bytes */
};

struct stats {
    struct stats_setup setup;
    bool on;
    struct stats_set inbounds, outbounds, users;
    struct base *bases; /* by slot */
    uint32_t base_count;
    struct base direct;
    struct tagged *nodes[VIEW_NODES_MAX];
    struct gone *gone;
    size_t gone_count, gone_room;
    uint64_t changes; /* of nodes and of the departed */
    uint64_t version; /* of the tables that the departed were last compared with */
};

static const char *const kinds[] = {"inbound", "outbound", "user"};

struct stats *stats_new(const struct stats_setup *setup)
{
    struct stats *s = calloc(1, sizeof(*s));

    if (s != NULL)
        s->setup = *setup;
    return s;
}

static void drop_names(struct stats *s)
{
    stats_set_fini(&s->inbounds);
    stats_set_fini(&s->outbounds);
    stats_set_fini(&s->users);
}

void stats_free(struct stats *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->gone_count; i++)
        free(s->gone[i].name);
    for (size_t i = 0; i < VIEW_NODES_MAX; i++) {
        if (s->nodes[i] != NULL)
            stats_index_fini(&s->nodes[i]->index);
        free(s->nodes[i]);
    }
    drop_names(s);
    free(s->gone);
    free(s->bases);
    free(s);
}

/* Its place is closed by the next sweep. */
static void forget(struct stats *s, struct gone *g)
{
    if (g->leaving != NULL)
        s->bases[g->leaving->slot].gone = 0;
    free(g->name);
    *g = (struct gone){0};
}

/* The others move up, the oldest stays in front. */
static void sweep(struct stats *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->gone_count; i++) {
        struct gone *g = &s->gone[kept];
        if (s->gone[i].name == NULL)
            continue;
        *g = s->gone[i];
        if (g->leaving != NULL)
            s->bases[g->leaving->slot].gone = (uint32_t)kept + 1;
        kept++;
    }
    s->gone_count = kept;
}

static void drop_unlisted(struct stats *s)
{
    const struct stats_set *const sets[] = {&s->inbounds, &s->outbounds, &s->users};

    for (size_t i = 0; i < s->gone_count; i++) {
        struct gone *g = &s->gone[i];
        bool listed = false;
        for (size_t k = 0; k < 3 && s->on; k++) {
            size_t n = strlen(kinds[k]) + 3;
            if (g->len >= n && memcmp(g->name, kinds[k], n - 3) == 0)
                listed |= stats_set_has(sets[k], g->name + n, g->len - n);
        }
        if (!listed)
            forget(s, g);
    }
    sweep(s);
}

enum status stats_configure(struct stats *s, const struct config_stats *conf)
{
    struct stats_set in = {0}, out = {0}, users = {0};

    if (conf != NULL && (stats_set_init(&in, &conf->inbounds) != ST_OK ||
                         stats_set_init(&out, &conf->outbounds) != ST_OK ||
                         stats_set_init(&users, &conf->users) != ST_OK)) {
        stats_set_fini(&in);
        stats_set_fini(&out);
        stats_set_fini(&users);
        return ST_E_NOMEM;
    }
    drop_names(s);
    s->on = conf != NULL;
    s->inbounds = in;
    s->outbounds = out;
    s->users = users;
    for (size_t i = 0; i < VIEW_NODES_MAX; i++)
        if (s->nodes[i] != NULL)
            s->nodes[i]->in.tracked = s->nodes[i]->out.tracked = TRACKED_UNKNOWN;
    s->direct.tracked = TRACKED_UNKNOWN;
    drop_unlisted(s);
    return ST_OK;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static struct base *base_of(struct stats *s, enum stats_kind kind, uint32_t place)
{
    switch (kind) {
    case STATS_INBOUND:
        return &s->nodes[place]->in;
    case STATS_OUTBOUND:
        return place == PLACE_DIRECT ? &s->direct : &s->nodes[place]->out;
    default:
        return &s->bases[place];
    }
}

static void read_node(const struct stats *s, uint32_t place, uint64_t *up, uint64_t *down)
{
    struct plane_stats st = {0};

    s->setup.plane->stats(s->setup.plane->self, place == PLACE_DIRECT ? UINT32_MAX : place, &st);
    *up = st.up;
    *down = st.down;
}

/* Bases for all slots up to @slot; false without memory. */
static bool reach(struct stats *s, uint32_t slot)
{
    if (slot < s->base_count)
        return true;
    uint32_t n = s->base_count < 1024 ? 1024 : s->base_count;
    while (n <= slot)
        n *= 2;
    struct base *p = realloc(s->bases, n * sizeof(*p));
    if (p == NULL)
        return false;
    memset(p + s->base_count, 0, (n - s->base_count) * sizeof(*p));
    s->bases = p;
    s->base_count = n;
    return true;
}

/* ---- the departed ---------------------------------------------------------------------------- */

/* NULL without memory. */
static struct gone *keep(struct stats *s, const char *name, size_t len, uint64_t up, uint64_t down)
{
    if (s->gone_count >= STATS_GONE_MAX) { /* many at once: the sweep goes over all */
        for (size_t i = 0; i < STATS_GONE_MAX / 16; i++)
            forget(s, &s->gone[i]);
        sweep(s);
    }
    if (s->gone_count == s->gone_room) {
        size_t room = s->gone_room < 64 ? 64 : s->gone_room * 2;
        struct gone *p = realloc(s->gone, room * sizeof(*p));
        if (p == NULL)
            return NULL;
        s->gone = p;
        s->gone_room = room;
    }
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, name, len);
    copy[len] = '\0';
    s->gone[s->gone_count] = (struct gone){.up = up, .down = down, .len = len, .name = copy};
    s->changes++;
    return &s->gone[s->gone_count++];
}

static void read_gone(const struct stats *s, const struct gone *g, uint64_t *up, uint64_t *down)
{
    *up = g->up;
    *down = g->down;
    if (g->leaving == NULL)
        return;
    const struct base *b = &s->bases[g->leaving->slot];
    uint64_t more_up = 0, more_down = 0;
    counters_read(s->setup.counters, g->leaving->slot, &more_up, &more_down);
    *up += more_up - b->up;
    *down += more_down - b->down;
}

void stats_forget(struct stats *s)
{
    for (size_t i = 0; i < s->gone_count; i++) {
        struct gone *g = &s->gone[i];
        if (g->up == 0 && g->down == 0 && g->leaving == NULL)
            forget(s, g);
    }
    sweep(s);
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool put_name(char *dst, size_t *len, enum stats_kind kind, const char *tag)
{
    int n = snprintf(dst, STATS_NAME_MAX, "%s>>>%s", kinds[kind], tag);
    *len = (size_t)n;
    return n > 0 && n < (int)STATS_NAME_MAX;
}

/* Adds "|CREDENTIAL" to the @len bytes at @dst. */
static size_t put_user(char *dst, size_t len, const struct user_rt *u)
{
    char text[USER_SECRET_MAX + 1];
    const char *secret = user_secret(u, text);
    size_t n = strlen(secret);

    dst[len] = '|';
    memcpy(dst + len + 1, secret, n + 1);
    return len + 1 + n;
}

static bool is_tracked(struct base *b, const struct stats_set *set, const char *name)
{
    if (b->tracked == TRACKED_UNKNOWN)
        b->tracked = stats_set_has(set, name, strlen(name)) ? TRACKED_YES : TRACKED_NO;
    return b->tracked == TRACKED_YES;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

void stats_node_total(struct stats *s, uint32_t no, uint64_t *up, uint64_t *down)
{
    const struct tagged *t = s->nodes[no];

    read_node(s, no, up, down);
    *up -= t != NULL ? t->start.up : 0;
    *down -= t != NULL ? t->start.down : 0;
}

static const char *name_of(const struct tagged *t)
{
    return t->tag[0] != '\0' ? t->tag : t->was;
}

static void keep_node(struct stats *s, struct base *b, const struct stats_set *set,
                      enum stats_kind kind, uint32_t no)
{
    const char *tag = name_of(s->nodes[no]);
    char name[STATS_NAME_MAX];
    uint64_t up, down;
    size_t len;

    read_node(s, no, &up, &down);
    if (!is_tracked(b, set, tag) || !put_name(name, &len, kind, tag) ||
        (up == b->up && down == b->down && !b->seen) ||
        keep(s, name, len, up - b->up, down - b->down) == NULL)
        return;
    b->up = up;
    b->down = down;
}

/* What has come since the last time is kept under the node's name. */
static void keep_sums(struct stats *s, const struct node *n)
{
    struct tagged *t = s->nodes[n->no];

    if (!s->on)
        return;
    keep_node(s, &t->in, &s->inbounds, STATS_INBOUND, n->no);
    keep_node(s, &t->out, &s->outbounds, STATS_OUTBOUND, n->no);
}

void stats_node_end(struct stats *s, const struct node *n)
{
    struct tagged *t = s->nodes[n->no];

    if (t == NULL)
        return;
    if (*name_of(t) != '\0')
        keep_sums(s, n);
    t->tag[0] = t->was[0] = '\0';
    stats_index_fini(&t->index);
}

void stats_user_leaves(struct stats *s, const struct user_rt *u)
{
    const struct tagged *t = s->nodes[u->node];
    char name[STATS_NAME_MAX];
    uint64_t up = 0, down = 0;
    size_t len;

    if (!s->on || t == NULL || *name_of(t) == '\0' || !reach(s, u->slot))
        return;
    struct base *b = &s->bases[u->slot];
    counters_read(s->setup.counters, u->slot, &up, &down);
    bool used = up != b->up || down != b->down || b->seen;
    if (b->gone != 0 || !used || !put_name(name, &len, STATS_USER, name_of(t)))
        return;
    len = put_user(name, len, u);
    if (!stats_set_has(&s->users, name + strlen("user>>>"), len - strlen("user>>>")))
        return;
    struct gone *g = keep(s, name, len, 0, 0);
    if (g == NULL)
        return;
    g->leaving = u;
    b->gone = (uint32_t)(g - s->gone) + 1;
}

void stats_user_gone(struct stats *s, const struct user_rt *u)
{
    stats_user_leaves(s, u); /* if he is not among them yet */
    if (u->slot >= s->base_count)
        return;
    struct base *b = &s->bases[u->slot];
    if (b->gone != 0) {
        struct gone *g = &s->gone[b->gone - 1];
        read_gone(s, g, &g->up, &g->down);
        g->leaving = NULL;
        g->hidden = false;
        s->changes++;
    }
    *b = (struct base){0}; /* the slot's next bearer begins at nothing */
}

/* A node that ends while another has its name already: what it has, and what still comes, goes on
 * under the new one, the latter once it has ended. */
static void step_back(struct stats *s, const struct node *n)
{
    struct tagged *t = s->nodes[n->no];

    keep_sums(s, n);
    for (size_t i = 0; i < n->users.count; i++)
        stats_user_leaves(s, n->users.by_id[i]);
    memcpy(t->was, t->tag, sizeof(t->was));
    t->tag[0] = '\0';
    s->changes++;
}

static void make_way(struct stats *s, const struct node *n)
{
    LIST_FOREACH(l, tmp, s->setup.nodes) {
        const struct node *other = NODE_OF(l);
        const struct tagged *t = s->nodes[other->no];
        if (other != n && other->state >= NODE_DRAINING && t != NULL &&
            strcmp(t->tag, n->conf->tag) == 0)
            step_back(s, other);
    }
}

void stats_node_begin(struct stats *s, const struct node *n)
{
    struct tagged *t = s->nodes[n->no];
    const char *tag = n->conf->tag;
    bool fresh = t == NULL || t->tag[0] == '\0';

    make_way(s, n);
    if (t == NULL)
        t = s->nodes[n->no] = calloc(1, sizeof(*t));
    if (t == NULL || (!fresh && strcmp(t->tag, tag) == 0))
        return;
    if (fresh) {
        uint64_t up, down;
        read_node(s, n->no, &up, &down); /* of the number's last bearer */
        t->in = t->out = t->start = (struct base){.up = up, .down = down};
    }
    if (strlen(tag) < sizeof(t->tag))
        memcpy(t->tag, tag, strlen(tag) + 1);
    else
        t->tag[0] = '\0';
    t->in.tracked = t->out.tracked = TRACKED_UNKNOWN;
    s->changes++;
}

/* ---- one by one ------------------------------------------------------------------------------ */

/* True when there is such a counter; fills all of @out but its names. */
static bool read_user(struct stats *s, const struct user_rt *u, struct stats_item *out)
{
    struct base *b = &s->bases[u->slot];

    counters_read(s->setup.counters, u->slot, &out->up, &out->down);
    if (!b->seen)
        b->seen = out->up + out->down != 0 ||
                  atomic_load_explicit(&u->sessions, memory_order_relaxed) > 0;
    out->kind = STATS_USER;
    out->place = u->slot;
    out->user = u;
    out->up -= b->up;
    out->down -= b->down;
    return b->seen;
}

static bool read_tag(struct stats *s, enum stats_kind kind, uint32_t place, struct stats_item *out)
{
    struct base *b = base_of(s, kind, place);
    const struct stats_set *set = kind == STATS_INBOUND ? &s->inbounds : &s->outbounds;
    const char *tag = place == PLACE_DIRECT ? "direct" : s->nodes[place]->tag;

    /* "*" is all nodes; "direct" would count their bytes a second time. */
    if (place == PLACE_DIRECT && b->tracked == TRACKED_UNKNOWN)
        b->tracked = stats_set_lists(set, tag, strlen(tag)) ? TRACKED_YES : TRACKED_NO;
    if (tag[0] == '\0' || !is_tracked(b, set, tag))
        return false;
    read_node(s, place, &out->up, &out->down);
    b->seen |= out->up != b->up || out->down != b->down;
    out->kind = kind;
    out->place = place;
    out->up -= b->up;
    out->down -= b->down;
    out->tag = tag;
    out->user = NULL;
    return b->seen;
}

/* ---- by name --------------------------------------------------------------------------------- */

const struct user_rt *stats_user(struct stats *s, const char *name, size_t len)
{
    LIST_FOREACH(l, tmp, s->setup.nodes) {
        const struct node *n = NODE_OF(l);
        struct tagged *t = s->nodes[n->no];
        size_t tag = t != NULL ? strlen(t->tag) : 0;
        if (tag == 0 || len <= tag + 1 || name[tag] != '|' || memcmp(name, t->tag, tag) != 0)
            continue;
        const struct user_rt *u =
            stats_index_find(&t->index, &n->users, name + tag + 1, len - tag - 1);
        if (u != NULL)
            return u;
    }
    return NULL;
}

static bool locate_user(struct stats *s, const char *name, size_t len, uint32_t *place)
{
    const struct user_rt *u = stats_user(s, name, len);

    if (u == NULL || !reach(s, u->slot))
        return false;
    *place = u->slot;
    return true;
}

static bool find_user(struct stats *s, const char *name, size_t len, struct stats_item *out)
{
    const struct user_rt *u = stats_user(s, name, len);

    return u != NULL && reach(s, u->slot) && stats_set_has(&s->users, name, len) &&
           read_user(s, u, out);
}

static bool locate_tag(struct stats *s, enum stats_kind kind, const char *tag, size_t len,
                       uint32_t *place)
{
    LIST_FOREACH(l, tmp, s->setup.nodes) {
        const struct node *n = NODE_OF(l);
        const struct tagged *t = s->nodes[n->no];
        *place = n->no;
        if (t != NULL && len > 0 && strlen(t->tag) == len && memcmp(t->tag, tag, len) == 0)
            return true;
    }
    *place = PLACE_DIRECT;
    return kind == STATS_OUTBOUND && len == strlen("direct") && memcmp(tag, "direct", len) == 0;
}

/* Where the counter @name has its base, there or not yet. */
static bool locate(struct stats *s, const char *name, size_t len, enum stats_kind *kind,
                   uint32_t *place)
{
    for (int k = 0; k < 3; k++) {
        size_t n = strlen(kinds[k]) + 3;
        if (len < n || memcmp(name, kinds[k], n - 3) != 0 || memcmp(name + n - 3, ">>>", 3) != 0)
            continue;
        *kind = (enum stats_kind)k;
        return k == STATS_USER ? locate_user(s, name + n, len - n, place)
                               : locate_tag(s, *kind, name + n, len - n, place);
    }
    return false;
}

static void take_over(struct stats *s, struct gone *g, struct base *b)
{
    uint64_t up, down;

    read_gone(s, g, &up, &down);
    b->up -= up;
    b->down -= down;
    b->seen = 1;
    if (g->leaving == NULL) {
        forget(s, g);
        return;
    }
    g->hidden = true; /* with the bytes that are still to come, once they are there */
    g->up -= up;
    g->down -= down;
}

/* What a departed namesake left goes on under the living. */
static void settle(struct stats *s)
{
    uint64_t version = s->changes << 32;

    LIST_FOREACH(l, tmp, s->setup.nodes)
        version += NODE_OF(l)->users.version;
    if (version == s->version)
        return;
    s->version = version;
    for (size_t i = 0; i < s->gone_count; i++) {
        struct gone *g = &s->gone[i];
        enum stats_kind kind;
        uint32_t place;
        if (!locate(s, g->name, g->len, &kind, &place))
            continue;
        take_over(s, g, base_of(s, kind, place));
    }
    sweep(s);
}

static enum status walk_users(struct stats *s, const struct node *n, const struct tagged *t,
                              enum status (*fn)(void *, const struct stats_item *), void *arg)
{
    char name[STATS_NAME_MAX];
    struct stats_item item = {.name = name, .tag = t->tag};
    enum status st = ST_OK;
    size_t at;

    if (!put_name(name, &at, STATS_USER, t->tag))
        return ST_OK;
    for (size_t i = 0; i < n->users.count && st == ST_OK; i++) {
        const struct user_rt *u = n->users.by_id[i];
        if (i + 8 < n->users.count)
            __builtin_prefetch(n->users.by_id[i + 8]);
        if (!reach(s, u->slot))
            return ST_E_NOMEM;
        if (!read_user(s, u, &item))
            continue;
        item.name_len = put_user(name, at, u);
        st = fn(arg, &item);
    }
    return st;
}

/* Listed users are looked up, so that what is not listed costs nothing here either. */
static enum status walk_listed(struct stats *s,
                               enum status (*fn)(void *, const struct stats_item *), void *arg)
{
    char name[STATS_NAME_MAX];
    struct stats_item item = {.name = name};
    enum status st = ST_OK;

    for (size_t i = 0; i < s->users.count && st == ST_OK; i++) {
        const char *listed = s->users.names[i];
        if (!put_name(name, &item.name_len, STATS_USER, listed) ||
            !find_user(s, listed, strlen(listed), &item))
            continue;
        st = fn(arg, &item);
    }
    return st;
}

static enum status walk_tag(struct stats *s, enum stats_kind kind, uint32_t place,
                            enum status (*fn)(void *, const struct stats_item *), void *arg)
{
    char name[STATS_NAME_MAX];
    struct stats_item item = {.name = name};

    if (!read_tag(s, kind, place, &item) || !put_name(name, &item.name_len, kind, item.tag))
        return ST_OK;
    return fn(arg, &item);
}

enum status stats_walk(struct stats *s, enum status (*fn)(void *arg, const struct stats_item *item),
                       void *arg)
{
    enum status st = ST_OK;

    if (!s->on)
        return ST_OK;
    settle(s);
    LIST_FOREACH(l, tmp, s->setup.nodes) {
        const struct node *n = NODE_OF(l);
        const struct tagged *t = s->nodes[n->no];
        if (t == NULL || t->tag[0] == '\0')
            continue;
        if (st == ST_OK)
            st = walk_tag(s, STATS_INBOUND, n->no, fn, arg);
        if (st == ST_OK)
            st = walk_tag(s, STATS_OUTBOUND, n->no, fn, arg);
        if (st == ST_OK && s->users.all)
            st = walk_users(s, n, t, fn, arg);
    }
    if (st == ST_OK)
        st = walk_tag(s, STATS_OUTBOUND, PLACE_DIRECT, fn, arg);
    if (st == ST_OK && !s->users.all)
        st = walk_listed(s, fn, arg);
    for (size_t i = 0; i < s->gone_count && st == ST_OK; i++) {
        const struct gone *g = &s->gone[i];
        struct stats_item item = {
            .kind = STATS_GONE, .place = (uint32_t)i, .name = g->name, .name_len = g->len};
        read_gone(s, g, &item.up, &item.down);
        if (!g->hidden)
            st = fn(arg, &item);
    }
    return st;
}

bool stats_find(struct stats *s, const char *name, size_t len, struct stats_item *out)
{
    enum stats_kind kind;
    uint32_t place;

    if (!s->on)
        return false;
    settle(s);
    *out = (struct stats_item){.name = name, .name_len = len};
    if (locate(s, name, len, &kind, &place))
        return kind == STATS_USER
                   ? find_user(s, name + strlen("user>>>"), len - strlen("user>>>"), out)
                   : read_tag(s, kind, place, out);
    for (size_t i = 0; i < s->gone_count; i++) {
        const struct gone *g = &s->gone[i];
        if (g->len != len || memcmp(g->name, name, len) != 0)
            continue;
        out->kind = STATS_GONE;
        out->place = (uint32_t)i;
        read_gone(s, g, &out->up, &out->down);
        return true;
    }
    return false;
}

void stats_take(struct stats *s, enum stats_kind kind, uint32_t place, uint64_t up, uint64_t down)
{
    if (kind == STATS_GONE) {
        s->gone[place].up -= up;
        s->gone[place].down -= down;
        return;
    }
    struct base *b = base_of(s, kind, place);
    b->up += up;
    b->down += down;
}
