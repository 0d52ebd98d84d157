/* What a panel may say about a node's options. (docs/panel-api.md, "config".) */
#include "control/config/config_keys.h"

#include "codec/json.h"

/* The NodeID of an entry in either layout, 0 if it has none. */
static int64_t entry_id(const struct json_t *entry)
{
    const struct json_t *api = json_get(entry, "ApiConfig");
    return json_get_int(json_is_object(api) ? api : entry, "NodeID", 0);
}

/* Our entry in a reply shaped like a configuration file, @reply itself in a flat one, NULL if
 * neither. */
static const struct json_t *find_entry(const struct config_node *node, const struct json_t *reply)
{
    const struct json_t *list = json_get(reply, "Nodes");
    if (!json_is_object(reply))
        return NULL;
    if (list == NULL)
        return reply;
    if (!json_is_array(list))
        return json_is_object(list) ? list : NULL;
    for (size_t i = 0; i < json_array_len(list); i++)
        if (entry_id(json_at(list, i)) == (int64_t)node->api.node_id)
            return json_at(list, i);
    return json_array_len(list) == 1 ? json_at(list, 0) : NULL;
}

const struct json_t *config_node_reply(const struct config_node *node, const struct json_t *reply)
{
    /* Both at once happens: listener at the top level, options in Nodes. */
    if (json_get(reply, "server_port") != NULL)
        return reply;
    return find_entry(node, reply);
}

enum status config_node_merge(struct arena *a, const struct config_node *node,
                              const struct json_t *reply, struct config_options *out,
                              char problem[CONFIG_PROBLEM_MAX])
{
    uint64_t given[3] = {node->given[0], node->given[1], node->given[2]};
    struct config cfg = {.state_dir = ""};
    struct config_reader r = {
        .a = a, .cfg = &cfg, .panel = true, .problem = problem, .given = given};
    struct config_draft d = {
        .api = node->api, .opt = node->options, .name = "", .core = "", .core_name = ""};
    if (problem != NULL)
        problem[0] = '\0';
    *out = node->options;
    const struct json_t *entry = find_entry(node, reply);
    if (entry == NULL || json_is_array(entry))
        return ST_OK;

    const struct json_t *options = json_get(entry, "Options");
    const struct json_t *from = json_is_object(options) ? options : entry;
    config_walk(&r, NULL, from, &config_scope_node, PART_OPTION, &d);
    config_options_end(&r, &d.opt);
    if (r.nomem)
        return ST_E_NOMEM;
    *out = d.opt;
    return ST_OK;
}
