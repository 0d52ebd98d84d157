/* The files a configuration comes from, for who watches them. */
#include "control/config/config_keys.h"

#include <string.h>

void config_source_add(struct config_reader *r, const char *path)
{
    if (path[0] == '\0')
        return;
    for (const struct config_source *s = r->cfg->sources; s != NULL; s = s->next)
        if (strcmp(s->path, path) == 0)
            return;
    struct config_source *s = config_alloc(r, sizeof(*s));
    if (s == NULL)
        return;
    *s = (struct config_source){.next = r->cfg->sources, .path = config_copy(r, path)};
    r->cfg->sources = s;
}

void config_source_add_node(struct config_reader *r, const struct config_node *n)
{
    config_source_add(r, n->api.ca);
    config_source_add(r, n->options.rule_list);
    /* What we make ourselves is nobody's change. */
    if (n->options.cert.mode == CONFIG_CERT_NONE || n->options.cert.mode == CONFIG_CERT_SELF)
        return;
    config_source_add(r, n->options.cert.cert_file);
    config_source_add(r, n->options.cert.key_file);
}
