/* v2sp demo: an embedded panel, one node and one user in one process, ready for a client. What
 * script/run starts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cmd.h"
#include "app/demo.h"
#include "app/demo_node.h"
#include "app/service.h"
#include "control/config/config.h"
#include "io/loop.h"
#include "panelserver/db_traffic.h"
#include "panelserver/panelserver.h"

#define USAGE                                                                                      \
    "Usage: v2sp demo [--protocol NAME] [options]\n"                                               \
    "\n"                                                                                           \
    "Starts an embedded panel, one node and one user, prints the link and its QR code, and "       \
    "shows\n"                                                                                      \
    "what moves. Ctrl-C ends it and shows what the panel has counted. Users, counters and, for\n"  \
    "each protocol, port, keys and link stay in the state directory for the next time.\n"          \
    "\n"                                                                                           \
    "  --protocol NAME   vless (default), vmess, trojan, shadowsocks (ss) or ss2022\n"             \
    "  --method CIPHER   Shadowsocks: aes-128-gcm (default), aes-256-gcm, "                        \
    "chacha20-ietf-poly1305,\n"                                                                    \
    "                    xchacha20-ietf-poly1305 or none; ss2022: 2022-blake3-aes-128-gcm\n"       \
    "                    (default), 2022-blake3-aes-256-gcm or 2022-blake3-chacha20-poly1305\n"    \
    "  --state DIR       where everything is kept (default ./state)\n"                             \
    "  --host NAME       name or IP that clients dial (default: this machine's own address)\n"     \
    "  --port N          port of the node (default: a free one, then the same again)\n"            \
    "  --network NAME    tcp or ws (default tcp; VMess: ws)\n"                                     \
    "  --target HOST:PORT  REALITY: the site to look like. VLESS has it by default, with a\n"      \
    "                    well-known site that answers, or TLS if none does\n"                      \
    "  --sni NAME        and its name (default: HOST)\n"                                           \
    "  --tls             TLS with a self-signed certificate (default for VMess and Trojan)\n"      \
    "  --plain           without TLS: for trying out on a trusted network only\n"                  \
    "  --allow-private   users may reach private addresses of this host\n"                         \
    "  --no-qr           no QR code\n"                                                             \
    "      --help        this text\n"                                                              \
    "\n"                                                                                           \
    "What is not given stays as it was the last time the protocol was tried. Examples:\n"          \
    "\n"                                                                                           \
    "  v2sp demo                               VLESS with REALITY and Vision\n"                    \
    "  v2sp demo --protocol trojan             Trojan with TLS\n"                                  \
    "  v2sp demo --protocol vmess              VMess over WebSocket with TLS\n"                    \
    "  v2sp demo --protocol ss2022             Shadowsocks 2022, TCP and UDP\n"                    \
    "  v2sp demo --protocol ss --method chacha20-ietf-poly1305\n"                                  \
    "\n"                                                                                           \
    "While it runs, v2sp panel --state DIR user add ... adds users to it.\n"

struct demo {
    struct service service; /* first: callbacks get the service */
    struct demo_options opt;
    struct demo_setup setup; /* database, node, user */
    struct panelserver *panel;
    struct timer second;
    bool tty;
    uint64_t up, down; /* at the last line */
    unsigned lines;
};

static const char *rate_str(char dst[32], uint64_t bytes)
{
    double bits = (double)bytes * 8;
    if (bits >= 1e9)
        snprintf(dst, 32, "%.2f Gbit/s", bits / 1e9);
    else if (bits >= 1e6)
        snprintf(dst, 32, "%.1f Mbit/s", bits / 1e6);
    else
        snprintf(dst, 32, "%.0f kbit/s", bits / 1e3);
    return dst;
}

static void show_line(struct demo *d)
{
    struct plane_stats st;
    struct controller_node_status node;
    char up[32], down[32], sum[32], line[256];
    if (d->service.plane.stats == NULL || controller_status(d->service.controller, &node, 1) == 0)
        return;
    d->service.plane.stats(d->service.plane.self, UINT32_MAX, &st);
    uint64_t open = st.open - st.handshaking;
    snprintf(line, sizeof(line), "%s, %u user%s, %llu connection%s, up %s, down %s, %s in all%s%s",
             node.serving ? "serving" : node.state, node.users, node.users == 1 ? "" : "s",
             (unsigned long long)open, open == 1 ? "" : "s", rate_str(up, st.up - d->up),
             rate_str(down, st.down - d->down), demo_size_str(sum, st.up + st.down),
             node.problem[0] ? "; " : "", node.problem);
    d->up = st.up;
    d->down = st.down;
    if (d->tty)
        printf("\r\033[K%.*s", (int)sizeof(line), line);
    else if (d->lines++ % 10 == 0)
        printf("%s\n", line);
    fflush(stdout);
}

static void every_second(struct timer *t)
{
    struct demo *d = LIST_ENTRY(t, struct demo, second);
    show_line(d);
    loop_timer_in(d->service.loop, t, 1000);
}

static void stopping(struct service *s)
{
    struct demo *d = (struct demo *)(void *)s;
    loop_timer_del(s->loop, &d->second);
    printf("\nEnding: the node reports a last time ...\n");
    fflush(stdout);
}

static void show_totals(struct demo *d)
{
    struct db_totals sum;
    char up[32], down[32];
    if (db_totals(d->setup.db, demo_now(), &sum) != ST_OK) {
        fprintf(stderr, "v2sp demo: cannot read the totals: %s\n", db_error(d->setup.db));
        return;
    }
    printf("The panel has counted: up %s, down %s (%llu and %llu bytes), all runs together.\n",
           demo_size_str(up, sum.ever_up), demo_size_str(down, sum.ever_down),
           (unsigned long long)sum.ever_up, (unsigned long long)sum.ever_down);
}

static enum status start_panel(struct demo *d, uint16_t port, struct why *why)
{
    struct panelserver_conf conf = {
        .loop = d->service.loop,
        .log = &d->service.log,
        .db = d->setup.db,
        .listen = {.family = ADDR_IP4, .port = port, .ip = {127, 0, 0, 1}}};
    enum status st = panelserver_new(&conf, &d->panel, why);
    if (st == ST_OK)
        st = panelserver_start(d->panel, why);
    if (st != ST_OK) {
        panelserver_free(d->panel);
        d->panel = NULL;
    }
    return st;
}

/* The same port as last time, so that what could not be reported then finds its panel again. */
static enum status start_panel_somewhere(struct demo *d)
{
    struct why why = {0};
    uint16_t last = demo_panel_port_load(&d->opt);
    enum status st = start_panel(d, last, &why);
    if (st == ST_E_BUSY && last != 0)
        st = start_panel(d, 0, &why);
    if (st != ST_OK) {
        fprintf(stderr, "v2sp demo: cannot start the embedded panel: %s\n", why.text);
        return st;
    }
    demo_panel_port_save(&d->opt, panelserver_addr(d->panel)->port);
    return ST_OK;
}

static int serve(struct demo *d)
{
    /* The log must be open before the panel can start, and the panel's port be known before the
     * node is configured. */
    const struct config *logs = demo_config(&d->opt, &d->setup, 0), *cfg = NULL;
    int rc = 1;
    if (logs == NULL || service_init(&d->service, logs) != ST_OK)
        goto out;
    if (start_panel_somewhere(d) != ST_OK)
        goto out;
    cfg = demo_config(&d->opt, &d->setup, panelserver_addr(d->panel)->port);
    if (cfg == NULL || service_start(&d->service, cfg) != ST_OK)
        goto out;
    d->service.on_stop = stopping;
    d->tty = isatty(STDOUT_FILENO);
    demo_print_welcome(&d->opt, &d->setup);
    timer_init(&d->second, every_second);
    loop_timer_in(d->service.loop, &d->second, 1000);
    loop_run(d->service.loop);
    loop_timer_del(d->service.loop, &d->second);
    show_totals(d);
    rc = 0;
out:
    panelserver_free(d->panel);
    service_fini(&d->service);
    config_unref(cfg);
    config_unref(logs);
    return rc;
}

/* Returns CMD_GO_ON or the exit status. */
static int parse(struct demo_options *o, int argc, char **argv)
{
    const char *port = NULL, *protocol = NULL;
    char problem[DEMO_NODE_PROBLEM];
    const struct cmd_option options[] = {{.name = "--protocol", .value = &protocol},
                                         {.name = "--method", .value = &o->method},
                                         {.name = "--state", .value = &o->state_dir},
                                         {.name = "--host", .value = &o->host},
                                         {.name = "--port", .other = "-p", .value = &port},
                                         {.name = "--network", .value = &o->network},
                                         {.name = "--target", .value = &o->target},
                                         {.name = "--sni", .value = &o->sni},
                                         {.name = "--tls", .flag = &o->tls},
                                         {.name = "--plain", .flag = &o->plain},
                                         {.name = "--allow-private", .flag = &o->allow_private},
                                         {.name = "--no-qr", .flag = &o->no_qr},
                                         {0}};
    int count, rc = cmd_parse(&cmd_demo, argc, argv, options, NULL, 0, &count);
    if (rc != CMD_GO_ON)
        return rc;
    char *end = NULL;
    long number = port ? strtol(port, &end, 10) : 0;
    if (port && (*end != '\0' || number < 1 || number > 65535))
        return cmd_misused(&cmd_demo, "--port takes a number from 1 to 65535");
    o->port = (uint16_t)number;
    o->kind = demo_kind_find(protocol, o->method);
    if (o->kind == NULL)
        return cmd_misused(&cmd_demo,
                           "--protocol takes vless, vmess, trojan, shadowsocks or ss2022");
    if (!demo_options_ok(o, problem))
        return cmd_misused(&cmd_demo, "%s", problem);
    return CMD_GO_ON;
}

static int run(int argc, char **argv)
{
    struct demo d = {.opt = {.state_dir = "./state"}};
    int rc = parse(&d.opt, argc, argv);
    if (rc != CMD_GO_ON)
        return rc;
    if (demo_open(&d.opt, &d.setup) != ST_OK)
        return 1;
    rc = serve(&d);
    demo_close(&d.setup);
    return rc;
}

const struct cmd cmd_demo = {.name = "demo",
                             .summary = "try it: embedded panel, one node, one user, a link",
                             .usage = USAGE,
                             .run = run};
