#include "control/node/node_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "control/node/node.h"
#include "control/node/node_hits.h"
#include "control/node/rule_lists.h"
#include "panel/v2sp/node_object.h"

void node_rules_free(struct node_rules *r)
{
    if (r == NULL)
        return;
    rule_list_unref(r->panel);
    rule_list_unref(r->file);
    node_hits_unref(r->hits);
    free(r);
}

static void say_notes(const struct node *n, const struct rule_list *l, const struct rule_list *had)
{
    const char *source = l != NULL && l->path != NULL ? l->path : "routes";

    if (l == NULL || l == had)
        return;
    for (unsigned i = 0; i < l->note_count; i++)
        node_log(n, LOG_WARNING, "%s: %s", source, l->notes[i]);
    if (l->more > 0)
        node_log(n, LOG_WARNING, "%s: %zu more rules are skipped", source, l->more);
}

static void say(const struct node *n, const struct node_rules *r)
{
    static const struct node_rules none = {.panel = NULL};
    const struct node_rules *had =
        n->served != NULL && n->served->rules != NULL ? n->served->rules : &none;

    if (r->panel == had->panel && r->file == had->file)
        return;
    say_notes(n, r->panel, had->panel);
    say_notes(n, r->file, had->file);
    if (r->file != NULL)
        node_log(n, LOG_INFO, "block rules: %u of the panel, %u of %s", rule_list_count(r->panel),
                 rule_list_count(r->file), r->file->path);
    else if (rule_list_count(r->panel) + rule_list_count(had->panel) > 0 || had->file != NULL)
        node_log(n, LOG_INFO, "block rules: %u of the panel", rule_list_count(r->panel));
}

static void say_unreadable(struct node *n, const char *path, int error, bool kept)
{
    const char *text = error == EFBIG    ? "it is larger than 16 MiB"
                       : error == EINVAL ? "it is no plain file"
                                         : strerror(error);

    node_trouble_set(n, &n->rules_trouble, (uint64_t)error + 1, "RuleListPath %.80s: %s; %s", path,
                     text, kept ? "the rules it had go on" : "none of its rules hold");
}

static struct rule_list *load_file(struct node *n)
{
    const char *path = n->conf->options.rule_list;
    struct rule_list *had =
        n->served != NULL && n->served->rules != NULL ? n->served->rules->file : NULL;
    struct rule_list *l = NULL;
    int error = 0;

    if (path[0] == '\0') {
        node_trouble_clear(n, &n->rules_trouble, NULL);
        return NULL;
    }
    enum status st = rule_lists_file(n->env->rules, path, &l, &error);
    if (st == ST_OK) {
        node_trouble_clear(n, &n->rules_trouble, NULL);
        return l;
    }
    if (had != NULL && strcmp(had->path, path) != 0)
        had = NULL;
    say_unreadable(n, path, st == ST_E_IO ? error : ENOMEM, had != NULL);
    return rule_list_ref(had);
}

static struct rule_list *load_panel(struct node *n, const struct json_t *reply)
{
    struct v2sp_node_object object;
    struct v2sp_reply_error err;
    struct rule_list *l = NULL;

    if (n->conf->options.no_panel_rules ||
        v2sp_node_object_read(reply, (int64_t)n->conf->api.node_id, &object, &err) != ST_OK)
        return NULL;
    if (rule_lists_panel(n->env->rules, object.routes, &l) != ST_OK) {
        node_log(n, LOG_WARNING, "routes: no memory for the block rules");
        /* The last ones are better than none. */
        return n->served != NULL && n->served->rules != NULL
                   ? rule_list_ref(n->served->rules->panel)
                   : NULL;
    }
    return l;
}

static void add_list(struct audit *a, const struct rule_list *l)
{
    if (l != NULL && l->list != NULL)
        a->lists[a->count++] = l->list;
}

void node_rules_load(struct node *n, const struct json_t *reply, struct served_node *s)
{
    struct node_rules *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        node_log(n, LOG_WARNING, "no memory for the block rules");
        return;
    }
    r->panel = load_panel(n, reply);
    r->file = load_file(n);
    say(n, r);
    if (r->panel == NULL && r->file == NULL) {
        free(r);
        return;
    }
    add_list(&r->audit, r->panel);
    add_list(&r->audit, r->file);
    s->rules = r;
    if (r->audit.count == 0)
        return;
    r->hits = node_hits_ref(n);
    s->node.audit = &r->audit;
    s->node.audit_hits = node_hits_counted(n);
}

bool node_rules_stale(struct node *n)
{
    const char *path = n->conf->options.rule_list;
    const struct rule_list *l =
        n->served != NULL && n->served->rules != NULL ? n->served->rules->file : NULL;
    struct stat st;

    if (path[0] == '\0')
        return false;
    if (stat(path, &st) != 0) {
        say_unreadable(n, path, errno, l != NULL);
        return false;
    }
    return l == NULL || rule_list_is_stale(l);
}
