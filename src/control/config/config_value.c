#include "control/config/config_read.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"

bool config_is_neutral(const struct json_t *v)
{
    if (v == NULL)
        return true;
    const char *s = json_str(v);
    if (s != NULL)
        return *s == '\0' || strcasecmp(s, "none") == 0 || strcmp(s, "0") == 0 ||
               strcasecmp(s, "false") == 0;
    if (json_is_array(v))
        return json_array_len(v) == 0;
    if (json_is_object(v))
        return json_first(v) == NULL;
    int64_t n;
    bool b;
    if (json_to_int(v, 0, &n) == ST_OK)
        return n == 0;
    return json_to_bool(v, false, &b) == ST_OK && !b;
}

bool config_bool(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 bool *out)
{
    bool b;
    if (json_to_bool(v, *out, &b) == ST_OK) {
        *out = b;
        return true;
    }
    config_report(r, CONFIG_ERROR, at, "must be true or false");
    return false;
}

bool config_number(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                   uint64_t min, uint64_t max, uint64_t *out)
{
    int64_t n;
    if (json_to_int(v, (int64_t)*out, &n) != ST_OK) {
        config_report(r, CONFIG_ERROR, at, "must be a whole number");
        return false;
    }
    if (n < 0 || (uint64_t)n < min || (uint64_t)n > max) {
        config_report(r, CONFIG_ERROR, at, "must be a number from %llu to %llu, not %lld",
                      (unsigned long long)min, (unsigned long long)max, (long long)n);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

bool config_rate(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 uint32_t max_kbps, uint32_t *out)
{
    uint64_t kbps;
    if (json_to_milli(v, *out, &kbps) != ST_OK || kbps > max_kbps) {
        config_report(r, CONFIG_ERROR, at, "must be a number of Mbit/s from 0 to %u",
                      max_kbps / 1000);
        return false;
    }
    *out = (uint32_t)kbps;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* "30s", "5 m", "64k": a whole number and a unit; a bare number counts @bare. */
static bool parse_with_unit(const char *s, const struct unit *units, uint64_t bare, uint64_t *out)
{
    uint64_t n = 0;
    while (*s == ' ')
        s++;
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*s - '0');
    }
    while (*s == ' ')
        s++;
    uint64_t factor = *s == '\0' ? bare : 0;
    for (; *s != '\0' && units->name != NULL; units++)
        if (strcasecmp(s, units->name) == 0)
            factor = units->factor;
    return factor != 0 && !__builtin_mul_overflow(n, factor, out);
}

static bool read_with_unit(const struct json_t *v, const struct unit *units, uint64_t bare,
                           uint64_t *out)
{
    const char *s = json_str(v);
    int64_t n;
    if (s != NULL && *s != '\0')
        return parse_with_unit(s, units, bare, out);
    if (json_to_int(v, (int64_t)(*out / bare), &n) != ST_OK || n < 0)
        return false;
    return !__builtin_mul_overflow((uint64_t)n, bare, out);
}

/* Shortest way to write @ms. */
static const char *duration_str(uint64_t ms, char dst[32])
{
    if (ms % 1000 != 0)
        snprintf(dst, 32, "%llums", (unsigned long long)ms);
    else if (ms % 86400000 == 0 && ms != 0)
        snprintf(dst, 32, "%llud", (unsigned long long)(ms / 86400000));
    else
        snprintf(dst, 32, "%llus", (unsigned long long)(ms / 1000));
    return dst;
}

bool config_duration(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                     uint64_t unit_ms, uint64_t min_ms, uint64_t max_ms, uint64_t *out)
{
    static const struct unit units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                        {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
    char lo[32], hi[32];
    uint64_t ms = *out;
    if (!read_with_unit(v, units, unit_ms, &ms)) {
        config_report(r, CONFIG_ERROR, at,
                      "must be a duration: a number (of %s) or a text such as \"30s\" or \"5m\"",
                      unit_ms == 1      ? "milliseconds"
                      : unit_ms == 1000 ? "seconds"
                                        : "minutes");
        return false;
    }
    if (ms < min_ms || ms > max_ms) {
        config_report(r, CONFIG_ERROR, at, "must be a duration from %s to %s",
                      duration_str(min_ms, lo), duration_str(max_ms, hi));
        return false;
    }
    *out = ms;
    return true;
}

bool config_size(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 uint64_t unit, uint64_t max, uint64_t *out)
{
    static const struct unit units[] = {{"b", 1},          {"k", 1u << 10}, {"kb", 1u << 10},
                                        {"kib", 1u << 10}, {"m", 1u << 20}, {"mb", 1u << 20},
                                        {"mib", 1u << 20}, {"g", 1u << 30}, {"gb", 1u << 30},
                                        {"gib", 1u << 30}, {NULL, 0}};
    uint64_t n = *out;
    if (!read_with_unit(v, units, unit, &n)) {
        config_report(r, CONFIG_ERROR, at,
                      "must be a size: a number (of %s) or a text such as \"64k\" or \"512m\"",
                      unit == 1000                ? "1000 bytes"
                      : unit == 1024              ? "KiB"
                      : unit == (uint64_t)1 << 20 ? "MiB"
                                                  : "bytes");
        return false;
    }
    if (n > max) {
        config_report(r, CONFIG_ERROR, at, "is too large, at most %llu MiB",
                      (unsigned long long)(max >> 20));
        return false;
    }
    *out = n;
    return true;
}

bool config_text(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 const char **out)
{
    if (v == NULL || (json_is_array(v) && json_array_len(v) == 0)) {
        *out = "";
        return true;
    }
    const char *s = json_str(v);
    if (s == NULL) {
        config_report(r, CONFIG_ERROR, at, "must be a text in double quotes");
        return false;
    }
    for (const char *c = s; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7F) {
            config_report(r, CONFIG_ERROR, at, "has a control character (a line end?) inside");
            return false;
        }
    }
    *out = config_copy(r, s);
    return true;
}

static size_t count_commas(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += *s == ',';
    return n;
}

/* Adds the items of "a, b" to @list. */
static void split(struct config_reader *r, const char *s, const char **list, size_t *count)
{
    while (*s != '\0') {
        size_t len = strcspn(s, ",");
        const char *next = s[len] == ',' ? s + len + 1 : s + len;
        while (len > 0 && *s == ' ') {
            s++;
            len--;
        }
        while (len > 0 && s[len - 1] == ' ')
            len--;
        if (len > 0)
            list[(*count)++] = config_copy_part(r, s, len);
        s = next;
    }
}

static bool list_capacity(struct config_reader *r, const struct config_path *at,
                          const struct json_t *v, size_t *cap)
{
    *cap = 0;
    for (size_t i = 0; i < json_array_len(v); i++) {
        const char *s = json_str(json_at(v, i));
        if (s == NULL) {
            config_report(r, CONFIG_ERROR, CONFIG_AT(at, i), "must be a text in double quotes");
            return false;
        }
        *cap += 1 + count_commas(s);
    }
    const char *s = json_str(v);
    if (s != NULL)
        *cap = 1 + count_commas(s);
    if (v != NULL && s == NULL && !json_is_array(v)) {
        config_report(r, CONFIG_ERROR, at, "must be a text or a list of texts");
        return false;
    }
    return true;
}

bool config_list(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                 size_t max, const char *const **out, size_t *count)
{
    size_t cap, n = 0;
    if (!list_capacity(r, at, v, &cap))
        return false;
    if (cap > max) {
        config_report(r, CONFIG_ERROR, at, "has more than %zu items", max);
        return false;
    }
    const char **list = config_alloc(r, (cap + 1) * sizeof(*list));
    if (list == NULL)
        return false;
    if (json_str(v) != NULL)
        split(r, json_str(v), list, &n);
    for (size_t i = 0; i < json_array_len(v); i++)
        split(r, json_str(json_at(v, i)), list, &n);
    *out = list;
    *count = n;
    return true;
}

bool config_ip(struct config_reader *r, const struct config_path *at, const char *text,
               struct addr *out)
{
    struct addr a = {0};
    if (*text == '\0')
        text = "0.0.0.0";
    if (addr_parse_ip(&a, text, strlen(text)) != ST_OK) {
        config_report(r, CONFIG_ERROR, at,
                      "\"%.64s\" is no IP address (a number such as 192.0.2.1 or 2001:db8::1 is "
                      "needed, not a name, no port)",
                      text);
        return false;
    }
    *out = a;
    return true;
}

bool config_cidrs(struct config_reader *r, const struct config_path *at, const struct json_t *v,
                  const struct cidr **out, size_t *count)
{
    const char *const *texts;
    size_t n;
    if (!config_list(r, at, v, 1024, &texts, &n))
        return false;
    struct cidr *list = config_alloc(r, (n + 1) * sizeof(*list));
    if (list == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (cidr_parse(&list[i], texts[i], strlen(texts[i])) != ST_OK) {
            config_report(r, CONFIG_ERROR, at,
                          "\"%.64s\" is no network (such as 10.0.0.0/8 or 2001:db8::/32)",
                          texts[i]);
            return false;
        }
    }
    *out = list;
    *count = n;
    return true;
}
