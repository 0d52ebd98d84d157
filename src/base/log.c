#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define LINE_MAX_LEN 2048u

/* A line under construction: everything past the end is dropped, the newline always fits. */
struct line {
    char text[LINE_MAX_LEN];
    size_t len;
};

static void put_raw(struct line *l, const char *s, size_t n)
{
    size_t room = sizeof(l->text) - 8 - l->len;
    if (n > room)
        n = room;
    memcpy(l->text + l->len, s, n);
    l->len += n;
}

static void put_str(struct line *l, const char *s)
{
    put_raw(l, s, strlen(s));
}

/* All of it or nothing: half an escape sequence would spoil the line. */
static void put_whole(struct line *l, const char *s, size_t n)
{
    if (sizeof(l->text) - 8 - l->len >= n)
        put_raw(l, s, n);
}

/* The end of a JSON line goes into the bytes that put_raw keeps free. */
static void put_end(struct line *l, const char *s)
{
    size_t n = strlen(s);
    memcpy(l->text + l->len, s, n);
    l->len += n;
}

/* Text from outside: control characters would let a peer forge lines, quotes would break JSON, and
 * what is no UTF-8, or was cut in a character, would keep readers of JSON and of the journal from
 * the whole line. */
static void put_escaped(struct line *l, const char *s, bool json)
{
    for (size_t left = strlen(s), n; left > 0; s += n, left -= n) {
        unsigned char c = (unsigned char)*s;
        char esc[8];
        n = utf8_char((const uint8_t *)s, left);
        if (n == 0) {
            n = 1;
            snprintf(esc, sizeof(esc), json ? "\\ufffd" : "\\x%02x", c);
            put_whole(l, esc, strlen(esc));
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(esc, sizeof(esc), json ? "\\u%04x" : "\\x%02x", c);
            put_whole(l, esc, strlen(esc));
        } else if (json && (c == '"' || c == '\\')) {
            esc[0] = '\\';
            esc[1] = (char)c;
            put_whole(l, esc, 2);
        } else {
            put_whole(l, s, n);
        }
    }
}

/* Days since 1970 to a date (proleptic Gregorian): gmtime without its locks and time zone files. */
static void put_time(struct line *l, uint64_t us)
{
    uint64_t secs = us / 1000000, days = secs / 86400, sod = secs % 86400;
    uint64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    unsigned year = (unsigned)(yoe + era * 400 + (month <= 2 ? 1 : 0));
    char text[64];
    snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day,
             (unsigned)(sod / 3600), (unsigned)(sod / 60 % 60), (unsigned)(sod % 60),
             (unsigned)(us / 1000 % 1000));
    put_str(l, text);
}

static void put_text(struct line *l, uint64_t us, enum log_level level,
                     const struct log_about *about, const char *msg)
{
    char num[32];
    put_time(l, us);
    put_str(l, " ");
    put_str(l, log_level_str(level));
    if (about && about->node) {
        put_str(l, " [");
        put_escaped(l, about->node, false);
        put_str(l, "]");
    }
    if (about && about->user) {
        snprintf(num, sizeof(num), " user=%llu", (unsigned long long)about->user);
        put_str(l, num);
    }
    if (about && about->peer) {
        put_str(l, " peer=");
        put_escaped(l, about->peer, false);
    }
    put_str(l, ": ");
    put_escaped(l, msg, false);
}

static void put_json(struct line *l, uint64_t us, enum log_level level,
                     const struct log_about *about, const char *msg)
{
    char num[32];
    put_str(l, "{\"time\":\"");
    put_time(l, us);
    put_str(l, "\",\"level\":\"");
    put_str(l, log_level_str(level));
    put_str(l, "\"");
    if (about && about->node) {
        put_str(l, ",\"node\":\"");
        put_escaped(l, about->node, true);
        put_str(l, "\"");
    }
    if (about && about->user) {
        snprintf(num, sizeof(num), ",\"user\":%llu", (unsigned long long)about->user);
        put_str(l, num);
    }
    if (about && about->peer) {
        put_str(l, ",\"peer\":\"");
        put_escaped(l, about->peer, true);
        put_str(l, "\"");
    }
    put_str(l, ",\"msg\":\"");
    put_escaped(l, msg, true);
    put_end(l, "\"}");
}

void log_line(const struct log *lg, enum log_level level, const struct log_about *about,
              const char *fmt, ...)
{
    if (lg == NULL || !log_wants(lg, level))
        return;
    char msg[LINE_MAX_LEN / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    struct line l = {.len = 0};
    uint64_t us = lg->wall_us ? lg->wall_us() : 0;
    if (lg->json)
        put_json(&l, us, level, about, msg);
    else
        put_text(&l, us, level, about, msg);
    l.text[l.len++] = '\n';
    lg->sink->write(lg->sink, l.text, l.len);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {{"debug", LOG_DEBUG},     {"info", LOG_INFO},   {"warn", LOG_WARNING},
                 {"warning", LOG_WARNING}, {"error", LOG_ERROR}, {"none", LOG_NONE}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(text, names[i].name) == 0) {
            *out = names[i].level;
            return true;
        }
    }
    return false;
}

const char *log_level_str(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warning", "error", "none"};
    return names[level <= LOG_NONE ? level : LOG_NONE];
}

char *log_mask(char dst[16], const char *secret)
{
    size_t len = strlen(secret);
    if (len <= 8)
        memcpy(dst, "********", 9);
    else
        snprintf(dst, 16, "%.4s****%s", secret, secret + len - 4);
    return dst;
}
