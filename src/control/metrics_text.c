#include "control/metrics_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *room(struct metrics_text *t, size_t n)
{
    if (t->failed)
        return NULL;
    if (t->cap - t->len < n) {
        size_t cap = t->cap > 0 ? t->cap * 2 : 16384;
        while (cap < t->len + n)
            cap *= 2;
        char *p = cap <= METRICS_TEXT_MAX ? realloc(t->p, cap) : NULL;
        if (p == NULL) {
            t->failed = true;
            return NULL;
        }
        t->p = p;
        t->cap = cap;
    }
    return t->p + t->len;
}

void metrics_raw(struct metrics_text *t, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
    char *p = room(t, len);
    if (p == NULL)
        return;
    memcpy(p, line, len);
    t->len += len;
}

void metrics_family(struct metrics_text *t, const char *name, const char *type, const char *help)
{
    t->family = name;
    metrics_raw(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_escaped(struct metrics_text *t, const char *text)
{
    char *p = room(t, 2 * strlen(text));

    for (; p != NULL && *text != '\0'; text++) {
        bool special = *text == '\\' || *text == '"' || *text == '\n';
        if (special)
            *p++ = '\\';
        *p++ = *text == '\n' ? 'n' : *text;
        t->len += special ? 2 : 1;
    }
}

void metrics_value(struct metrics_text *t, const struct metrics_label labels[4], uint64_t value)
{
    metrics_raw(t, "%s", t->family);
    for (size_t i = 0; labels != NULL && i < 4 && labels[i].name != NULL; i++) {
        metrics_raw(t, "%s%s=\"", i == 0 ? "{" : ",", labels[i].name);
        put_escaped(t, labels[i].value);
        metrics_raw(t, "\"");
    }
    metrics_raw(t, "%s %" PRIu64 "\n", labels != NULL && labels[0].name != NULL ? "}" : "", value);
}

void metrics_seconds(struct metrics_text *t, uint64_t us)
{
    metrics_raw(t, "%s %" PRIu64 ".%06" PRIu64 "\n", t->family, us / 1000000, us % 1000000);
}

void metrics_json_text(struct metrics_text *t, const char *text)
{
    metrics_raw(t, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == '"' || *c == '\\')
            metrics_raw(t, "\\u%04x", *c);
        else
            metrics_raw(t, "%c", *c);
    }
    metrics_raw(t, "\"");
}
