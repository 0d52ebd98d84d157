#include "panel/v2sp/outcome.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/json.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)

enum v2sp_outcome v2sp_outcome_of(long http, bool sent, bool optional)
{
    if (http == 0)
        return sent ? V2SP_CUT : V2SP_UNREACHABLE;
    if (http >= 200 && http < 300)
        return V2SP_DONE;
    if (http == 304)
        return V2SP_UNCHANGED;
    if (http < 400)
        return V2SP_REDIRECTED;
    if (optional && (http == 404 || http == 405 || http == 501))
        return V2SP_NO_ACTION;
    if (http == 401 || http == 403 || http == 407)
        return V2SP_DENIED;
    if (http == 404 || http == 410)
        return V2SP_UNKNOWN_NODE;
    if (http == 408 || http == 429 || http >= 500)
        return V2SP_TROUBLE;
    return V2SP_REJECTED;
}

enum v2sp_applied v2sp_outcome_applied(enum v2sp_outcome o, long http)
{
    switch (o) {
    case V2SP_DONE:
        return V2SP_APPLIED;
    case V2SP_CUT:
    case V2SP_BAD_REPLY: /* a page put in front of a panel that may have done its work */
        return V2SP_MAYBE_APPLIED;
    case V2SP_TROUBLE:
        return http == 503 || http == 429 ? V2SP_NOT_APPLIED : V2SP_MAYBE_APPLIED;
    default:
        return V2SP_NOT_APPLIED;
    }
}

const char *v2sp_outcome_str(enum v2sp_outcome o)
{
    static const char *const texts[] = {
        [V2SP_DONE] = "ok",
        [V2SP_UNCHANGED] = "unchanged",
        [V2SP_UNREACHABLE] = "panel not reachable",
        [V2SP_CUT] = "no answer from the panel",
        [V2SP_BAD_REPLY] = "unusable answer",
        [V2SP_REDIRECTED] = "redirected elsewhere",
        [V2SP_REJECTED] = "request rejected",
        [V2SP_DENIED] = "access denied: check ApiKey, and whether the node is enabled",
        [V2SP_UNKNOWN_NODE] = "node or address unknown to the panel: check NodeID and ApiHost",
        [V2SP_NO_ACTION] = "action not offered by the panel",
        [V2SP_TROUBLE] = "panel in trouble",
    };
    return texts[o];
}

uint64_t v2sp_outcome_jitter_ms(uint64_t interval_ms, uint32_t random)
{
    uint64_t spread = interval_ms / 5;

    return interval_ms - interval_ms / 10 + (spread == 0 ? 0 : random % (spread + 1));
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t v2sp_outcome_delay_ms(enum v2sp_outcome o, unsigned fails, uint64_t interval_ms,
                               uint32_t retry_after_s, uint32_t random)
{
    uint64_t base = interval_ms, cap = 10 * MINUTE;

    switch (o) {
    case V2SP_DONE:
    case V2SP_UNCHANGED:
        return v2sp_outcome_jitter_ms(interval_ms, random);
    case V2SP_NO_ACTION:
        return 60 * MINUTE;
    case V2SP_UNREACHABLE:
    case V2SP_CUT:
        /* A panel that restarts should be found again soon, one that is gone not be hammered. */
        base = interval_ms < 5 * SECOND ? interval_ms : 5 * SECOND;
        cap = larger(interval_ms, MINUTE);
        break;
    case V2SP_TROUBLE:
    case V2SP_BAD_REPLY:
        base = interval_ms < 10 * SECOND ? interval_ms : 10 * SECOND;
        cap = larger(interval_ms, 5 * MINUTE);
        break;
    case V2SP_DENIED:
    case V2SP_UNKNOWN_NODE:
    case V2SP_REDIRECTED:
    case V2SP_REJECTED:
        base = MINUTE;
        break;
    }
    uint64_t d = base;
    for (unsigned i = 1; i < fails && d < cap; i++)
        d *= 2;
    d = d > cap ? cap : d;
    d = v2sp_outcome_jitter_ms(d, random);
    uint64_t wish = retry_after_s * SECOND;
    return larger(d, wish > 10 * MINUTE ? 10 * MINUTE : wish);
}

bool v2sp_outcome_is_html(const char *body, size_t len)
{
    size_t i = 0;

    if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0)
        i = 3;
    while (i < len && strchr(" \t\r\n", body[i]) != NULL && body[i] != '\0')
        i++;
    return i < len && body[i] == '<';
}

static void copy_line(char *dst, size_t cap, const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len && n + 1 < cap && n < 200; i++) {
        unsigned char c = (unsigned char)text[i];
        dst[n++] = c < ' ' || c == 0x7f ? ' ' : (char)c;
    }
    dst[n] = '\0';
}

void v2sp_outcome_message(char *dst, size_t cap, const char *body, size_t len)
{
    struct json_t *v = NULL;
    struct json_error e;

    dst[0] = '\0';
    if (v2sp_outcome_is_html(body, len)) {
        snprintf(dst, cap, "an HTML page, no API answer");
        return;
    }
    if (len > 0 && json_parse(body, len, &v, &e) == ST_OK) {
        const char *m = json_get_str(v, "message", NULL);
        if (m == NULL)
            m = json_get_str(v, "error", NULL);
        if (m == NULL)
            m = json_get_str(v, "msg", NULL);
        if (m != NULL)
            copy_line(dst, cap, m, strlen(m));
        json_unref(v);
    }
    if (dst[0] == '\0')
        copy_line(dst, cap, body, len);
}
