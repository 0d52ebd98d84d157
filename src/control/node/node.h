/* control/node/node.h - one supervised node: asks its panel, serves what it says, reports what was
 * used. Control thread; inside control only.
 *
 *            cached or first configuration          listeners open
 *   STARTING ------------------------------> WAITING --------------> RUNNING
 *      |           port in use, refused settings ^-------------------'
 *      '--------- node_drain ---------> DRAINING --last push--> ENDED (env->ended, then node_free)
 *
 * Pull (node_pull.c): config -> user -> alivelist, one at a time; what was fetched is applied at
 * once, ETags are kept only then. A failure changes nothing but the time of the next pull. Report
 * (reporter.c): push (node_push.c) and alive (node_alive.c), each on its own timer. No failure of
 * one node touches another. */
#ifndef CONTROL_NODE_NODE_H
#define CONTROL_NODE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "control/config/config.h"
#include "control/node/node_devices.h"
#include "control/node/node_env.h"
#include "control/node/node_job.h"
#include "control/node/node_tails.h"
#include "control/node/node_target.h"
#include "control/node/panel_client.h"
#include "control/node/users.h"
#include "control/node/view_builder.h"
#include "crypto/rng.h"
#include "io/loop.h"
#include "panel/v2sp/outcome.h"
#include "panel/v2sp/request.h"
#include "policy/plane.h"

struct device_book;
struct device_panel;
struct node;

enum node_state { NODE_STARTING, NODE_WAITING, NODE_RUNNING, NODE_DRAINING, NODE_ENDED };

struct reporter; /* reporter.c */
struct pull;     /* node_pull.c: what lives as long as one pull */

struct node {
    struct list link;
    struct node_env *env;
    const struct config *config; /* reference */
    const struct config_node *conf;
    uint32_t no, store_node;
    enum node_state state;
    int64_t since_s; /* when it came into it */

    struct served_node *served; /* NULL: nothing to serve yet */
    struct user_table users;
    bool published;
    bool cached;      /* users and configuration are of an earlier run */
    bool cache_stale; /* the users in the store are not ours */
    bool want_full;   /* limits changed: the next user list must come whole */
    bool rebuild;     /* options changed and could not be applied: the next configuration must come
                         whole */
    uint64_t cert_tried; /* stamp of certificate files that could not be used */
    char *config_text;   /* the panel's answer behind served; NULL = none */
    size_t config_len;
    char config_etag[PANEL_ETAG_MAX], user_etag[PANEL_ETAG_MAX];
    uint64_t guard_hash; /* list that would delete too many, waiting to be said twice; 0 = none */
    int64_t pulled_s;    /* last pull without failure */

    struct node_job pull;
    struct pull *pulling;
    bool pull_again; /* asked for while one was under way */
    struct node_alivelist alivelist;
    struct device_panel *panel; /* with the nodes of the same panel, see device_book.h */
    struct list panel_link;

    bool listening;
    struct timer listen_timer;
    unsigned listen_fails;
    struct node_trouble listen_trouble, config_trouble, list_trouble, alive_trouble, rules_trouble;

    struct node_target target;
    struct node_tails tails;
    struct reporter *reporter;
    struct node_hits *hits; /* node_hits.h; NULL: it never had rules */
    bool gone;              /* the plane has ended it */
    bool lingers;           /* it has, but an earlier process may still have sessions of it */
};

/* Makes a node and starts what the store remembers; if env->pulls, it begins. NULL: no memory, or
 * no node number is free. */
struct node *node_new(struct node_env *env, const struct config *cfg,
                      const struct config_node *conf, uint32_t delay_ms);
/* Begins to pull, after @delay_ms, and to report. */
void node_begin(struct node *n, uint32_t delay_ms);
/* env.holds is true from now on: what is asked for just now is given up, and asked again later. */
void node_hold(struct node *n);
/* Cancels everything. Users must have been given up (node_gone). NULL is fine. */
void node_free(struct node *n);
/* The entry in config.json is now @conf of @cfg: acts on what differs. */
void node_reconfigure(struct node *n, const struct config *cfg, const struct config_node *conf);
/* Ends it: listeners close, sessions end after @drain_ms, the last traffic is pushed, env->ended is
 * called (never from within). */
void node_drain(struct node *n, uint32_t drain_ms);
/* No more time: what is not pushed stays in the spool. */
void node_abandon(struct node *n);

/* @u is out of his node's table and his last reference is gone; @ended: with the whole node. */
void node_user_done(struct node_env *env, struct user_rt *u, bool ended);

const char *node_state_str(enum node_state state); /* "running" */
const char *node_problem(const struct node *n);    /* why it waits, or what failed last; "" */

/* From the plane. */
void node_on_listening(struct node *n, struct why why, const struct addr *where);
void node_on_gone(struct node *n);

/* ---- between the files of this module ---- */

/* Fills the address of @action; false (and said) if ApiHost is none. @url takes V2SP_URL_MAX bytes.
 */
bool node_url(struct node *n, enum v2sp_action action, char *url);

/* Serves @s (NULL: what is served now; taken over) to the users in @list (NULL: those there are;
 * settled), and publishes. ST_OK, or an error that was said and that the next pull makes good:
 * ST_E_IO, ST_E_LIMIT, ST_E_NOMEM, ST_E_CRYPTO. */
NODISCARD enum status node_apply(struct node *n, struct served_node *own_s, struct user_list *list);
/* Builds what @text says. On failure NULL, and config_trouble says why. */
struct served_node *node_build(struct node *n, const char *text, size_t len);

/* node_pull.c */
void node_pull_start(struct node *n);
/* Pulls as soon as what runs has ended. */
void node_pull_poke(struct node *n);
void node_pull_cancel(struct node *n);

#endif
