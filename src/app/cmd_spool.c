/* v2sp spool: what waits to be reported, and what is to become of it. */
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/admin_client.h"
#include "app/cmd.h"
#include "app/spool_offline.h"
#include "app/spool_view.h"
#include "codec/json.h"
#include "control/config/config.h"

#define USAGE                                                                                      \
    "Usage: v2sp spool list [-c FILE | --socket PATH] [--json]\n"                                  \
    "       v2sp spool replay BATCH [--node NODE] [-c FILE | --socket PATH]\n"                     \
    "       v2sp spool replay --node NODE [--to NODE] [-c FILE | --socket PATH]\n"                 \
    "       v2sp spool drop BATCH [--node NODE] --yes [-c FILE | --socket PATH]\n"                 \
    "       v2sp spool drop --node NODE --yes [-c FILE | --socket PATH]\n"                         \
    "\n"                                                                                           \
    "Traffic waits in the spool until the panel has acknowledged it: in accounts, one a user,\n"   \
    "and in batches, which are sent as they are until they are answered for.\n"                    \
    "\n"                                                                                           \
    "  list       what waits, by node, also of nodes that are not configured any more\n"           \
    "  replay     sends batch BATCH now; one that is parked (ReportPolicy at-most-once) once\n"    \
    "             more with its key; with --node alone all that are parked, and reports what\n"    \
    "             waits now. With --to: gives everything of a node that is not configured any\n"   \
    "             more to another one\n"                                                           \
    "  drop       forgets a batch, or everything of a node that is not configured any more\n"      \
    "\n"                                                                                           \
    "  -c, --config FILE   of the service (default /etc/v2sp/config.json)\n"                       \
    "      --socket PATH   its socket, control.sock in its StateDir\n"                             \
    "      --node NODE     by its tag, or as the list names it: number or identity\n"              \
    "      --to NODE       a configured node\n"                                                    \
    "      --yes           of drop: what is forgotten is reported to nobody\n"                     \
    "      --json          the list as it is; names: docs/status.md\n"                             \
    "      --help          this text\n"                                                            \
    "\n"                                                                                           \
    "The service does it when it runs; else the state database is opened, which needs its\n"       \
    "owner's rights. Exit status: 0 done, 1 failed, 2 used wrongly.\n"

struct asked {
    const char *config, *socket, *node, *to;
    const char *words[2]; /* the action, the batch */
    int count;
    bool json, yes;
};

static int fail(const char *text)
{
    fprintf(stderr, "v2sp spool: %s\n", text);
    return 1;
}

static const struct config *load(const struct asked *a)
{
    const struct config *cfg = NULL;
    enum status st = config_load(a->config != NULL ? a->config : CONFIG_FILE_DEFAULT, NULL, &cfg);

    if (st == ST_OK)
        return cfg;
    config_unref(cfg);
    return NULL;
}

/* ---- list ------------------------------------------------------------------------------------ */

static int print_list(const struct asked *a, const char *text, size_t len)
{
    struct json_error e;
    struct json_t *v = NULL;
    struct textbuf t;

    if (a->json) {
        fwrite(text, 1, len, stdout);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (json_parse(text, len, &v, &e) != ST_OK)
        return fail("the answer is no JSON");
    textbuf_init(&t);
    spool_view(&t, v, time(NULL));
    fwrite(t.p, 1, t.len, stdout);
    textbuf_fini(&t);
    json_unref(v);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Reading leaves the counters of a killed process to the next start, and says so. */
static void say_counters(const char *dir)
{
    char pattern[1100];
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/counters-*", dir);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        fprintf(stderr, "v2sp spool: the last process was killed; what its counters hold besides "
                        "comes in with the next start, replay or drop\n");
    globfree(&found);
}

static int list_offline(const struct asked *a)
{
    const struct config *cfg = load(a);
    char problem[SPOOL_OFFLINE_TEXT];
    struct textbuf t;

    if (cfg == NULL)
        return fail("the configuration cannot be read; see: v2sp check");
    textbuf_init(&t);
    int rc =
        spool_offline_list(cfg, &t, problem) == ST_OK ? print_list(a, t.p, t.len) : fail(problem);
    textbuf_fini(&t);
    say_counters(cfg->state_dir);
    config_unref(cfg);
    return rc;
}

static int list(const struct asked *a)
{
    char path[ADMIN_CLIENT_PATH_MAX];
    struct admin_reply r;
    enum status st = admin_call(admin_socket_path(path, a->config, a->socket), "GET", "/spool",
                                NULL, ADMIN_CLIENT_WAIT_MS, &r);
    int rc;

    if (st == ST_E_NOTFOUND && a->socket == NULL)
        rc = list_offline(a);
    else if (st != ST_OK || r.status != 200)
        rc = fail(r.problem);
    else
        rc = print_list(a, r.own_text, r.len);
    admin_reply_fini(&r);
    return rc;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static int order_offline(const struct asked *a, const struct spool_order *order)
{
    const struct config *cfg = load(a);
    struct spool_outcome out;

    if (cfg == NULL)
        return fail("the configuration cannot be read; see: v2sp check");
    enum status st = spool_offline_run(cfg, order, &out);
    config_unref(cfg);
    if (st != ST_OK)
        return fail(out.text);
    printf("%s\n", out.text);
    return 0;
}

static void write_order(struct textbuf *t, const struct spool_order *order)
{
    struct json_out o = {.t = t};

    json_out_object(&o, NULL);
    json_out_str(&o, "node", order->node);
    json_out_str(&o, "to", order->to);
    json_out_num(&o, "batch", order->batch);
    json_out_end_object(&o);
    textbuf_put(t, "", 1);
}

static int give_order(const struct asked *a, const struct spool_order *order)
{
    char path[ADMIN_CLIENT_PATH_MAX];
    struct admin_reply r;
    struct textbuf body;
    int rc;

    textbuf_init(&body);
    write_order(&body, order);
    enum status st =
        admin_call(admin_socket_path(path, a->config, a->socket), "POST",
                   order->drop ? "/spool/drop" : "/spool/replay", body.p, ADMIN_CLIENT_WAIT_MS, &r);
    textbuf_fini(&body);
    if (st == ST_E_NOTFOUND && a->socket == NULL) {
        rc = order_offline(a, order);
    } else if (st != ST_OK || r.status != 200) {
        rc = fail(r.problem);
    } else {
        printf("%s\n", json_get_str(r.own_json, "done", "done"));
        rc = 0;
    }
    admin_reply_fini(&r);
    return rc;
}

static bool read_batch(const char *text, uint64_t *out)
{
    char *end;

    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out > 0 && *out < INT64_MAX;
}

static int order(const struct asked *a, bool drop)
{
    struct spool_order o = {.drop = drop, .node = a->node, .to = a->to};

    if (a->count == 2 && !read_batch(a->words[1], &o.batch))
        return cmd_misused(&cmd_spool, "\"%s\" is no number of a batch", a->words[1]);
    if (o.batch == 0 && o.node == NULL)
        return cmd_misused(&cmd_spool, "name a batch, or a node with --node");
    if (o.to != NULL && (drop || o.batch != 0 || o.node == NULL))
        return cmd_misused(&cmd_spool, "--to goes with replay --node, for all of a node");
    if (drop && !a->yes)
        return cmd_misused(&cmd_spool, "what is dropped is reported to nobody: add --yes");
    return give_order(a, &o);
}

static int run(int argc, char **argv)
{
    struct asked a = {.count = 0};
    const struct cmd_option options[] = {{.name = "--config", .other = "-c", .value = &a.config},
                                         {.name = "--socket", .value = &a.socket},
                                         {.name = "--node", .value = &a.node},
                                         {.name = "--to", .value = &a.to},
                                         {.name = "--json", .flag = &a.json},
                                         {.name = "--yes", .flag = &a.yes},
                                         {0}};
    int rc = cmd_parse(&cmd_spool, argc, argv, options, a.words, 2, &a.count);

    if (rc != CMD_GO_ON)
        return rc;
    if (a.count == 0)
        return cmd_misused(&cmd_spool, "list, replay or drop?");
    if (strcmp(a.words[0], "list") == 0 && a.count == 1)
        return list(&a);
    if (strcmp(a.words[0], "replay") == 0)
        return order(&a, false);
    if (strcmp(a.words[0], "drop") == 0)
        return order(&a, true);
    return cmd_misused(&cmd_spool, "list, replay or drop?");
}

const struct cmd cmd_spool = {.name = "spool",
                              .summary = "what waits to be reported: list, replay, drop",
                              .usage = USAGE,
                              .run = run};
