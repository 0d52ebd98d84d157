#include "codec/http1_write.h"

#include <stdio.h>
#include <string.h>

const char *http1_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Request Entity Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

/* ---- dates ----------------------------------------------------------------------------------- */

static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

#define DATE_MAX 253402300799 /* 9999-12-31T23:59:59Z */

/* Days since 1970-01-01 of the first day of March of @year, counted in years that begin in March:
 * then the leap day is the last of its year. */
static int64_t days_to_march(int64_t year)
{
    return year * 365 + year / 4 - year / 100 + year / 400 - 719468;
}

char *http1_date(char dst[HTTP1_DATE_LEN], int64_t unix_s)
{
    if (unix_s < 0)
        unix_s = 0;
    if (unix_s > DATE_MAX)
        unix_s = DATE_MAX;
    int64_t day = unix_s / 86400, sec = unix_s % 86400;
    int64_t year = 1969 + day / 366; /* at or below the right one, by at most a few years */
    while (days_to_march(year + 1) <= day)
        year++;
    int64_t yday = day - days_to_march(year);
    int64_t m = (5 * yday + 2) / 153; /* 0 = March */
    int64_t mday = yday - (153 * m + 2) / 5 + 1;
    int64_t month = m < 10 ? m + 2 : m - 10; /* 0 = January */
    if (month < 2)
        year++;
    snprintf(dst, HTTP1_DATE_LEN, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * (day % 7),
             (unsigned)mday % 100, months + 3 * month, (unsigned)year % 10000,
             (unsigned)(sec / 3600) % 100, (unsigned)(sec / 60 % 60), (unsigned)(sec % 60));
    return dst;
}

/* Two digits at @p below @below, or -1. */
static int two_digits(const char *p, int below)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return -1;
    int v = (p[0] - '0') * 10 + (p[1] - '0');
    return v < below ? v : -1;
}

enum status http1_date_parse(const char *text, size_t len, int64_t *unix_s)
{
    if (len != HTTP1_DATE_LEN - 1 || memcmp(text + 3, ", ", 2) != 0 ||
        memcmp(text + 25, " GMT", 4) != 0)
        return ST_E_PROTO;
    int mday = two_digits(text + 5, 32), hundreds = two_digits(text + 12, 100);
    int units = two_digits(text + 14, 100), hour = two_digits(text + 17, 24);
    int minute = two_digits(text + 20, 60), second = two_digits(text + 23, 60);
    int month = 0;
    while (month < 12 && memcmp(months + 3 * month, text + 8, 3) != 0)
        month++;
    if (mday < 1 || hundreds < 0 || units < 0 || hour < 0 || minute < 0 || second < 0 ||
        month == 12)
        return ST_E_PROTO;
    int64_t m = month >= 2 ? month - 2 : month + 10;
    int64_t year = hundreds * 100 + units - (month < 2 ? 1 : 0);
    int64_t day = days_to_march(year) + (153 * m + 2) / 5 + mday - 1;
    char back[HTTP1_DATE_LEN];
    *unix_s = day * 86400 + hour * 3600 + minute * 60 + second;
    /* Only a date that reads the same again has the right weekday, punctuation and day of the
     * month. */
    return memcmp(http1_date(back, *unix_s), text, len) == 0 ? ST_OK : ST_E_PROTO;
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void add(struct http1_writer *w, const char *text, size_t n)
{
    if (w->bad || w->cap - w->len < n) {
        w->bad = true;
        return;
    }
    memcpy(w->p + w->len, text, n);
    w->len += n;
}

/* A text from outside: may not end the line it stands in. */
static void add_text(struct http1_writer *w, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\r' || text[i] == '\n' || text[i] == '\0')
            w->bad = true;
    if (n > 0)
        add(w, text, n);
}

void http1_begin_response(struct http1_writer *w, char *buf, size_t cap, unsigned status,
                          const char *reason)
{
    char line[16];
    int n = snprintf(line, sizeof(line), "HTTP/1.1 %u ", status % 1000);
    *w = (struct http1_writer){.p = buf, .cap = cap};
    if (reason == NULL)
        reason = http1_reason(status);
    add(w, line, (size_t)n);
    add_text(w, reason, strlen(reason));
    add(w, "\r\n", 2);
}

void http1_begin_request(struct http1_writer *w, char *buf, size_t cap, const char *method,
                         const char *target)
{
    *w = (struct http1_writer){.p = buf, .cap = cap};
    add_text(w, method, strlen(method));
    add(w, " ", 1);
    add_text(w, target, strlen(target));
    add(w, " HTTP/1.1\r\n", 11);
}

void http1_add_field_n(struct http1_writer *w, const char *name, const char *value, size_t len)
{
    add_text(w, name, strlen(name));
    add(w, ": ", 2);
    add_text(w, value, len);
    add(w, "\r\n", 2);
}

void http1_add_field(struct http1_writer *w, const char *name, const char *value)
{
    http1_add_field_n(w, name, value, strlen(value));
}

void http1_add_number(struct http1_writer *w, const char *name, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    http1_add_field_n(w, name, text, (size_t)n);
}

void http1_add_date(struct http1_writer *w, int64_t unix_s)
{
    char date[HTTP1_DATE_LEN];
    http1_add_field(w, "Date", http1_date(date, unix_s));
}

enum status http1_end(struct http1_writer *w)
{
    add(w, "\r\n", 2);
    return w->bad ? ST_E_LIMIT : ST_OK;
}
