#include "control/config/config_keys.h"

#include <string.h>
#include <strings.h>

#include "codec/json.h"

bool config_read_level(struct config_reader *r, const struct config_path *at,
                       const struct json_t *v, void *dst)
{
    struct config_log *l = dst;
    const char *s = json_str(v);
    if (s != NULL && (*s == '\0' || log_level_parse(s, &l->level)))
        return true;
    config_report(r, CONFIG_ERROR, at, "must be debug, info, warning, error or none");
    return false;
}

bool config_read_format(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, void *dst)
{
    struct config_log *l = dst;
    const char *s = json_str(v);
    if (s == NULL || (*s != '\0' && strcasecmp(s, "text") != 0 && strcasecmp(s, "json") != 0)) {
        config_report(r, CONFIG_ERROR, at, "must be text or json");
        return false;
    }
    l->json = strcasecmp(s, "json") == 0;
    return true;
}

bool config_read_output(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, void *dst)
{
    struct config_log *l = dst;
    const char *s;
    if (!config_text(r, at, v, &s))
        return false;
    if (strcasecmp(s, "none") == 0) { /* XrayR's way to switch the log off */
        l->level = LOG_NONE;
        s = "";
    }
    bool standard = strcasecmp(s, "stderr") == 0 || strcasecmp(s, "stdout") == 0;
    l->output = standard || strcmp(s, "-") == 0 ? "" : s;
    return true;
}
