#include "control/admin/metrics_text.h"

#include <inttypes.h>
#include <string.h>

void metrics_family(struct metrics_text *t, const char *name, const char *type, const char *help)
{
    t->family = name;
    textbuf_printf(t->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_escaped(struct metrics_text *t, const char *text)
{
    char *p = textbuf_room(t->text, 2 * strlen(text));

    for (; p != NULL && *text != '\0'; text++) {
        bool special = *text == '\\' || *text == '"' || *text == '\n';
        if (special)
            *p++ = '\\';
        *p++ = *text == '\n' ? 'n' : *text;
        t->text->len += special ? 2 : 1;
    }
}

static void put_name(struct metrics_text *t, const struct metrics_label labels[4])
{
    textbuf_printf(t->text, "%s", t->family);
    for (size_t i = 0; labels != NULL && i < 4 && labels[i].name != NULL; i++) {
        textbuf_printf(t->text, "%s%s=\"", i == 0 ? "{" : ",", labels[i].name);
        put_escaped(t, labels[i].value);
        textbuf_printf(t->text, "\"");
    }
    textbuf_printf(t->text, "%s", labels != NULL && labels[0].name != NULL ? "}" : "");
}

void metrics_value(struct metrics_text *t, const struct metrics_label labels[4], uint64_t value)
{
    put_name(t, labels);
    textbuf_printf(t->text, " %" PRIu64 "\n", value);
}

void metrics_seconds(struct metrics_text *t, const struct metrics_label labels[4], uint64_t us)
{
    put_name(t, labels);
    textbuf_printf(t->text, " %" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}
