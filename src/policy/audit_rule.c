#include "policy/audit_rule.h"

#include <string.h>
#include <strings.h>

#include "base/ascii.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
    return ascii_is_digit(c) || ascii_is_letter(c) || c == '-' || c == '_';
}

static void trim(const char **p, size_t *len)
{
    while (*len > 0 && is_blank((*p)[*len - 1]))
        --*len;
    while (*len > 0 && is_blank(**p))
        ++*p, --*len;
}

static enum status refuse(struct audit_reading *out, const char *error)
{
    out->error = error;
    return ST_E_PROTO;
}

/* @p in lower case is the value. */
static enum status take(struct audit_reading *out, enum audit_kind kind, const char *p, size_t len)
{
    if (len == 0)
        return refuse(out, "nothing behind the prefix");
    if (len > AUDIT_VALUE_MAX)
        return refuse(out, "too long");
    for (size_t i = 0; i < len; i++)
        out->buf[i] = ascii_lower(p[i]);
    out->buf[len] = '\0';
    out->kind = kind;
    out->value = out->buf;
    out->len = len;
    return ST_OK;
}

/* ---- names ---- */

static enum status take_name(struct audit_reading *out, enum audit_kind kind, const char *p,
                             size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((signed char)p[i] < 0)
            return refuse(out, "no name as it is sent: write it as xn--...");
        else if (!is_word(p[i]) && p[i] != '.' && p[i] != ':')
            return refuse(out, kind == AUDIT_KEYWORD ? "no name has that in it" : "no name");
    return take(out, kind, p, len);
}

static enum status read_name(enum audit_kind kind, const char *p, size_t len,
                             struct audit_reading *out)
{
    if (kind == AUDIT_DOMAIN && len >= 2 && p[0] == '*' && p[1] == '.')
        p++, len--;
    while (kind == AUDIT_DOMAIN && len > 0 && *p == '.')
        p++, len--;
    while (len > 0 && p[len - 1] == '.')
        len--;
    return take_name(out, kind, p, len);
}

static bool is_wildcard(const char *p, size_t len)
{
    if (len < 3 || p[0] != '*' || p[1] != '.')
        return false;
    for (size_t i = 2; i < len; i++)
        if (!is_word(p[i]) && p[i] != '.')
            return false;
    return true;
}

/* ---- expressions ---- */

/* The text that @len bytes of @pattern stand for, if that is but one, in @out->buf; -1: no. Without
 * @strict an unescaped dot is a dot. */
static long literal_of(const char *pattern, size_t len, bool strict, struct audit_reading *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = pattern[i];
        if (c == '\\' && i + 1 < len && (pattern[i + 1] == '.' || pattern[i + 1] == '-'))
            c = pattern[++i];
        else if (!is_word(c) && (strict || c != '.'))
            return -1;
        if (n == AUDIT_VALUE_MAX)
            return -1;
        out->buf[n++] = ascii_lower(c);
    }
    out->buf[n] = '\0';
    return n > 0 ? (long)n : -1;
}

static bool eat(const char **p, size_t *len, const char *head)
{
    size_t n = strlen(head);

    if (*len < n || memcmp(*p, head, n) != 0)
        return false;
    *p += n;
    *len -= n;
    return true;
}

/* An expression that needs none: see audit_rule.h. */
static bool read_simple(const char *p, size_t len, bool strict, struct audit_reading *out)
{
    enum audit_kind kind = AUDIT_KEYWORD;
    bool to_end = len > 0 && p[len - 1] == '$';

    if (to_end && (eat(&p, &len, "(^|\\.)") || eat(&p, &len, "^(.*\\.)?") ||
                   eat(&p, &len, "^(.+\\.)?") || eat(&p, &len, "(?:^|\\.)") ||
                   eat(&p, &len, "^(?:.*\\.)?") || eat(&p, &len, "^(?:.+\\.)?")))
        kind = AUDIT_DOMAIN;
    else if (to_end && eat(&p, &len, "^"))
        kind = AUDIT_FULL;
    if (to_end && kind == AUDIT_KEYWORD)
        return false;
    long n = literal_of(p, len - (to_end ? 1 : 0), strict || kind != AUDIT_KEYWORD, out);
    if (n < 0)
        return false;
    out->kind = kind;
    out->value = out->buf;
    out->len = (size_t)n;
    return true;
}

static enum status read_regexp(const char *p, size_t len, bool strict, struct audit_reading *out)
{
    if (len == 0)
        return refuse(out, "nothing behind the prefix");
    if (read_simple(p, len, strict, out))
        return ST_OK;
    out->kind = AUDIT_REGEXP;
    out->value = p;
    out->len = len;
    return ST_OK;
}

/* ---- networks, ports, protocols ---- */

static bool parse_net(const char *p, size_t len, struct cidr *net)
{
    struct addr four;

    if (len == 0 || cidr_parse(net, p, len) != ST_OK)
        return false;
    four = net->net;
    addr_unmap(&four);
    if (four.family != net->net.family && net->bits >= 96) {
        net->net = four;
        net->bits = (uint8_t)(net->bits - 96);
    }
    return true;
}

/* "10.0.0.0/33": meant as a network, if a wrong one. */
static bool looks_like_net(const char *p, size_t len)
{
    size_t head = 0;

    while (head < len && strchr("0123456789abcdefABCDEF.:", p[head]) != NULL)
        head++;
    if (head == 0 || head == len || p[head] != '/')
        return false;
    for (size_t i = head + 1; i < len; i++)
        if (!ascii_is_digit(p[i]) && p[i] != '.')
            return false;
    return true;
}

static enum status read_net(const char *p, size_t len, struct audit_reading *out)
{
    if (!parse_net(p, len, &out->net))
        return refuse(out, "no address or network");
    return take(out, AUDIT_NET, p, len);
}

static bool read_number(const char *p, size_t len, size_t *at, uint16_t *out)
{
    unsigned n = 0;
    size_t from = *at;

    while (*at < len && ascii_is_digit(p[*at]) && *at - from < 5)
        n = n * 10 + (unsigned)(p[(*at)++] - '0');
    *out = (uint16_t)n;
    return *at > from && n > 0 && n <= UINT16_MAX;
}

static void skip_blanks(const char *p, size_t len, size_t *at)
{
    while (*at < len && is_blank(p[*at]))
        ++*at;
}

enum status audit_rule_next_port(const char *text, size_t len, size_t *at, uint16_t *lo,
                                 uint16_t *hi)
{
    while (*at < len && (is_blank(text[*at]) || text[*at] == ','))
        ++*at;
    if (*at == len)
        return ST_EOF;
    if (!read_number(text, len, at, lo))
        return ST_E_PROTO;
    *hi = *lo;
    skip_blanks(text, len, at);
    if (*at < len && (text[*at] == '-' || text[*at] == ':')) {
        ++*at;
        skip_blanks(text, len, at);
        if (!read_number(text, len, at, hi) || *hi < *lo)
            return ST_E_PROTO;
        skip_blanks(text, len, at);
    }
    return *at == len || text[*at] == ',' ? ST_OK : ST_E_PROTO;
}

static enum status read_ports(const char *p, size_t len, struct audit_reading *out)
{
    size_t at = 0, count = 0;
    uint16_t lo, hi;
    enum status st;

    while ((st = audit_rule_next_port(p, len, &at, &lo, &hi)) == ST_OK)
        count++;
    if (st != ST_EOF || count == 0)
        return refuse(out, "no ports: 53, or 1000-2000, from 1 to 65535");
    out->kind = AUDIT_PORT;
    out->value = p;
    out->len = len;
    return ST_OK;
}

static enum status read_protocol(const char *p, size_t len, struct audit_reading *out)
{
    static const struct {
        const char *word, *protocol;
    } words[] = {{"http", "http1"}, {"http1", "http1"}, {"http/1.1", "http1"},
                 {"tls", "tls"},    {"quic", "quic"},   {"bittorrent", "bittorrent"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) == len && strncasecmp(words[i].word, p, len) == 0) {
            out->kind = AUDIT_PROTOCOL;
            out->value = words[i].protocol;
            out->len = strlen(words[i].protocol);
            return ST_OK;
        }
    }
    return refuse(out, "no protocol that is recognised: http, tls, quic, bittorrent");
}

/* ---- items ---- */

enum prefix { DOMAIN, FULL, KEYWORD, REGEXP, NET, PORT, PROTOCOL, GEO, BARE };

static enum prefix eat_prefix(const char **p, size_t *len)
{
    static const struct {
        const char *word;
        enum prefix prefix;
    } words[] = {{"domain:", DOMAIN},     {"full:", FULL},    {"keyword:", KEYWORD},
                 {"regexp:", REGEXP},     {"regex:", REGEXP}, {"ip:", NET},
                 {"port:", PORT},         {"geosite:", GEO},  {"geoip:", GEO},
                 {"protocol:", PROTOCOL}, {"ext:", GEO},      {"ext-ip:", GEO},
                 {"ext-domain:", GEO}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i].word);
        if (*len >= n && strncasecmp(*p, words[i].word, n) == 0) {
            *p += n;
            *len -= n;
            trim(p, len);
            return words[i].prefix;
        }
    }
    return BARE;
}

static enum status read_bare(enum audit_as as, const char *p, size_t len, struct audit_reading *out)
{
    switch (as) {
    case AUDIT_AS_NET:
        return read_net(p, len, out);
    case AUDIT_AS_PORT:
        return read_ports(p, len, out);
    case AUDIT_AS_PROTOCOL:
        return read_protocol(p, len, out);
    case AUDIT_AS_ANY:
        break;
    }
    if (parse_net(p, len, &out->net) || looks_like_net(p, len))
        return read_net(p, len, out);
    if (is_wildcard(p, len)) {
        out->guessed = true;
        return read_name(AUDIT_DOMAIN, p, len, out);
    }
    return read_regexp(p, len, false, out);
}

static enum status read_item(enum audit_as as, const char *text, size_t len,
                             struct audit_reading *out)
{
    switch (eat_prefix(&text, &len)) {
    case DOMAIN:
        return read_name(AUDIT_DOMAIN, text, len, out);
    case FULL:
        return read_name(AUDIT_FULL, text, len, out);
    case KEYWORD:
        return take_name(out, AUDIT_KEYWORD, text, len);
    case REGEXP:
        return read_regexp(text, len, true, out);
    case NET:
        return read_net(text, len, out);
    case PORT:
        return read_ports(text, len, out);
    case PROTOCOL:
        return read_protocol(text, len, out);
    case GEO:
        out->error = "comes with routing, which is not there yet";
        return ST_E_UNSUPPORTED;
    case BARE:
        break;
    }
    return read_bare(as, text, len, out);
}

/* Every name has a dot. */
static bool is_all_dots(const struct audit_reading *r)
{
    return r->kind == AUDIT_KEYWORD && strspn(r->buf, ".") >= r->len;
}

enum status audit_rule_read(enum audit_as as, const char *text, size_t len,
                            struct audit_reading *out)
{
    out->guessed = false;
    out->error = NULL;
    trim(&text, &len);
    out->text = text;
    out->text_len = len;
    if (len == 0 || *text == '#')
        return ST_E_NOTFOUND;
    if (len > AUDIT_TEXT_MAX)
        return refuse(out, "too long");
    if (memchr(text, '\0', len) != NULL)
        return refuse(out, "a NUL byte in it");
    enum status st = read_item(as, text, len, out);
    return st == ST_OK && is_all_dots(out) ? refuse(out, "everything matches it") : st;
}
