#include "session/screen.h"

#include <string.h>

#include "io/resolver.h"
#include "policy/audit.h"
#include "policy/audit_hits.h"
#include "session/port.h"
#include "session/screen_judge.h"
#include "session/session.h"
#include "session/worker.h"
#include "session/workers.h"

#define READ_TURN  (64u * 1024)
#define READ_QUEUE (80u * 1024) /* more than the largest unit of a layer */

static struct worker *worker_of(const struct session *s)
{
    return s->wn->worker;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

bool screen_has_rules(const struct worker_node *wn)
{
    return wn->view->node->audit != NULL;
}

bool screen_sniffs(const struct worker_node *wn)
{
    const struct view_node *n = wn->view->node;

    return n->sniff.first_ms > 0 && audit_needs_sniffing(n->audit);
}

/* What made a rule hit besides the target; empty texts: nothing. */
struct found {
    const char *what, *host;
};

static void note_hit(const struct screen_flow *f, const struct target *to, bool udp,
                     const struct found *found, const struct audit_rule *rule)
{
    struct worker *w = f->wn->worker;
    const struct view_node *n = f->wn->view->node;
    char peer[ADDR_STRLEN], target[TARGET_STRLEN];

    audit_hits_add(n->audit_hits, f->user->uid, rule);
    causes_add(&w->causes, f->wn->view->node_no, SCREEN_CAUSE);
    if (!log_wants(w->log, LOG_INFO) || !worker_may_log(w))
        return;
    struct log_about about = {
        .node = n->tag, .peer = addr_str(f->peer, peer), .user = f->user->uid};
    bool more = found->what[0] != '\0';
    log_line(w->log, LOG_INFO, &about, "%s:%s%s%s%s%s%s blocked by rule %u: %s",
             udp ? "udp" : "tcp", target_str(to, target), more ? " (" : "", found->what,
             found->host[0] ? " " : "", found->host, more ? ")" : "", rule->id, rule->text);
}

bool screen_judge(const struct screen_flow *f, const struct target *to, bool udp,
                  const struct sniff *found)
{
    const char *protocol = found != NULL ? sniff_protocol_str(found->protocol) : NULL;
    const struct audit_flow flow = {
        .target = to,
        .sniffed_host = found != NULL ? found->host : NULL,
        .protocol = protocol,
        .udp = udp,
    };
    const struct audit_rule *rule = audit_match(f->wn->view->node->audit, &flow);

    if (rule == NULL)
        return true;
    const struct found told = {protocol != NULL ? protocol : "",
                               protocol != NULL ? found->host : ""};
    note_hit(f, to, udp, &told, rule);
    return false;
}

bool screen_has_networks(const struct worker_node *wn)
{
    return audit_needs_addrs(wn->view->node->audit);
}

bool screen_addresses(const struct screen_flow *f, bool udp, const struct resolve_answer *answer,
                      uint16_t port)
{
    size_t which = 0;
    const struct audit_rule *rule =
        audit_match_addrs(f->wn->view->node->audit, answer->addrs, answer->count, &which);

    if (rule == NULL)
        return true;
    struct target to = {.addr.port = port};
    char ip[ADDR_STRLEN];
    to.host_len = (uint8_t)strnlen(answer->name, TARGET_HOST_MAX);
    memcpy(to.host, answer->name, to.host_len);
    const struct found told = {addr_ip_str(&answer->addrs[which], ip), ""};
    note_hit(f, &to, udp, &told, rule);
    return false;
}

/* ---- streams --------------------------------------------------------------------------------- */

/* Where the server has the first word: a client that waits for it would only lose time. */
static bool server_speaks_first(uint16_t port)
{
    /* FTP, SSH, Telnet, SMTP (and submission), POP3, NNTP, IMAP, MySQL, VNC. Not those of the same
     * over TLS, where the client begins. */
    static const uint16_t ports[] = {21, 22, 23, 25, 110, 119, 143, 587, 2525, 3306, 5900};

    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        if (ports[i] == port)
            return true;
    return false;
}

static struct screen_flow flow_of(const struct session *s)
{
    return (struct screen_flow){.wn = s->wn, .user = s->user, .peer = &s->info.peer};
}

/* All that a rule may look at of what was @found. */
static bool judge_found(const struct screen_flow *f, const struct target *to, struct sniff *found)
{
    if (!screen_judge(f, to, false, found))
        return false;
    if (found->other[0] == '\0')
        return true;
    memcpy(found->host, found->other, sizeof(found->host));
    return screen_judge(f, to, false, found);
}

/* By what the client has sent so far; @last: nothing more is waited for. */
static enum screen_answer look(struct session *s, const struct target *to, bool last)
{
    const struct bufq *up = chain_up(&s->in);
    struct screen_flow f = flow_of(s);
    struct sniff found;
    enum status st = sniff_stream(up, &found);

    if (st == ST_MORE && !last && !up->eof && !chain_bottom_in(&s->in)->eof)
        return SCREEN_WAIT;
    if (found.protocol != SNIFF_NONE && !judge_found(&f, to, &found))
        return SCREEN_BLOCKED;
    return SCREEN_PASS;
}

static bool may_read(const struct session *s)
{
    const struct bufq *in = chain_bottom_in(&s->in);

    return s->client.readable && !in->eof && chain_queued(&s->in, CHAIN_RX) < READ_QUEUE;
}

/* Undecided. The client that has begun to speak gets longer for the rest: its target could not make
 * more of it, and a segment may have been lost. */
static void await(struct session *s)
{
    uint64_t end = s->active_ms + s->wn->view->node->sniff.whole_ms;

    if (chain_up(&s->in)->head != NULL && s->deadline_ms < end) {
        s->deadline_ms = end;
        session_wake_by(s, end);
    }
    if (may_read(s))
        loop_task_add(worker_of(s)->loop, &s->task);
}

/* It may be dialled; if it has said nothing, that will be looked at when it comes. */
static void note_silence(struct session *s)
{
    if (chain_up(&s->in)->head == NULL && s->target_name != NULL)
        s->unheard = SCREEN_SILENT;
}

static enum screen_answer begin_stream(struct session *s, const struct target *to)
{
    if (!screen_sniffs(s->wn))
        return SCREEN_PASS;
    enum screen_answer answer = look(s, to, server_speaks_first(to->addr.port));
    if (answer == SCREEN_PASS)
        note_silence(s);
    if (answer != SCREEN_WAIT)
        return answer;
    if (s->target_name == NULL)
        return SCREEN_BLOCKED; /* no memory to wait with */
    s->state = SESSION_SCREENING;
    s->active_ms = loop_now_ms(worker_of(s)->loop);
    session_deadline(s, s->wn->view->node->sniff.first_ms);
    await(s);
    return SCREEN_WAIT;
}

enum screen_answer screen_request(struct session *s, const struct request *req)
{
    struct screen_flow f = flow_of(s);
    bool udp = req->network == NETWORK_UDP, named = !udp || !req->addressed;

    if (!screen_has_rules(s->wn))
        return SCREEN_PASS;
    if (named && !screen_judge(&f, &req->target, udp, NULL))
        return SCREEN_BLOCKED;
    if (!udp)
        return begin_stream(s, &req->target);
    if (named && !screen_begin(&s->screen, &f, &req->target))
        return SCREEN_BLOCKED;
    const struct addr none = {.family = ADDR_NONE};
    return screen_queue(&s->screen, &f, &none, chain_up(&s->in)) == ST_OK ? SCREEN_PASS
                                                                          : SCREEN_BLOCKED;
}

/* Reads what the client has sent. False: @s has ended. */
static bool read_client(struct session *s)
{
    struct worker *w = worker_of(s);
    struct bufq *in = chain_bottom_in(&s->in);
    int err = 0;
    enum status st = ST_MORE;

    if (may_read(s))
        st = conn_read(&s->client, in, READ_TURN, w->pool, &err);
    if (st == ST_EOF)
        in->eof = true;
    if (st == ST_E_NOMEM)
        session_pause_for_memory(s);
    else if (st < 0)
        goto gone;
    if (session_chain_run(s) < 0) {
        struct why why = w->ev.why;
        session_fail(s, &why);
        return false;
    }
    if (session_flush_client(s) >= 0)
        return true;
gone:
    session_close(s, false);
    return false;
}

static void conclude(struct session *s, bool last)
{
    enum screen_answer answer = look(s, s->target_name, last);

    if (answer == SCREEN_PASS)
        note_silence(s);
    if (answer == SCREEN_WAIT)
        await(s);
    else
        session_screened(s, answer == SCREEN_PASS);
}

/* Nothing is moved while it is undecided, so that active_ms stays when it began. */
bool screen_hear(struct session *s)
{
    struct worker *w = worker_of(s);
    uint64_t now = loop_now_ms(w->loop);

    /* A stream whose carrier is gone has all that it will get. */
    if (s->cut == SESSION_NOT_CUT && !read_client(s))
        return false;
    if (chain_up(&s->in)->head == NULL) {
        if (!may_read(s))
            return true;
        /* A part of a large unit, or what says nothing: the relay must not read the rest. */
        loop_task_add(w->loop, &s->task);
        return false;
    }
    if (s->unheard == SCREEN_SILENT) {
        s->unheard = SCREEN_SPEAKS;
        s->active_ms = now;
    }
    uint64_t end = s->active_ms + s->wn->view->node->sniff.whole_ms;
    enum screen_answer answer = look(s, s->target_name, s->cut != SESSION_NOT_CUT || now >= end);
    if (answer == SCREEN_WAIT) {
        session_wake_by(s, end);
        if (may_read(s))
            loop_task_add(w->loop, &s->task);
        return false;
    }
    s->unheard = SCREEN_HEARD;
    if (answer == SCREEN_BLOCKED) {
        const struct why why = {ST_E_REFUSED, NULL, 0};
        session_give_up(s, &why);
        return false;
    }
    pool_release(w->pool, s->target_name, sizeof(*s->target_name));
    s->target_name = NULL;
    return true;
}

void screen_run(struct session *s)
{
    if (read_client(s))
        conclude(s, false);
}

void screen_late(struct session *s)
{
    conclude(s, true);
}
