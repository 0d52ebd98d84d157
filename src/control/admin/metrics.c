#include "control/admin/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/config/config_stats.h"
#include "control/node/node.h"
#include "control/server/http_service.h"
#include "io/loop.h"

#define RETRY_MS 5000u
#define TEXT     "text/plain; charset=utf-8"

struct metrics {
    struct metrics_setup setup;
    struct http_service *service;
    struct config_metrics conf;
    struct timer retry;
    uint64_t scrapes;
    bool told;
};

static void answer_text(struct http_call *call, unsigned status, const char *text)
{
    textbuf_printf(http_call_text(call), "%s\n", text);
    http_call_answer(call, status, TEXT);
}

static void on_request(void *arg, struct http_call *call)
{
    struct metrics *m = arg;
    const struct http1_head *h = http_call_head(call);
    struct metrics_text t = {.text = http_call_text(call)};

    if (!http1_str_equal(h->method, "HEAD") && !http1_str_equal(h->method, "GET")) {
        http_call_allow(call, "GET, HEAD");
        answer_text(call, 405, "only GET");
    } else if (http1_str_equal(h->path, "/metrics") || http1_str_equal(h->path, "/scrape")) {
        metrics_page(&t, &m->setup, m->conf.users, ++m->scrapes);
        http_call_answer(call, 200, "text/plain; version=0.0.4; charset=utf-8");
    } else if (http1_str_equal(h->path, "/debug/vars")) {
        metrics_vars(&t, &m->setup, m->conf.users);
        http_call_answer(call, 200, "application/json; charset=utf-8");
    } else if (http1_str_equal(h->path, "/healthz")) {
        answer_text(call, 200, "ok");
    } else if (http1_str_equal(h->path, "/readyz")) {
        http_call_answer(call, metrics_ready(&t, &m->setup) ? 200 : 503, TEXT);
    } else {
        answer_text(call, 404, "/metrics, /healthz, /readyz, /debug/vars");
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void try_listen(struct metrics *m)
{
    const struct log *lg = m->setup.env->lg;
    struct why why = {0};
    char text[ADDR_STRLEN];

    if (http_service_listen(m->service, &m->conf.listen, &why) == ST_OK) {
        log_line(lg, LOG_INFO, NULL, "metrics: listening on %s", addr_str(&m->conf.listen, text));
        m->told = false;
        return;
    }
    if (!m->told)
        log_line(lg, LOG_ERROR, NULL, "metrics: %s: %s (%s); the nodes go on, it is tried again",
                 addr_str(&m->conf.listen, text), why.text, strerror((int)why.number));
    m->told = true;
    loop_timer_in(m->setup.env->loop, &m->retry, RETRY_MS);
}

static void on_retry(struct timer *t)
{
    try_listen(LIST_ENTRY(t, struct metrics, retry));
}

struct metrics *metrics_new(const struct metrics_setup *setup)
{
    struct metrics *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return NULL;
    m->setup = *setup;
    timer_init(&m->retry, on_retry);
    const struct http_service_conf conf = {.loop = setup->env->loop,
                                           .log = setup->env->lg,
                                           .name = "metrics",
                                           .answer_max = METRICS_TEXT_MAX,
                                           .request = on_request,
                                           .arg = m};
    m->service = http_service_new(&conf);
    if (m->service != NULL)
        return m;
    free(m);
    return NULL;
}

void metrics_free(struct metrics *m)
{
    if (m == NULL)
        return;
    loop_timer_del(m->setup.env->loop, &m->retry);
    http_service_free(m->service);
    free(m);
}

void metrics_apply(struct metrics *m, const struct config_metrics *conf)
{
    bool same = conf->listen.family != ADDR_NONE && addr_equal(&conf->listen, &m->conf.listen);

    m->conf = *conf;
    if (same && (http_service_is_open(m->service) || timer_armed(&m->retry)))
        return;
    loop_timer_del(m->setup.env->loop, &m->retry);
    http_service_close(m->service);
    m->told = false;
    if (conf->listen.family != ADDR_NONE)
        try_listen(m);
}
