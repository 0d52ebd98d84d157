#include <string.h>

#include "base/arena.h"
#include "transport/reality/reality_conf.h"

static bool all_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
    }
    return n > 0;
}

/* A decimal number below 2^32; false for anything else. */
static bool read_number(const char *p, size_t n, uint64_t *out)
{
    if (n > 10 || !all_digits(p, n))
        return false;
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out = *out * 10 + (uint64_t)(p[i] - '0');
    return *out <= UINT32_MAX;
}

static enum status parse_path(struct arena *a, const char *text, struct aux_dest *d)
{
    d->padded = strncmp(text, "@@", 2) == 0;
    text += d->padded;
    if (text[1] == '\0' || strlen(text) > 107) /* sockaddr_un without its NUL */
        return ST_E_CONFIG;
    d->path = arena_strdup(a, text);
    return d->path != NULL ? ST_OK : ST_E_NOMEM;
}

enum status reality_dest_parse(struct arena *a, const char *text, uint16_t port, struct aux_dest *d)
{
    size_t len = strlen(text);
    uint64_t number = port;

    d->path = NULL;
    if (text[0] == '/' || text[0] == '@')
        return parse_path(a, text, d);
    const char *colon = strrchr(text, ':');
    if (all_digits(text, len)) {
        if (!read_number(text, len, &number))
            return ST_E_CONFIG;
        len = 0;
    } else if (colon != NULL && (strchr(text, ':') == colon || colon[-1] == ']')) {
        /* One colon, or one behind the bracket of an IPv6 address; more are part of one. */
        len = (size_t)(colon - text);
        if (colon[1] != '\0' && !read_number(colon + 1, strlen(colon + 1), &number))
            return ST_E_CONFIG;
    }
    if (number == 0 || number > UINT16_MAX)
        return ST_E_CONFIG;
    if (len == 0) {
        text = "localhost";
        len = strlen(text);
    }
    return target_set_host(&d->target, text, len, (uint16_t)number) == ST_OK ? ST_OK : ST_E_CONFIG;
}

enum status reality_version_parse(const char *text, uint32_t *out)
{
    uint32_t version = 0;

    for (int i = 0; i < 3; i++) {
        size_t n = strcspn(text, ".");
        uint64_t part = 0;
        /* Missing parts are 0, empty ones a mistake. */
        if (i == 0 || n > 0 || text[n] == '.') {
            if (!read_number(text, n, &part) || part > 255)
                return ST_E_CONFIG;
        }
        version = version << 8 | (uint32_t)part;
        text += n;
        if (text[0] == '.') {
            if (i == 2 || text[1] == '\0')
                return ST_E_CONFIG;
            text++;
        }
    }
    *out = version;
    return ST_OK;
}

enum status reality_ms_parse(const char *text, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    size_t n = strspn(text, "0123456789");
    uint64_t number;

    if (!read_number(text, n, &number))
        return ST_E_CONFIG;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + n, units[i].unit) == 0) {
            *out = number * units[i].ms;
            return ST_OK;
        }
    }
    return ST_E_CONFIG;
}
