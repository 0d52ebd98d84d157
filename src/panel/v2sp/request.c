#include "panel/v2sp/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/ascii.h"

/* Text that grows in a fixed room; once it did not fit it stays bad. */
struct sink {
    char *p;
    size_t len, cap;
    bool bad;
};

static void put(struct sink *s, const char *text, size_t len)
{
    if (s->bad || s->cap - s->len <= len) {
        s->bad = true;
        return;
    }
    memcpy(s->p + s->len, text, len);
    s->len += len;
    s->p[s->len] = '\0';
}

static void put_str(struct sink *s, const char *text)
{
    put(s, text, strlen(text));
}

/* application/x-www-form-urlencoded, as the Go client sends it (vectors v2sp_requests: "k y" is
 * k+y). */
static void put_form(struct sink *s, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    static const char hex[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        char enc[3] = {'%', hex[c >> 4], hex[c & 15]};
        if (c == ' ')
            put(s, "+", 1);
        else if (strchr(plain, c) != NULL)
            put(s, text, 1);
        else
            put(s, enc, 3);
    }
}

const char *v2sp_action_str(enum v2sp_action a)
{
    static const char *const names[] = {"config", "user", "alivelist", "push", "alive"};
    return names[a];
}

static bool scheme_ok(const char *url)
{
    const char *host = strncasecmp(url, "http://", 7) == 0    ? url + 7
                       : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;
    if (host == NULL || *host == '\0' || *host == '/' || *host == '?')
        return false;
    for (const char *p = url; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == '#')
            return false;
    return true;
}

enum status v2sp_request_url(char *dst, size_t cap, const struct v2sp_peer *peer,
                             enum v2sp_action action)
{
    struct sink s = {.p = dst, .cap = cap};
    char id[24];

    if (!scheme_ok(peer->api_host))
        return ST_E_CONFIG;
    put_str(&s, peer->api_host);
    const char *query = strchr(peer->api_host, '?');
    if (query == NULL)
        put(&s, "?", 1);
    else if (query[1] != '\0' && query[strlen(query) - 1] != '&' && query[strlen(query) - 1] != '?')
        put(&s, "&", 1);
    put_str(&s, "action=");
    put_str(&s, v2sp_action_str(action));
    snprintf(id, sizeof(id), "%" PRId64, peer->node_id);
    put_str(&s, "&node_id=");
    put_str(&s, id);
    if (peer->node_type != NULL && peer->node_type[0] != '\0') {
        put_str(&s, "&node_type=");
        if (strcasecmp(peer->node_type, "v2ray") == 0) {
            put_str(&s, "vmess");
        } else {
            size_t at = s.len;
            put_form(&s, peer->node_type);
            for (; at < s.len; at++)
                s.p[at] = ascii_lower(s.p[at]);
        }
    }
    put_str(&s, "&token=");
    put_form(&s, peer->token != NULL ? peer->token : "");
    return s.bad ? ST_E_LIMIT : ST_OK;
}

char *v2sp_request_shown(char *dst, size_t cap, const char *url)
{
    size_t n = 0;
    const char *host = strstr(url, "://");
    const char *end = url + strcspn(url, "?#");

    host = host != NULL && host < end ? host + 3 : url;
    size_t host_len = strcspn(host, "/?#");
    const char *at = NULL;
    for (size_t i = 0; i < host_len; i++)
        if (host[i] == '@')
            at = host + i;
    for (const char *p = url; p < end && n + 1 < cap; p++) {
        if (at != NULL && p == host)
            p = at + 1; /* user:password@ */
        if (p >= end)
            break;
        dst[n++] = *p;
    }
    dst[n] = '\0';
    return dst;
}

void v2sp_body_open(struct v2sp_body *b, char *text)
{
    *b = (struct v2sp_body){.text = text, .len = 1};
    text[0] = '{';
}

static void add(struct v2sp_body *b, const char *text, int len)
{
    memcpy(b->text + b->len, text, (size_t)len);
    b->len += (size_t)len;
}

void v2sp_body_traffic(struct v2sp_body *b, uint64_t uid, uint64_t up, uint64_t down)
{
    char t[V2SP_BODY_STEP];
    int n = snprintf(t, sizeof(t), "%s\"%" PRIu64 "\":[%" PRIu64 ",%" PRIu64 "]",
                     b->more ? "," : "", uid, up, down);
    add(b, t, n);
    b->more = true;
}

void v2sp_body_user(struct v2sp_body *b, uint64_t uid)
{
    char t[V2SP_BODY_STEP];
    int n = snprintf(t, sizeof(t), "%s\"%" PRIu64 "\":[", b->list ? "]," : "", uid);
    add(b, t, n);
    b->list = true;
    b->more = false;
}

void v2sp_body_ip(struct v2sp_body *b, const struct addr *ip)
{
    char t[V2SP_BODY_STEP], text[ADDR_STRLEN];
    struct addr a = *ip;

    addr_unmap(&a);
    int n = snprintf(t, sizeof(t), "%s\"%s\"", b->more ? "," : "", addr_ip_str(&a, text));
    add(b, t, n);
    b->more = true;
}

void v2sp_body_close(struct v2sp_body *b)
{
    add(b, b->list ? "]}" : "}", b->list ? 2 : 1);
}
