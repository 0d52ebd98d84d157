#include "app/status_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"

#define BOLD   "\033[1m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define DIM    "\033[2m"
#define PLAIN  "\033[0m"

#define WIDE 100u /* columns from which on everything is shown */

struct view {
    struct textbuf *out;
    const struct status_style *style;
    unsigned lines;
    int64_t now;
};

const char *status_sort_str(enum status_sort s)
{
    static const char *const names[SORT_KINDS] = {"rate",        "down",    "up",
                                                  "connections", "devices", "bytes"};
    return names[s];
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static uint64_t num(const struct json_t *o, const char *key)
{
    int64_t v = json_get_int(o, key, 0);
    return v > 0 ? (uint64_t)v : 0;
}

/* In thousandths. */
static uint64_t milli(const struct json_t *o, const char *key)
{
    uint64_t v = 0;
    return json_to_milli(json_get(o, key), 0, &v) == ST_OK ? v : 0;
}

static uint64_t num2(const struct json_t *o, const char *key, const char *inner)
{
    return num(json_get(o, key), inner);
}

static void color(struct view *v, const char *code)
{
    if (v->style->color)
        textbuf_puts(v->out, code);
}

static bool has_room(const struct view *v)
{
    return v->style->lines == 0 || v->lines < v->style->lines;
}

static void end_line(struct view *v)
{
    textbuf_put(v->out, "\n", 1);
    v->lines++;
}

/* @text in @width columns, at the left; what is too long is cut. */
static void left(struct view *v, const char *text, unsigned width)
{
    struct textbuf t;
    size_t columns = 0;

    textbuf_init(&t);
    status_plain(&t, text, width);
    for (size_t i = 0; i < t.len; i++)
        columns += ((unsigned char)t.p[i] & 0xc0) != 0x80;
    textbuf_put(v->out, t.p != NULL ? t.p : "", t.len);
    textbuf_fini(&t);
    for (; columns < width; columns++)
        textbuf_put(v->out, " ", 1);
}

static void right(struct view *v, const char *text, int width)
{
    textbuf_printf(v->out, " %*s", width, text);
}

static void right_num(struct view *v, uint64_t n, int width)
{
    textbuf_printf(v->out, " %*" PRIu64, width, n);
}

static void right_bytes(struct view *v, uint64_t n, int width)
{
    char word[STATUS_WORD_MAX];
    right(v, n > 0 ? status_bytes(word, n) : "-", width);
}

static char *ago(char dst[STATUS_WORD_MAX], const struct view *v, uint64_t at)
{
    return status_span(dst, v->now > (int64_t)at ? (uint64_t)v->now - at : 0);
}

/* Where a line of @width bytes at @at ends: at a blank, else between two characters. */
static size_t line_end(const struct textbuf *t, size_t at, size_t width)
{
    size_t end = t->len - at > width ? at + width : t->len, blank = end;

    if (end == t->len)
        return end;
    while (blank > at && t->p[blank] != ' ')
        blank--;
    if (blank > at)
        return blank;
    while (end > at + 1 && ((unsigned char)t->p[end] & 0xc0) == 0x80)
        end--;
    return end;
}

/* On as many lines as it takes, on one of a small screen. */
static void show_problem(struct view *v, const char *text)
{
    size_t width = v->style->width - 4;
    struct textbuf t;

    textbuf_init(&t);
    status_plain(&t, text, v->style->brief ? width : SIZE_MAX);
    for (size_t at = 0; at < t.len;) {
        size_t end = line_end(&t, at, width);
        color(v, RED);
        textbuf_puts(v->out, at == 0 ? "  ! " : "    ");
        textbuf_put(v->out, t.p + at, end - at);
        color(v, PLAIN);
        end_line(v);
        at = end < t.len && t.p[end] == ' ' ? end + 1 : end;
    }
    textbuf_fini(&t);
}

/* ---- process and workers --------------------------------------------------------------------- */

static void show_process(struct view *v, const struct json_t *doc)
{
    const struct json_t *p = json_get(doc, "process");
    char up[STATUS_WORD_MAX], memory[STATUS_WORD_MAX];

    color(v, BOLD);
    textbuf_puts(v->out, "v2sp ");
    status_plain(v->out, json_get_str(p, "version", "?"), 20);
    color(v, PLAIN);
    textbuf_printf(v->out,
                   "   pid %" PRIu64 "   up %s   memory %s   files %" PRIu64 "/%" PRIu64
                   "   cpu %" PRIu64 ".%" PRIu64 " s",
                   num(p, "pid"), status_span(up, num(p, "uptime")),
                   status_bytes(memory, num(p, "rss")), num(p, "fds"), num(p, "fds_max"),
                   num(p, "cpu_us") / 1000000, num(p, "cpu_us") / 100000 % 10);
    end_line(v);
}

static void show_workers(struct view *v, const struct json_t *doc)
{
    const struct json_t *list = json_get(doc, "workers");
    uint64_t sessions = 0, memory = 0, max = 0, busy = 0, most = 0, longest = 0;
    size_t n = json_array_len(list);
    char a[STATUS_WORD_MAX], b[STATUS_WORD_MAX];

    for (size_t i = 0; i < n; i++) {
        const struct json_t *w = json_at(list, i);
        sessions += num(w, "sessions");
        memory += num(w, "memory");
        max += num(w, "memory_max");
        busy += num(w, "busy");
        most = num(w, "busy") > most ? num(w, "busy") : most;
        longest = num(w, "longest_us") > longest ? num(w, "longest_us") : longest;
    }
    textbuf_printf(v->out,
                   "%zu workers   sessions %" PRIu64 "   buffers %s of %s   busy %" PRIu64
                   "%%, the most %" PRIu64 "%%   longest turn %" PRIu64 ".%" PRIu64 " ms",
                   n, sessions, status_bytes(a, memory), max > 0 ? status_bytes(b, max) : "-",
                   n > 0 ? busy / n / 10 : 0, most / 10, longest / 1000, longest / 100 % 10);
    end_line(v);
}

static void show_stores(struct view *v, const struct json_t *doc)
{
    const struct json_t *list = json_get(doc, "device_stores");
    char since[STATUS_WORD_MAX];

    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *s = json_at(list, i);
        const char *state = json_get_str(s, "state", "?"),
                   *error = json_get_str(s, "last_error", "");
        bool works = strcmp(state, "connected") == 0, aside = num(s, "foreign_keys") > 0;
        if (v->style->brief && works && !aside)
            continue;
        color(v, !works ? RED : aside ? YELLOW : "");
        textbuf_puts(v->out, "device store ");
        status_plain(v->out, json_get_str(s, "address", "?"), 30);
        textbuf_puts(v->out, ": ");
        status_plain(v->out, state, 12);
        textbuf_printf(v->out, " for %s, answered %" PRIu64 ", failed %" PRIu64,
                       ago(since, v, num(s, "since")), num(s, "answered"), num(s, "failed"));
        if (aside)
            textbuf_printf(v->out, ", foreign keys %" PRIu64, num(s, "foreign_keys"));
        color(v, PLAIN);
        end_line(v);
        if (!works)
            show_problem(v, error);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static bool is_wide(const struct view *v)
{
    return v->style->width >= WIDE;
}

/* Of the name of a node: what the other columns leave. */
static unsigned tag_width(const struct view *v)
{
    unsigned rest = is_wide(v) ? 79 : 66;
    return v->style->width > rest + 8 ? v->style->width - rest : 8;
}

static void show_nodes_head(struct view *v)
{
    color(v, DIM);
    left(v, "NODE", tag_width(v));
    textbuf_put(v->out, " ", 1);
    left(v, "PROTOCOL", is_wide(v) ? 18 : 12);
    right(v, "PORT", 5);
    textbuf_put(v->out, " ", 1);
    left(v, "STATE", 8);
    if (is_wide(v))
        right(v, "SINCE", 6);
    right(v, "USERS", 6);
    right(v, "ON", 5);
    right(v, "CONNS", 6);
    right(v, "UP/s", 8);
    right(v, "DOWN/s", 8);
    color(v, PLAIN);
    end_line(v);
}

static void show_node_line(struct view *v, const struct json_t *n)
{
    const char *state = json_get_str(n, "state", "?"), *security = json_get_str(n, "security", "");
    bool bare = security[0] == '\0' || strcmp(security, "none") == 0;
    char protocol[80], since[STATUS_WORD_MAX];

    snprintf(protocol, sizeof(protocol), "%.20s%s%.20s%s%.20s", json_get_str(n, "protocol", ""),
             json_get_str(n, "transport", "")[0] != '\0' ? "/" : "",
             json_get_str(n, "transport", ""), bare ? "" : "/", bare ? "" : security);
    left(v, json_get_str(n, "tag", "?"), tag_width(v));
    textbuf_put(v->out, " ", 1);
    left(v, protocol, is_wide(v) ? 18 : 12);
    right_num(v, num(n, "port"), 5);
    textbuf_put(v->out, " ", 1);
    color(v, json_get_bool(n, "serving", false) ? GREEN : RED);
    left(v, state, 8);
    color(v, PLAIN);
    if (is_wide(v))
        right(v, ago(since, v, num(n, "since")), 6);
    right_num(v, num(n, "users"), 6);
    right_num(v, num(n, "users_online"), 5);
    right_num(v, num2(n, "connections", "open"), 6);
    right_bytes(v, num2(n, "rate", "up"), 8);
    right_bytes(v, num2(n, "rate", "down"), 8);
    end_line(v);
}

static void show_panel(struct view *v, const struct json_t *n)
{
    const struct json_t *p = json_get(n, "panel");
    uint64_t answered = num(p, "answered"), reported = num(p, "reported");
    char a[STATUS_WORD_MAX], b[STATUS_WORD_MAX];

    textbuf_puts(v->out, "  panel: ");
    if (answered > 0)
        textbuf_printf(v->out, "answered %s ago", ago(a, v, answered));
    else
        textbuf_puts(v->out, "has not answered yet");
    textbuf_printf(v->out, ", asked again in %s", status_span(a, num(p, "next_poll_ms") / 1000));
    if (reported > 0)
        textbuf_printf(v->out, ", took a report %s ago", ago(a, v, reported));
    textbuf_printf(v->out, ", has %s up and %s down",
                   status_bytes(a, num2(p, "acknowledged", "up")),
                   status_bytes(b, num2(p, "acknowledged", "down")));
    end_line(v);
}

static void show_spool(struct view *v, const struct json_t *n)
{
    const struct json_t *s = json_get(n, "spool");
    uint64_t parked = num(s, "parked"), tried = num(s, "tried");
    char a[STATUS_WORD_MAX], b[STATUS_WORD_MAX];

    if (num(s, "accounts") == 0 && num(s, "batches") == 0)
        return;
    textbuf_printf(v->out, "  spool: %s up and %s down wait, of %" PRIu64 " accounts",
                   status_bytes(a, num(s, "up")), status_bytes(b, num(s, "down")),
                   num(s, "accounts"));
    if (num(s, "batches") > 0)
        textbuf_printf(v->out, " and %" PRIu64 " batches", num(s, "batches"));
    if (tried > parked)
        textbuf_printf(v->out, ", %" PRIu64 " tried", tried - parked);
    if (num(s, "oldest") > 0)
        textbuf_printf(v->out, ", oldest %s", ago(a, v, num(s, "oldest")));
    end_line(v);
    if (parked == 0)
        return;
    color(v, YELLOW);
    textbuf_printf(v->out, "  spool: parked batches: %" PRIu64 "; see: v2sp spool list", parked);
    color(v, PLAIN);
    end_line(v);
}

static void show_blocked(struct view *v, const struct json_t *n)
{
    const struct json_t *b = json_get(n, "blocked"), *rules = json_get(b, "rules");

    if (num(b, "hits") == 0)
        return;
    textbuf_printf(v->out, "  blocked: %" PRIu64, num(b, "hits"));
    for (size_t i = 0; i < json_array_len(rules) && i < 2; i++) {
        textbuf_printf(v->out, "%s %" PRIu64 " by ", i == 0 ? ", the most" : ",",
                       num(json_at(rules, i), "hits"));
        status_plain(v->out, json_get_str(json_at(rules, i), "rule", "?"), 24);
    }
    end_line(v);
}

static void show_certificate(struct view *v, const struct json_t *n)
{
    const struct json_t *c = json_get(n, "certificate");
    int64_t left_s = (int64_t)num(c, "expires") - v->now;

    if (c == NULL || num(c, "expires") == 0)
        return;
    bool soon = left_s < 14 * 86400;
    if (v->style->brief && !soon)
        return;
    color(v, left_s < 0 ? RED : soon ? YELLOW : "");
    textbuf_printf(v->out, "  certificate: ");
    status_plain(v->out, json_get_str(c, "domain", ""), 40);
    textbuf_printf(v->out, " (%s), ", json_get_str(c, "mode", "?"));
    if (left_s < 0)
        textbuf_printf(v->out, "ended %" PRId64 " days ago", -left_s / 86400);
    else
        textbuf_printf(v->out, "ends in %" PRId64 " days", left_s / 86400);
    color(v, PLAIN);
    end_line(v);
}

static void show_node(struct view *v, const struct json_t *n)
{
    if (!has_room(v))
        return;
    show_node_line(v, n);
    show_problem(v, json_get_str(n, "problem", ""));
    if (!v->style->brief) {
        show_panel(v, n);
        show_spool(v, n);
        show_blocked(v, n);
    }
    show_certificate(v, n);
}

static bool is_wanted(const struct view *v, const char *tag)
{
    return v->style->node == NULL || strcmp(tag, v->style->node) == 0;
}

static void show_nodes(struct view *v, const struct json_t *doc)
{
    const struct json_t *list = json_get(doc, "nodes");

    end_line(v);
    show_nodes_head(v);
    for (size_t i = 0; i < json_array_len(list); i++)
        if (is_wanted(v, json_get_str(json_at(list, i), "tag", "")))
            show_node(v, json_at(list, i));
}

/* ---- users ----------------------------------------------------------------------------------- */

static uint64_t weight(const struct json_t *u, enum status_sort sort)
{
    switch (sort) {
    case SORT_DOWN:
        return num2(u, "rate", "down");
    case SORT_UP:
        return num2(u, "rate", "up");
    case SORT_CONNECTIONS:
        return num(u, "connections");
    case SORT_DEVICES:
        return num(u, "devices");
    case SORT_BYTES:
        return num2(u, "bytes", "up") + num2(u, "bytes", "down");
    default:
        return num2(u, "rate", "up") + num2(u, "rate", "down");
    }
}

struct row {
    const struct json_t *user;
    uint64_t weight;
    size_t place; /* equal ones stay as they came */
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static unsigned user_tag_width(const struct view *v)
{
    unsigned rest = is_wide(v) ? 82 : 64;
    return v->style->width > rest + 8 ? v->style->width - rest : 8;
}

static void show_users_head(struct view *v)
{
    color(v, DIM);
    left(v, "USER", 10);
    textbuf_put(v->out, " ", 1);
    left(v, "NODE", user_tag_width(v));
    right(v, "UP/s", 8);
    right(v, "DOWN/s", 8);
    if (is_wide(v)) {
        right(v, "UP", 8);
        right(v, "DOWN", 8);
    }
    right(v, "CONNS", 9);
    right(v, "DEVICES", 9);
    right(v, "LIMIT", 11);
    color(v, PLAIN);
    end_line(v);
}

/* "12/64", without a limit "12". */
static void right_of(struct view *v, uint64_t n, uint64_t limit, int width)
{
    char text[48];

    snprintf(text, sizeof(text), limit > 0 ? "%" PRIu64 "/%" PRIu64 : "%" PRIu64, n, limit);
    right(v, text, width);
}

static void show_user(struct view *v, const struct json_t *u)
{
    char uid[24], limit[40] = "-";

    snprintf(uid, sizeof(uid), "%" PRIu64, num(u, "uid"));
    if (milli(u, "speed_mbps") > 0)
        snprintf(limit, sizeof(limit), "%g Mbit/s%s", (double)milli(u, "speed_mbps") / 1000,
                 milli(u, "dynamic_mbps") > 0 ? "!" : ""); /* for a while */
    left(v, uid, 10);
    textbuf_put(v->out, " ", 1);
    left(v, json_get_str(u, "node", "?"), user_tag_width(v));
    right_bytes(v, num2(u, "rate", "up"), 8);
    right_bytes(v, num2(u, "rate", "down"), 8);
    if (is_wide(v)) {
        right_bytes(v, num2(u, "bytes", "up"), 8);
        right_bytes(v, num2(u, "bytes", "down"), 8);
    }
    right_of(v, num(u, "connections"), num(u, "connection_limit"), 9);
    right_of(v, num(u, "devices") + num(u, "devices_elsewhere"), num(u, "device_limit"), 9);
    right(v, limit, 11);
    end_line(v);
}

static void show_users(struct view *v, const struct json_t *doc)
{
    const struct json_t *list = json_get(doc, "users");
    size_t n = json_array_len(list), count = 0, shown = 0;
    bool crowded = v->style->lines != 0 && v->lines + 3 > v->style->lines;
    struct row *rows = crowded ? NULL : calloc(n + 1, sizeof(*rows));

    if (rows == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct json_t *u = json_at(list, i);
        if (is_wanted(v, json_get_str(u, "node", "")))
            rows[count++] =
                (struct row){.user = u, .weight = weight(u, v->style->sort), .place = i};
    }
    qsort(rows, count, sizeof(*rows), compare_rows);
    end_line(v);
    show_users_head(v);
    for (; shown < count && has_room(v); shown++)
        show_user(v, rows[shown].user);
    free(rows);
    uint64_t active = num(doc, "users_active");
    if (active > shown && v->style->lines == 0) {
        textbuf_printf(v->out, "%" PRIu64 " more; --users N or --all lists them", active - shown);
        end_line(v);
    } else if (active == 0 && has_room(v)) {
        textbuf_puts(v->out, "nobody is online");
        end_line(v);
    }
}

/* ---- all ------------------------------------------------------------------------------------- */

void status_view(struct textbuf *out, const struct json_t *doc, const struct status_style *style)
{
    struct view v = {.out = out, .style = style, .now = json_get_int(doc, "time", 0)};

    show_process(&v, doc);
    show_workers(&v, doc);
    show_stores(&v, doc);
    show_nodes(&v, doc);
    show_users(&v, doc);
}

bool status_has_node(const struct json_t *doc, const char *tag)
{
    const struct json_t *list = json_get(doc, "nodes");

    for (size_t i = 0; i < json_array_len(list); i++)
        if (strcmp(json_get_str(json_at(list, i), "tag", ""), tag) == 0)
            return true;
    return false;
}

bool status_all_serve(const struct json_t *doc)
{
    const struct json_t *list = json_get(doc, "nodes");

    for (size_t i = 0; i < json_array_len(list); i++) {
        const struct json_t *n = json_at(list, i);
        if (!json_get_bool(n, "serving", false) &&
            strcmp(json_get_str(n, "state", ""), "draining") != 0)
            return false;
    }
    return true;
}
