#include "control/config/config_stats.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"
#include "control/config/config_keys.h"

/* "127.0.0.1:10085", "[::1]:10085", "localhost:10085", ":10085" (all addresses). */
static bool parse_listen(const char *text, struct addr *out)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    struct addr a = {0};

    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    size_t len = (size_t)(colon - text);
    if (*end != '\0' || port == 0 || port > 65535)
        return false;
    if (len == 0) {
        a.family = ADDR_IP6;
    } else if (len == 9 && strncasecmp(text, "localhost", 9) == 0) {
        a = (struct addr){.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    } else if (addr_parse_ip(&a, text, len) != ST_OK || (a.family == ADDR_IP6 && text[0] != '[')) {
        return false;
    }
    a.port = (uint16_t)port;
    *out = a;
    return true;
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return a->family == ADDR_IP4 ? a->ip[0] == 127 : memcmp(a->ip, one, 16) == 0;
}

static bool read_listen(struct config_reader *r, const struct config_path *at,
                        const struct json_t *v, struct addr *out)
{
    const char *text;

    if (!config_text(r, at, v, &text))
        return false;
    if (*text == '\0') {
        *out = (struct addr){0};
        return true;
    }
    if (!parse_listen(text, out)) {
        config_report(r, CONFIG_ERROR, at,
                      "\"%.64s\" is no address with a port, such as \"127.0.0.1:10085\"", text);
        return false;
    }
    if (!is_loopback(out))
        config_report(r, CONFIG_WARNING, at,
                      "nobody is asked for a password here, and users' names are shown: let a "
                      "firewall keep strangers out, or use 127.0.0.1");
    return true;
}

bool config_read_api_listen(struct config_reader *r, const struct config_path *at,
                            const struct json_t *v, void *dst)
{
    struct config_stats *s = dst;
    return read_listen(r, at, v, &s->listen);
}

static bool read_names(struct config_reader *r, const struct config_path *at,
                       const struct json_t *v, struct config_stats_names *out)
{
    return config_list(r, at, v, CONFIG_STATS_NAMES_MAX, &out->list, &out->count);
}

bool config_read_stats_inbounds(struct config_reader *r, const struct config_path *at,
                                const struct json_t *v, void *dst)
{
    struct config_stats *s = dst;
    return read_names(r, at, v, &s->inbounds);
}

bool config_read_stats_outbounds(struct config_reader *r, const struct config_path *at,
                                 const struct json_t *v, void *dst)
{
    struct config_stats *s = dst;
    return read_names(r, at, v, &s->outbounds);
}

bool config_read_stats_users(struct config_reader *r, const struct config_path *at,
                             const struct json_t *v, void *dst)
{
    struct config_stats *s = dst;
    return read_names(r, at, v, &s->users);
}

bool config_read_metrics_listen(struct config_reader *r, const struct config_path *at,
                                const struct json_t *v, void *dst)
{
    struct config_metrics *m = dst;
    return read_listen(r, at, v, &m->listen);
}
