#include "app/spool_view.h"

#include <inttypes.h>
#include <stdbool.h>

#include "app/status_view.h"
#include "codec/json.h"

static uint64_t num(const struct json_t *o, const char *key)
{
    int64_t v = json_get_int(o, key, 0);
    return v > 0 ? (uint64_t)v : 0;
}

static void show_age(struct textbuf *out, uint64_t since, int64_t now)
{
    char word[STATUS_WORD_MAX];

    if (since == 0)
        textbuf_printf(out, "%8s", "-");
    else
        textbuf_printf(out, "%8s",
                       status_span(word, now > (int64_t)since ? (uint64_t)now - since : 0));
}

static void show_sums(struct textbuf *out, const struct json_t *o)
{
    char up[STATUS_WORD_MAX], down[STATUS_WORD_MAX];

    textbuf_printf(out, "%8" PRIu64 " %10s %10s ", num(o, "rows"), status_bytes(up, num(o, "up")),
                   status_bytes(down, num(o, "down")));
}

static const char *state_of(const struct json_t *b, uint64_t sending)
{
    if (sending == num(b, "number"))
        return "is sent";
    if (json_get_bool(b, "parked", false))
        return "parked";
    return json_get_bool(b, "tried", false) ? "tried" : "waits";
}

static void show_node(struct textbuf *out, const struct json_t *n, int64_t now)
{
    const struct json_t *accounts = json_get(n, "accounts"), *batches = json_get(n, "batches");
    const char *tag = json_get_str(n, "tag", NULL);

    textbuf_printf(out, "node %" PRIu64 "  ", num(n, "row"));
    if (tag != NULL) {
        status_plain(out, tag, 80);
    } else {
        status_plain(out, json_get_str(n, "identity", "?"), 64);
        textbuf_puts(out, "  (not configured)");
    }
    textbuf_puts(out, "\n   BATCH    USERS         UP       DOWN       AGE  STATE    KEY\n");
    for (size_t i = 0; i < json_array_len(batches); i++) {
        const struct json_t *b = json_at(batches, i);
        textbuf_printf(out, "%8" PRIu64 " ", num(b, "number"));
        show_sums(out, b);
        show_age(out, num(b, "frozen"), now);
        textbuf_printf(out, "  %-8s ", state_of(b, num(n, "sending")));
        status_plain(out, json_get_str(b, "key", ""), 40);
        textbuf_puts(out, "\n");
    }
    if (num(accounts, "rows") > 0) {
        textbuf_printf(out, "%8s ", "none yet");
        show_sums(out, accounts);
        show_age(out, num(accounts, "oldest"), now);
        textbuf_puts(out, "  accounts\n");
    }
}

void spool_view(struct textbuf *out, const struct json_t *doc, int64_t now)
{
    const struct json_t *nodes = json_get(doc, "nodes");
    bool any = false;

    for (size_t i = 0; i < json_array_len(nodes); i++) {
        const struct json_t *n = json_at(nodes, i);
        if (num(json_get(n, "accounts"), "rows") == 0 &&
            json_array_len(json_get(n, "batches")) == 0)
            continue;
        textbuf_puts(out, any ? "\n" : "");
        show_node(out, n, now);
        any = true;
    }
    if (!any)
        textbuf_puts(out, "nothing waits\n");
}
