#include "app/cmd_panel.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/textbuf.h"

#define DAY_S INT64_C(86400)

bool panel_read_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || isspace((unsigned char)text[0]))
        return false;
    *out = v;
    return v >= min && v <= max;
}

bool panel_read_size(const char *text, int64_t *out)
{
    static const char units[] = "KMGTP";
    char *end;
    if (strcmp(text, "none") == 0) {
        *out = 0;
        return true;
    }
    if (!isdigit((unsigned char)text[0]))
        return false;
    double v = strtod(text, &end);
    const char *unit = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit != NULL) {
        end++;
        double base = strcmp(end, "B") == 0 ? 1000 : 1024;
        end += strcmp(end, "iB") == 0 ? 2 : strcmp(end, "B") == 0;
        for (const char *u = units; u <= unit; u++)
            v *= base;
    } else if (strcmp(end, "B") == 0) {
        end++;
    }
    if (*end != '\0' || !(v >= 0 && v <= (double)(INT64_C(1) << 60)))
        return false;
    *out = (int64_t)v;
    return true;
}

static bool read_date(const char *text, int64_t *out)
{
    struct tm day = {0};
    const char *end = strptime(text, "%Y-%m-%d", &day);
    if (end == NULL || *end != '\0')
        return false;
    struct tm normal = day;
    time_t start = timegm(&normal);
    /* timegm makes 3 March of 31 February. */
    if (normal.tm_mday != day.tm_mday || normal.tm_mon != day.tm_mon || start < 0)
        return false;
    *out = (int64_t)start + DAY_S;
    return true;
}

bool panel_read_expiry(const char *text, int64_t now, int64_t *out)
{
    char *end;
    if (strcmp(text, "never") == 0) {
        *out = 0;
        return true;
    }
    if (read_date(text, out))
        return true;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    int64_t unit = strcmp(end, "d") == 0 ? DAY_S : strcmp(end, "h") == 0 ? 3600 : 0;
    if (errno != 0 || unit == 0 || n > 100 * 366 * 24)
        return false;
    *out = now + n * unit;
    return true;
}

char *panel_size_str(char dst[PANEL_VALUE_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    size_t i = 0;
    while (v >= 1000 && i < 6) {
        v /= 1024;
        i++;
    }
    int digits = i == 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2;
    snprintf(dst, PANEL_VALUE_MAX, "%.*f %s", digits, v, units[i]);
    return dst;
}

char *panel_expiry_str(char dst[PANEL_VALUE_MAX], int64_t expires)
{
    if (expires == 0) {
        snprintf(dst, PANEL_VALUE_MAX, "never");
        return dst;
    }
    bool whole_day = expires % DAY_S == 0;
    time_t shown = (time_t)(whole_day ? expires - DAY_S : expires);
    struct tm tm;
    if (gmtime_r(&shown, &tm) == NULL ||
        strftime(dst, PANEL_VALUE_MAX, whole_day ? "%Y-%m-%d" : "%Y-%m-%d %H:%MZ", &tm) == 0)
        snprintf(dst, PANEL_VALUE_MAX, "%lld", (long long)expires);
    return dst;
}

char *panel_ago_str(char dst[PANEL_VALUE_MAX], int64_t then, int64_t now)
{
    int64_t ago = now > then ? now - then : 0;
    if (then == 0)
        snprintf(dst, PANEL_VALUE_MAX, "never");
    else if (ago < 60)
        snprintf(dst, PANEL_VALUE_MAX, "%lld s ago", (long long)ago);
    else if (ago < 2 * 3600)
        snprintf(dst, PANEL_VALUE_MAX, "%lld min ago", (long long)(ago / 60));
    else if (ago < 2 * DAY_S)
        snprintf(dst, PANEL_VALUE_MAX, "%lld h ago", (long long)(ago / 3600));
    else
        snprintf(dst, PANEL_VALUE_MAX, "%lld days ago", (long long)(ago / DAY_S));
    return dst;
}

char *panel_limit_str(char dst[PANEL_VALUE_MAX], int64_t limit)
{
    if (limit == 0)
        snprintf(dst, PANEL_VALUE_MAX, "-");
    else
        snprintf(dst, PANEL_VALUE_MAX, "%lld", (long long)limit);
    return dst;
}

/* Characters, not bytes: names are UTF-8. (Wide East Asian ones count as one; the table is then a
 * little off.) */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void panel_table_cell(struct panel_table *t, const char *text)
{
    textbuf_put(t->cells, text, strlen(text) + 1);
}

static void pad(struct textbuf *out, size_t n)
{
    for (; n > 0; n--)
        textbuf_put(out, " ", 1);
}

void panel_table_write(const struct panel_table *t, struct textbuf *out)
{
    size_t widest[PANEL_COLUMNS_MAX] = {0};
    const char *end = t->cells->p + t->cells->len;
    int i = 0;
    if (t->cells->failed) {
        out->failed = true;
        return;
    }
    for (const char *p = t->cells->p; p < end; p += strlen(p) + 1, i = (i + 1) % t->columns) {
        size_t w = width_of(p);
        widest[i] = w > widest[i] ? w : widest[i];
    }
    i = 0;
    for (const char *p = t->cells->p; p < end; p += strlen(p) + 1, i = (i + 1) % t->columns) {
        size_t missing = widest[i] - width_of(p);
        bool right = (t->right >> i & 1) != 0, last = i == t->columns - 1;
        pad(out, right ? missing : 0);
        textbuf_puts(out, p);
        pad(out, right || last ? 0 : missing);
        textbuf_puts(out, last ? "\n" : "  ");
    }
}

void panel_list_begin(struct panel_list *l, const char *const *head)
{
    l->table.cells = &l->cells;
    for (int i = 0; i < l->table.columns; i++)
        panel_table_cell(&l->table, head[i]);
    textbuf_puts(&l->out, l->cli->json ? "[" : "");
}

void panel_list_row(struct panel_list *l)
{
    if (l->cli->json && l->count > 0)
        textbuf_puts(&l->out, ",\n");
    l->count++;
}

int panel_list_end(struct panel_list *l, enum status st, const char *none)
{
    int status;

    if (st != ST_OK) {
        status = panel_db_failed(l->cli);
        textbuf_fini(&l->out);
    } else {
        if (l->cli->json)
            textbuf_puts(&l->out, "]\n");
        else if (l->count == 0)
            textbuf_puts(&l->out, none);
        else
            panel_table_write(&l->table, &l->out);
        status = panel_print(l->cli, &l->out);
    }
    textbuf_fini(&l->cells);
    return status;
}
