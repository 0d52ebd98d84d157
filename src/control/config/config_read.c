#include "control/config/config_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"

struct config_note {
    struct config_note *next;
    struct config_finding f;
};

void *config_alloc(struct config_reader *r, size_t size)
{
    void *p = arena_alloc(r->a, size);
    if (p == NULL)
        r->nomem = true;
    return p;
}

const char *config_copy_part(struct config_reader *r, const char *text, size_t len)
{
    char *p = arena_strndup(r->a, text, len);
    if (p == NULL)
        r->nomem = true;
    return p != NULL ? p : "";
}

const char *config_copy(struct config_reader *r, const char *text)
{
    return config_copy_part(r, text, strlen(text));
}

static void report_to_panel(struct config_reader *r, const struct config_path *at, const char *fmt,
                            va_list ap)
{
    char key[96], text[CONFIG_PROBLEM_MAX];
    if (r->problem == NULL || r->problem[0] != '\0')
        return;
    vsnprintf(text, sizeof(text), fmt, ap);
    config_path_str(at, key, sizeof(key));
    snprintf(r->problem, CONFIG_PROBLEM_MAX, "%s: %.*s", key,
             (int)(CONFIG_PROBLEM_MAX - sizeof(key) - 3), text);
}

void config_report(struct config_reader *r, enum config_severity s, const struct config_path *at,
                   const char *fmt, ...)
{
    char text[400], key[200];
    va_list ap;
    va_start(ap, fmt);
    if (r->panel) {
        if (s == CONFIG_ERROR)
            report_to_panel(r, at, fmt, ap);
        va_end(ap);
        return;
    }
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);

    struct config *cfg = r->cfg;
    *(s == CONFIG_ERROR ? &cfg->errors : s == CONFIG_WARNING ? &cfg->warnings : &cfg->notices) += 1;
    if (s == CONFIG_ERROR)
        r->node_bad = true;
    if (cfg->finding_count >= CONFIG_FINDINGS_MAX)
        return;
    struct config_note *n = config_alloc(r, sizeof(*n));
    if (n == NULL)
        return;
    n->f = (struct config_finding){
        .severity = s,
        .file = r->file.name,
        .node = r->node,
        .key = config_copy(r, config_path_str(at, key, sizeof(key))),
        .text = config_copy(r, text),
    };
    if (r->file.text != NULL)
        config_where(r->file.text, r->file.len, at, &n->f.line, &n->f.column);
    if (r->last != NULL)
        r->last->next = n;
    else
        r->first = n;
    r->last = n;
    cfg->finding_count++;
}

void config_report_json(struct config_reader *r, const struct json_error *err)
{
    size_t before = r->cfg->finding_count;
    config_report(r, CONFIG_ERROR, NULL, "%s", err->text);
    if (r->cfg->finding_count != before) {
        r->last->f.line = err->line;
        r->last->f.column = err->column;
    }
}

void config_report_end(struct config_reader *r)
{
    struct config_finding *list = config_alloc(r, (r->cfg->finding_count + 1) * sizeof(*list));
    size_t n = 0;
    if (list == NULL) {
        r->cfg->finding_count = 0;
        return;
    }
    for (struct config_note *i = r->first; i != NULL; i = i->next)
        list[n++] = i->f;
    r->cfg->findings = list;
    r->cfg->finding_count = n;
}
