#include "control/node/node_job.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "control/node/node.h"
#include "control/node/reporter.h"

void node_log(const struct node *n, int level, const char *fmt, ...)
{
    struct log_about about = {.node = n->conf->tag};
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_line(n->env->lg, (enum log_level)level, &about, "%s", text);
}

void node_trouble_set(struct node *n, struct node_trouble *t, uint64_t key, const char *fmt, ...)
{
    bool news = t->key != key;
    va_list ap;

    t->key = key;
    va_start(ap, fmt);
    vsnprintf(t->text, sizeof(t->text), fmt, ap);
    va_end(ap);
    if (news)
        node_log(n, LOG_WARNING, "%s", t->text);
}

void node_trouble_clear(struct node *n, struct node_trouble *t, const char *text)
{
    if (t->key != 0 && text != NULL)
        node_log(n, LOG_INFO, "%s", text);
    t->key = 0;
    t->text[0] = '\0';
}

static uint32_t chance(struct node *n)
{
    return (uint32_t)rng_u64(&n->env->rng);
}

/* One cause often shows in all calls of a node: it is said once. */
static bool said_elsewhere(const struct node *n, const struct node_job *job, uint64_t key)
{
    return (job != &n->pull && n->pull.trouble.key == key) ||
           reporter_has_trouble(n->reporter, job, key);
}

static void name_trouble(struct node *n, struct node_job *job, uint64_t key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void name_trouble(struct node *n, struct node_job *job, uint64_t key, const char *fmt, ...)
{
    char text[NODE_PROBLEM_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (said_elsewhere(n, job, key))
        job->trouble.key = key; /* so that it is no news */
    node_trouble_set(n, &job->trouble, key, "%s", text);
}

void node_job_failed(struct node *n, struct node_job *job, const char *what, enum v2sp_outcome o,
                     const struct panel_reply *r, const char *text, uint64_t interval_ms)
{
    long http = r != NULL ? r->http : 0;
    job->failed++;
    uint64_t key = (uint64_t)o << 16 | (uint64_t)http | UINT64_C(1) << 62;
    uint64_t delay = v2sp_outcome_delay_ms(o, ++job->fails, interval_ms,
                                           r != NULL ? r->retry_after_s : 0, chance(n));

    if (http != 0)
        name_trouble(n, job, key, "%s: %s (HTTP %ld%s%s)", what, v2sp_outcome_str(o), http,
                     text[0] != '\0' ? ": " : "", text);
    else
        name_trouble(n, job, key, "%s: %s%s%s", what, v2sp_outcome_str(o),
                     text[0] != '\0' ? ": " : "", text);
    loop_timer_in(n->env->loop, &job->timer, delay);
}

void node_job_done(struct node *n, struct node_job *job, const char *what, uint64_t interval_ms)
{
    uint64_t key = job->trouble.key;

    if (key != 0 && !said_elsewhere(n, job, key))
        node_log(n, LOG_INFO, "%s: works again", what);
    node_trouble_clear(n, &job->trouble, NULL);
    job->fails = 0;
    job->done++;
    loop_timer_in(n->env->loop, &job->timer, v2sp_outcome_jitter_ms(interval_ms, chance(n)));
}
