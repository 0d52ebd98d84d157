#include "control/probe/reality_verdict.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tls/server_hello.h"

/* Least totals of our records (RFC 8446 sections 4.3 and 4.4 with an Ed25519 certificate of 178
 * bytes, or of 3,509 with ML-DSA-65): a header, the message, its type, a tag. */
#define OVERHEAD    22u
#define EXTENSIONS  (6u + OVERHEAD)
#define CERTIFICATE (191u + OVERHEAD)
#define MLDSA_MORE  3331u
#define VERIFY      (72u + OVERHEAD)
#define FINISHED    (36u + OVERHEAD)
#define SHA384_MORE 16u
#define COMBINED    (6u + 191u + 72u + 36u + OVERHEAD)

void reality_verdict_fit(struct reality_probe_result *r, bool mldsa)
{
    const struct flight_shape *s = &r->shape;
    unsigned more = mldsa ? MLDSA_MORE : 0, sha384 = r->suite == 0x1302 ? SHA384_MORE : 0;
    const char *what = NULL;
    unsigned has = 0, needs = 0;
    if (s->combined) {
        what = "flight";
        has = s->len[FLIGHT_EXTENSIONS];
        needs = COMBINED + more + sha384;
    } else if (s->len[FLIGHT_CERTIFICATE] < CERTIFICATE + more) {
        what = "Certificate record";
        has = s->len[FLIGHT_CERTIFICATE];
        needs = CERTIFICATE + more;
    } else if (s->len[FLIGHT_EXTENSIONS] < EXTENSIONS) {
        what = "EncryptedExtensions record";
        has = s->len[FLIGHT_EXTENSIONS];
        needs = EXTENSIONS;
    } else if (s->len[FLIGHT_VERIFY] < VERIFY) {
        what = "CertificateVerify record";
        has = s->len[FLIGHT_VERIFY];
        needs = VERIFY;
    } else if (s->len[FLIGHT_FINISHED] < FINISHED + sha384) {
        what = "Finished record";
        has = s->len[FLIGHT_FINISHED];
        needs = FINISHED + sha384;
    }
    if (what != NULL && has < needs)
        snprintf(r->problem, sizeof(r->problem), "its %s has %u bytes, ours needs %u%s", what, has,
                 needs, mldsa ? " (with mldsa65Seed)" : "");
}

void reality_verdict_http(struct reality_probe_result *r, const char *head)
{
    if (strncmp(head, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)head[7]) || head[8] != ' ')
        return;
    char *end;
    long status = strtol(head + 9, &end, 10);
    if (end != head + 12 || status < 100 || status > 999)
        return;
    r->http_status = (int)status;
    if (r->http_status < 300 || r->http_status > 399)
        return;
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, "location:", 9) != 0)
            continue;
        line += 9;
        line += strspn(line, " \t");
        size_t n = strcspn(line, "\r\n \t");
        if (n >= sizeof(r->location))
            n = sizeof(r->location) - 1;
        for (size_t i = 0; i < n; i++)
            r->location[i] = line[i] > 0x20 && line[i] < 0x7f ? line[i] : '?';
        r->location[n] = '\0';
        return;
    }
}

/* Does @url lead to another host than @name? */
static bool leads_away(const char *url, const char *name)
{
    const char *host = strstr(url, "://");
    if (host != NULL)
        host += 3;
    else if (strncmp(url, "//", 2) == 0)
        host = url + 2;
    else
        return false;
    size_t n = strcspn(host, "/?#:");
    return n != strlen(name) || strncasecmp(host, name, n) != 0;
}

static const char *group_str(uint16_t group)
{
    return group == TLS_GROUP_X25519MLKEM768 ? "X25519MLKEM768"
           : group == TLS_GROUP_X25519       ? "X25519"
                                             : "an unknown group";
}

static const char *suite_str(uint16_t suite)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
    return suite >= 0x1301 && suite <= 0x1303 ? names[suite - 0x1301] : "an unknown cipher";
}

struct lines {
    struct reality_line *list;
    size_t count;
};

static void add(struct lines *l, enum reality_mark mark, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct lines *l, enum reality_mark mark, const char *fmt, ...)
{
    va_list ap;
    struct reality_line *line = &l->list[l->count++];
    line->mark = mark;
    va_start(ap, fmt);
    vsnprintf(line->text, sizeof(line->text), fmt, ap);
    va_end(ap);
}

static void add_certificate(struct lines *l, const struct reality_probe_result *r, const char *name)
{
    const struct tls_probe_facts *f = &r->facts;
    if (!r->has_facts) {
        add(l, REALITY_DOUBTFUL, "its certificate could not be looked at: %s", r->cert_problem);
        return;
    }
    if (strcmp(f->alpn, "h2") == 0)
        add(l, REALITY_GOOD, "ALPN h2");
    else
        add(l, REALITY_DOUBTFUL, "it does not choose h2 by ALPN (%s), as sites of today do",
            f->alpn[0] != '\0' ? f->alpn : "nothing at all");
    if (!f->covers_name)
        add(l, REALITY_DOUBTFUL,
            "its certificate is not for %s: whoever looks will see it; choose a name in it",
            name[0] != '\0' ? name : "no name");
    else if (!f->trusted)
        add(l, REALITY_DOUBTFUL, "certificate for %s, chain of %zu bytes, but not trusted: %s",
            name, f->chain_bytes, f->doubt);
    else
        add(l, f->expires_s < 7 * 86400 ? REALITY_DOUBTFUL : REALITY_GOOD,
            "certificate for %s, chain of %zu bytes, %lld days left", name, f->chain_bytes,
            (long long)(f->expires_s / 86400));
}

static void add_http(struct lines *l, const struct reality_probe_result *r, const char *name)
{
    if (r->http_status == 0)
        add(l, REALITY_DOUBTFUL, "no answer to an HTTP request");
    else if (r->location[0] != '\0' && leads_away(r->location, name))
        add(l, REALITY_DOUBTFUL, "HTTP %d: redirects away from %s, to %s", r->http_status, name,
            r->location);
    else
        add(l, REALITY_GOOD, "HTTP %d, no redirect to another host", r->http_status);
}

size_t reality_verdict_lines(const struct reality_probe_result *r, const char *server_name,
                             unsigned steps, struct reality_line lines[REALITY_LINES_MAX])
{
    struct lines l = {lines, 0};
    if (r->problem[0] != '\0') {
        add(&l, REALITY_BAD, "%s%s", r->down ? "not reachable: " : "", r->problem);
        return l.count;
    }
    add(&l, r->answer_ms > REALITY_SLOW_MS ? REALITY_DOUBTFUL : REALITY_GOOD,
        r->answer_ms > REALITY_SLOW_MS ? "reachable, but slow: answers in %u ms"
                                       : "reachable, answers in %u ms",
        r->answer_ms);
    if (r->shape.combined)
        add(&l, REALITY_GOOD, "TLS 1.3, %s, %s, flight of %u bytes in one record",
            group_str(r->group), suite_str(r->suite), r->shape.len[FLIGHT_EXTENSIONS]);
    else
        add(&l, REALITY_GOOD, "TLS 1.3, %s, %s, certificate record of %u bytes",
            group_str(r->group), suite_str(r->suite), r->shape.len[FLIGHT_CERTIFICATE]);
    if (steps & REALITY_PROBE_CERT)
        add_certificate(&l, r, server_name);
    if (steps & REALITY_PROBE_HTTP)
        add_http(&l, r, server_name);
    return l.count;
}

bool reality_verdict_excellent(const struct reality_probe_result *r)
{
    return r->problem[0] == '\0' && r->has_facts && r->facts.covers_name && r->facts.trusted &&
           strcmp(r->facts.alpn, "h2") == 0;
}
