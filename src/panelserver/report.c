#include "panelserver/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_pull.h"

struct body {
    struct json_pull pull;
    struct report_error *err;
};

static enum status refuse(struct body *b, enum status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum status refuse(struct body *b, enum status st, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b->err->text, sizeof b->err->text, fmt, ap);
    va_end(ap);
    b->err->offset = b->pull.offset;
    return st;
}

/* The next event of a body that lies in memory whole: the end of input is an error here. */
static enum status next(struct body *b)
{
    enum status st = json_pull_next(&b->pull);
    if (st == ST_MORE) {
        json_pull_end(&b->pull);
        st = json_pull_next(&b->pull);
    }
    if (st == ST_OK || st == ST_EOF)
        return st;
    if (st == ST_E_LIMIT)
        return refuse(b, st, "nested too deeply, or a number too long");
    return refuse(b, ST_E_PROTO, "not JSON: expected %s", json_pull_expected(&b->pull));
}

/* Makes room for one more element of @size bytes; NULL without memory. */
static void *grow(void *array, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return array;
    size_t wanted = *cap == 0 ? 64 : *cap * 2;
    void *more = reallocarray(array, wanted, size);
    if (more != NULL)
        *cap = wanted;
    return more;
}

static enum status read_number(struct body *b, int64_t max, int64_t *out)
{
    const char *p = b->pull.text;
    int64_t v = 0;
    if (*p == '-')
        return refuse(b, ST_E_PROTO, "negative number");
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (*p - '0');
        if (v > max)
            return refuse(b, ST_E_PROTO, "number over %lld", (long long)max);
    }
    if (*p != '\0' || p == b->pull.text)
        return refuse(b, ST_E_PROTO, "not a whole number");
    *out = v;
    return ST_OK;
}

static enum status read_user_id(struct body *b, int64_t *out)
{
    enum status st = b->pull.cut ? refuse(b, ST_E_PROTO, "key is no user id")
                                 : read_number(b, INT64_MAX / 16, out);
    if (st == ST_OK && *out == 0)
        st = refuse(b, ST_E_PROTO, "user id 0");
    return st;
}

/* Steps into the outer map. ST_OK: inside; ST_EOF: it was PHP's empty array, and nothing follows.
 */
static enum status open_map(struct body *b)
{
    enum status st = next(b);
    if (st == ST_OK && b->pull.event == JSON_EVENT_ARRAY) {
        if ((st = next(b)) == ST_OK && b->pull.event != JSON_EVENT_ARRAY_END)
            st = refuse(b, ST_E_PROTO, "expected an object with user ids as keys");
        return st == ST_OK ? next(b) : st;
    }
    if (st == ST_OK && b->pull.event != JSON_EVENT_OBJECT)
        st = refuse(b, ST_E_PROTO, "expected an object with user ids as keys");
    return st;
}

/* The next member's user id. ST_EOF: the map and the input ended well. */
static enum status next_user(struct body *b, int64_t *id)
{
    enum status st = next(b);
    if (st != ST_OK)
        return st;
    return b->pull.event == JSON_EVENT_OBJECT_END ? next(b) : read_user_id(b, id);
}

static enum status read_pair(struct body *b, struct report_push_entry *e)
{
    static const char *const expected = "expected [upload bytes, download bytes]";
    enum status st = next(b);
    if (st != ST_OK)
        return st;
    if (b->pull.event != JSON_EVENT_ARRAY)
        return refuse(b, ST_E_PROTO, "user %lld: %s", (long long)e->user_id, expected);
    int64_t *numbers[2] = {&e->up, &e->down};
    for (int i = 0; i < 2; i++) {
        if ((st = next(b)) != ST_OK)
            return st;
        if (b->pull.event != JSON_EVENT_NUMBER)
            return refuse(b, ST_E_PROTO, "user %lld: %s", (long long)e->user_id, expected);
        if ((st = read_number(b, REPORT_BYTES_MAX, numbers[i])) != ST_OK)
            return st;
    }
    if ((st = next(b)) == ST_OK && b->pull.event != JSON_EVENT_ARRAY_END)
        st = refuse(b, ST_E_PROTO, "user %lld: %s", (long long)e->user_id, expected);
    return st;
}

enum status report_parse_push(const char *body, size_t len, struct report_push *out,
                              struct report_error *err)
{
    struct body b = {.err = err};
    memset(out, 0, sizeof *out);
    memset(err, 0, sizeof *err);
    json_pull_init(&b.pull);
    json_pull_feed(&b.pull, body, len);
    enum status st = open_map(&b);
    while (st == ST_OK) {
        struct report_push_entry e = {0};
        if ((st = next_user(&b, &e.user_id)) != ST_OK || (st = read_pair(&b, &e)) != ST_OK)
            break;
        if (out->count == REPORT_USERS_MAX)
            return refuse(&b, ST_E_LIMIT, "more than %u users", REPORT_USERS_MAX);
        void *more = grow(out->entries, out->count, &out->cap, sizeof e);
        if (more == NULL)
            return refuse(&b, ST_E_NOMEM, "out of memory");
        out->entries = more;
        out->entries[out->count++] = e;
    }
    return st == ST_EOF ? ST_OK : st;
}

static enum status read_ip(struct body *b, struct report_alive *out, struct report_alive_user *u)
{
    struct addr ip;
    if (b->pull.event != JSON_EVENT_STRING)
        return refuse(b, ST_E_PROTO, "user %lld: expected an IP address in quotes",
                      (long long)u->user_id);
    if (b->pull.cut || addr_parse_ip(&ip, b->pull.text, b->pull.text_len) != ST_OK)
        return refuse(b, ST_E_PROTO, "user %lld: not an IP address", (long long)u->user_id);
    if (u->count == REPORT_IPS_MAX)
        return refuse(b, ST_E_LIMIT, "user %lld: more than %u addresses", (long long)u->user_id,
                      REPORT_IPS_MAX);
    void *more = grow(out->ips, out->ip_count, &out->ip_cap, sizeof ip);
    if (more == NULL)
        return refuse(b, ST_E_NOMEM, "out of memory");
    out->ips = more;
    addr_unmap(&ip);
    out->ips[out->ip_count++] = ip;
    u->count++;
    return ST_OK;
}

static enum status read_ips(struct body *b, struct report_alive *out, struct report_alive_user *u)
{
    enum status st = next(b);
    if (st == ST_OK && b->pull.event != JSON_EVENT_ARRAY)
        st = refuse(b, ST_E_PROTO, "user %lld: expected an array of addresses",
                    (long long)u->user_id);
    while (st == ST_OK && (st = next(b)) == ST_OK && b->pull.event != JSON_EVENT_ARRAY_END)
        st = read_ip(b, out, u);
    return st;
}

enum status report_parse_alive(const char *body, size_t len, struct report_alive *out,
                               struct report_error *err)
{
    struct body b = {.err = err};
    memset(out, 0, sizeof *out);
    memset(err, 0, sizeof *err);
    json_pull_init(&b.pull);
    json_pull_feed(&b.pull, body, len);
    enum status st = open_map(&b);
    while (st == ST_OK) {
        struct report_alive_user u = {.first = out->ip_count};
        if ((st = next_user(&b, &u.user_id)) != ST_OK || (st = read_ips(&b, out, &u)) != ST_OK)
            break;
        if (out->count == REPORT_USERS_MAX)
            return refuse(&b, ST_E_LIMIT, "more than %u users", REPORT_USERS_MAX);
        void *more = grow(out->users, out->count, &out->cap, sizeof u);
        if (more == NULL)
            return refuse(&b, ST_E_NOMEM, "out of memory");
        out->users = more;
        out->users[out->count++] = u;
    }
    return st == ST_EOF ? ST_OK : st;
}

void report_push_fini(struct report_push *r)
{
    free(r->entries);
    memset(r, 0, sizeof *r);
}

void report_alive_fini(struct report_alive *r)
{
    free(r->users);
    free(r->ips);
    memset(r, 0, sizeof *r);
}
