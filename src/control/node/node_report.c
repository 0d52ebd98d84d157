#include "control/node/node_report.h"

#include <stdlib.h>

#include "control/node/node.h"

#define REPLY_MAX (64u * 1024)

enum status node_report_open(struct node_report *t)
{
    char *p = malloc(1024);

    if (p == NULL)
        return ST_E_NOMEM;
    *t = (struct node_report){.room = 1024};
    v2sp_body_open(&t->b, p);
    return ST_OK;
}

enum status node_report_room(struct node_report *t)
{
    if (t->room - t->b.len >= V2SP_BODY_STEP)
        return ST_OK;
    char *p = realloc(t->b.text, t->room * 2);
    if (p == NULL)
        return ST_E_NOMEM;
    t->b.text = p;
    t->room *= 2;
    return ST_OK;
}

struct panel_call *node_report_post(struct node *n, enum v2sp_action action,
                                    struct node_report *own, const char *key, uint64_t seq,
                                    void (*done)(void *arg, const struct panel_reply *), void *arg)
{
    char url[V2SP_URL_MAX];
    struct panel_request q = {.api = &n->conf->api,
                              .url = url,
                              .post = true,
                              .own_body = own->b.text,
                              .body_len = own->b.len,
                              .idempotency_key = key,
                              .seq = seq,
                              .reply_max = REPLY_MAX,
                              .done = done,
                              .arg = arg};

    if (node_url(n, action, url))
        return panel_start(n->env->client, &q);
    free(own->b.text);
    return NULL;
}

uint64_t node_report_interval(const struct node *n)
{
    return (n->served != NULL ? n->served->push_s : 60u) * UINT64_C(1000);
}
