/* Whatever stands in config.json: reading ends, says why, and what was understood can be printed
 * and read again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "codec/json.h"
#include "control/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same text as an answer of a panel. */
static void merge(const struct config *cfg, const char *text, size_t len)
{
    struct json_t *reply;
    char problem[CONFIG_PROBLEM_MAX];
    if (json_parse(text, len, &reply, NULL) != ST_OK)
        return;
    for (size_t i = 0; i < cfg->node_count && i < 4; i++) {
        struct config_options out;
        struct arena *a = arena_new();
        if (a == NULL || config_node_merge(a, &cfg->nodes[i], reply, &out, problem) != ST_OK)
            abort();
        if (out.allow_private != cfg->nodes[i].options.allow_private || out.listen_count == 0)
            abort();
        (void)config_node_reply(&cfg->nodes[i], reply);
        arena_free(a);
    }
    json_unref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config *cfg;
    char line[1200], *text = NULL;
    size_t len = 0;
    enum status st = config_parse((const char *)data, size, "f", NULL, &cfg);
    if (cfg == NULL || (st != ST_OK && cfg->errors == 0))
        abort();
    for (size_t i = 0; i < cfg->finding_count; i++) {
        const struct config_finding *f = &cfg->findings[i];
        if (f->text[0] == '\0' || f->line < 1 || f->column < 1)
            abort();
        config_finding_str(f, line, sizeof(line));
    }
    FILE *to = open_memstream(&text, &len);
    config_print(cfg, to);
    fclose(to);
    const struct config *again;
    if (config_parse(text, len, "again", NULL, &again) != ST_OK ||
        again->node_count != cfg->node_count)
        abort();
    merge(cfg, (const char *)data, size);
    config_unref(again);
    config_unref(cfg);
    free(text);
    return 0;
}
