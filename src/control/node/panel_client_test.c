#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "control/node/fake_panel.h"

#include <cmocka.h>

#include "control/node/panel_client.h"

struct world {
    struct loop *loop;
    struct panel_client *client;
    struct fake_panel panel;
    struct config_api api;
    /* script: what the n-th request gets; the last one stays */
    struct {
        int status;
        const char *headers, *body;
        size_t body_len; /* 0: text */
        enum fake_end end;
    } script[6];
    unsigned requests;
    char line[1100], etag[64], key[64], seq[16], type[64], agent[64], body[256];
    /* what came of it */
    bool done;
    long http;
    bool sent;
    enum status status;
    char reply[256], reply_etag[64], text[256];
    uint32_t retry_after_s;
    char streamed[256];
    unsigned restarts;
    enum status refuse;
};

static void handle(void *arg, const struct fake_request *r, struct fake_answer *a)
{
    struct world *w = arg;
    unsigned i = w->requests++;

    while (i > 0 && w->script[i < 6 ? i : 5].status == 0)
        i = (i < 6 ? i : 6) - 1;
    snprintf(w->line, sizeof(w->line), "%s %s", r->method, r->target);
    fake_header(r, "If-None-Match", w->etag, sizeof(w->etag));
    fake_header(r, "Idempotency-Key", w->key, sizeof(w->key));
    fake_header(r, "X-Report-Seq", w->seq, sizeof(w->seq));
    fake_header(r, "Content-Type", w->type, sizeof(w->type));
    fake_header(r, "User-Agent", w->agent, sizeof(w->agent));
    snprintf(w->body, sizeof(w->body), "%.*s", (int)r->body_len, r->body);
    a->status = w->script[i].status;
    a->headers = w->script[i].headers;
    a->end = w->script[i].end;
    if (w->script[i].body != NULL)
        fake_text(a, w->script[i].body);
    if (w->script[i].body_len != 0) {
        free(a->own_body);
        a->own_body = malloc(w->script[i].body_len);
        a->body_len = w->script[i].body_len;
        memcpy(a->own_body, w->script[i].body, a->body_len);
    }
}

static void on_done(void *arg, const struct panel_reply *r)
{
    struct world *w = arg;

    assert_false(w->done);
    w->done = true;
    w->http = r->http;
    w->sent = r->sent;
    w->status = r->status;
    w->retry_after_s = r->retry_after_s;
    snprintf(w->reply, sizeof(w->reply), "%s", r->body);
    snprintf(w->reply_etag, sizeof(w->reply_etag), "%s", r->etag);
    snprintf(w->text, sizeof(w->text), "%s", r->text);
}

static enum status on_data(void *arg, const void *p, size_t len)
{
    struct world *w = arg;
    size_t n = strlen(w->streamed);

    snprintf(w->streamed + n, sizeof(w->streamed) - n, "%.*s", (int)len, (const char *)p);
    return w->refuse;
}

static void on_restart(void *arg)
{
    struct world *w = arg;
    w->streamed[0] = '\0';
    w->restarts++;
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->loop = loop_new();
    w->client = panel_client_new(w->loop, 1);
    w->panel.handle = handle;
    w->panel.arg = w;
    fake_open(&w->panel, w->loop);
    w->api = (struct config_api){.timeout_ms = 20000, .proxy = "", .ca = ""};
    w->script[0].status = 200;
    *state = w;
    return w->client == NULL;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    panel_client_free(w->client);
    fake_close(&w->panel);
    loop_free(w->loop);
    free(w);
    return 0;
}

static struct panel_call *start(struct world *w, const struct panel_request *more)
{
    char url[128];
    struct panel_request r = *more;

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/api?action=x&token=secret", w->panel.port);
    r.api = &w->api;
    r.url = more->url != NULL ? more->url : url;
    r.reply_max = more->reply_max != 0 ? more->reply_max : 1000;
    r.done = on_done;
    r.arg = w;
    w->done = false;
    w->requests = 0;
    return panel_start(w->client, &r);
}

static void run(struct world *w, const struct panel_request *more)
{
    assert_non_null(start(w, more));
    assert_false(w->done);
    while (!w->done)
        loop_once(w->loop, -1);
}

static const struct panel_request get = {.post = false};
static const struct panel_request stream = {.data = on_data, .restart = on_restart};

static void post(struct world *w, const char *text)
{
    struct panel_request r = {.post = true, .own_body = strdup(text), .body_len = strlen(text)};
    r.idempotency_key = "7-ab-1";
    r.seq = 1;
    run(w, &r);
}

static void simple_get(void **state)
{
    struct world *w = *state;
    struct panel_request r = {.etag = "W/\"e1\""};

    w->script[0].body = "{\"a\":1}";
    w->script[0].headers = "ETag: \"e2\"\r\nRetry-After: 7\r\n";
    run(w, &r);
    assert_string_equal(w->line, "GET /api?action=x&token=secret");
    assert_string_equal(w->etag, "W/\"e1\"");
    assert_string_equal(w->agent, "v2sp/" V2SP_VERSION);
    assert_string_equal(w->key, "");
    assert_int_equal(w->http, 200);
    assert_int_equal(w->status, ST_OK);
    assert_string_equal(w->reply, "{\"a\":1}");
    assert_string_equal(w->reply_etag, "\"e2\"");
    assert_int_equal(w->retry_after_s, 7);
    run(w, &get);
    assert_string_equal(w->etag, "");
    assert_int_equal(w->panel.accepted, 1); /* one connection for both */
}

static void not_modified(void **state)
{
    struct world *w = *state;
    w->script[0].status = 304;
    run(w, &stream);
    assert_int_equal(w->http, 304);
    assert_int_equal(w->status, ST_OK);
    assert_string_equal(w->streamed, "");
}

static void streamed_body(void **state)
{
    struct world *w = *state;
    w->script[0].body = "abc";
    run(w, &stream);
    assert_string_equal(w->streamed, "abc");
    assert_int_equal(w->restarts, 0);
    /* An error page is not fed to the reader. */
    w->script[0].status = 403;
    w->script[0].body = "{\"message\":\"no\"}";
    w->streamed[0] = '\0';
    run(w, &stream);
    assert_string_equal(w->streamed, "");
    assert_string_equal(w->reply, "{\"message\":\"no\"}");
    assert_int_equal(w->requests, 1); /* a status is an answer */
}

static void half_an_answer_is_asked_again(void **state)
{
    struct world *w = *state;
    w->script[0].body = "0123456789";
    w->script[0].end = FAKE_HALF;
    w->script[1].status = 200;
    w->script[1].body = "whole";
    run(w, &stream);
    assert_string_equal(w->streamed, "whole");
    assert_int_equal(w->restarts, 1);
    assert_int_equal(w->requests, 2);
    assert_int_equal(w->status, ST_OK);
}

static void get_is_tried_three_times(void **state)
{
    struct world *w = *state;
    w->script[0].end = FAKE_DROP;
    run(w, &get);
    assert_int_equal(w->requests, 3);
    assert_int_equal(w->http, 0);
    assert_int_equal(w->status, ST_E_IO);
    assert_true(w->sent);
    assert_true(w->text[0] != '\0');
}

static void nobody_listens(void **state)
{
    struct world *w = *state;
    char url[64];
    struct panel_request r = {.url = url};

    fake_close(&w->panel);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", w->panel.port);
    run(w, &r);
    assert_int_equal(w->http, 0);
    assert_false(w->sent);
    fake_open(&w->panel, w->loop);
}

static void post_is_sent_once(void **state)
{
    struct world *w = *state;
    w->script[0].body = "{}";
    post(w, "{\"1\":[2,3]}");
    assert_string_equal(w->body, "{\"1\":[2,3]}");
    assert_string_equal(w->key, "7-ab-1");
    assert_string_equal(w->seq, "1");
    assert_string_equal(w->type, "application/json");
    assert_int_equal(w->http, 200);
    /* The connection is reused, and dies under the request: libcurl must not send it again by
     * itself. */
    w->script[0].end = FAKE_DROP;
    post(w, "{\"1\":[4,5]}");
    assert_int_equal(w->requests, 1);
    assert_int_equal(w->http, 0);
    assert_true(w->sent);
    assert_string_equal(w->text, "connection closed");
    /* And on a fresh one. */
    post(w, "{}");
    assert_int_equal(w->requests, 1);
    assert_true(w->sent);
}

static void deadline(void **state)
{
    struct world *w = *state;
    w->script[0].end = FAKE_HOLD;
    w->api.timeout_ms = 50;
    run(w, &get);
    assert_int_equal(w->status, ST_E_TIMEOUT);
    assert_int_equal(w->http, 0);
    assert_true(w->sent);
    assert_int_equal(w->requests, 1);
}

static void redirects(void **state)
{
    struct world *w = *state;
    char to[256];

    w->script[0].status = 307;
    w->script[0].headers = "Location: /new?token=secret\r\n";
    w->script[1].status = 200;
    w->script[1].body = "here";
    run(w, &get);
    assert_string_equal(w->reply, "here");
    assert_string_equal(w->line, "GET /new?token=secret");
    post(w, "body");
    assert_string_equal(w->line, "POST /new?token=secret");
    assert_string_equal(w->body, "body");

    snprintf(to, sizeof(to), "Location: http://localhost:%u/new?token=secret\r\n", w->panel.port);
    w->script[0].headers = to;
    run(w, &get);
    assert_int_equal(w->http, 307);
    assert_int_equal(w->requests, 1);

    w->script[0].headers = "Location: /again\r\n";
    w->script[1].status = 0;
    run(w, &get);
    assert_int_equal(w->requests, 4);
    assert_int_equal(w->http, 307);
}

static void too_large(void **state)
{
    struct world *w = *state;
    struct panel_request r = {.reply_max = 4};
    w->script[0].body = "12345";
    run(w, &r);
    assert_int_equal(w->status, ST_E_LIMIT);
    assert_int_equal(w->requests, 1);
    r.reply_max = 5;
    run(w, &r);
    assert_int_equal(w->status, ST_OK);
}

static void reader_refuses(void **state)
{
    struct world *w = *state;
    w->script[0].body = "<html>";
    w->refuse = ST_E_PROTO;
    run(w, &stream);
    assert_int_equal(w->status, ST_E_PROTO);
    assert_int_equal(w->http, 200);
    assert_string_equal(w->reply, "<html>");
    assert_int_equal(w->requests, 1);
}

static void compressed(void **state)
{
    struct world *w = *state;
    /* gzip of "hello\n" */
    static const char gz[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02"
                             "\x00\x20\x30\x3a\x36\x06\x00\x00\x00";
    w->script[0].headers = "Content-Encoding: gzip\r\n";
    w->script[0].body = gz;
    w->script[0].body_len = sizeof(gz) - 1;
    run(w, &get);
    assert_string_equal(w->reply, "hello\n");
    w->script[0].body_len = 0;
    w->script[0].body = "not gzip at all";
    run(w, &get);
    assert_int_not_equal(w->status, ST_OK);
}

static void cancelled(void **state)
{
    struct world *w = *state;
    w->script[0].end = FAKE_HOLD;
    struct panel_call *call = start(w, &get);
    while (w->requests == 0)
        loop_once(w->loop, -1);
    panel_cancel(call);
    loop_once(w->loop, 0);
    assert_false(w->done);
    assert_non_null(start(w, &get)); /* freed by the client's end */
}

static void bad_address(void **state)
{
    struct world *w = *state;
    struct panel_request r = {.url = "file:///etc/passwd"};
    run(w, &r);
    assert_int_equal(w->http, 0);
    assert_int_equal(w->requests, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(simple_get),
        TEST(not_modified),
        TEST(streamed_body),
        TEST(half_an_answer_is_asked_again),
        TEST(get_is_tried_three_times),
        TEST(nobody_listens),
        TEST(post_is_sent_once),
        TEST(deadline),
        TEST(redirects),
        TEST(too_large),
        TEST(reader_refuses),
        TEST(compressed),
        TEST(cancelled),
        TEST(bad_address),
    };
    return cmocka_run_group_tests_name("panel_client", tests, NULL, NULL);
}
