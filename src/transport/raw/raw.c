#include "transport/raw/raw.h"

#include <stdio.h>
#include <string.h>

#include "codec/json.h"

static enum status parse_conf(struct arena *a, const struct json_t *settings,
                              const struct conf_context *ctx, const void **conf,
                              struct conf_error *err)
{
    const char *type = json_get_str(json_get(settings, "header"), "type", "");

    (void)a;
    (void)ctx;
    *conf = NULL;
    if (type[0] == '\0' || strcmp(type, "none") == 0)
        return ST_OK;
    snprintf(err->text, sizeof(err->text), "tcp header type: %s: %.64s",
             strcmp(type, "http") == 0 ? "not supported yet" : "must be \"none\" or \"http\"",
             type);
    return ST_E_CONFIG;
}

/* An empty or missing network means this one. */
static const char *const aliases[] = {"raw", "", NULL};
static const char *const alpn[] = {"h2", "http/1.1", NULL};

const struct transport transport_raw = {
    .name = "tcp",
    .aliases = aliases,
    .role = TRANSPORT_NETWORK,
    .parse_conf = parse_conf,
    .server = NULL,
    .alpn = alpn,
};
