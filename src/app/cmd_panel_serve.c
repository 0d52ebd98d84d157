#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "app/cmd_panel.h"
#include "base/addr.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/signals.h"
#include "panelserver/db.h"
#include "panelserver/panelserver.h"

static int run_serve(int argc, char **argv);

const struct cmd cmd_panel_serve = {
    "panel serve",
    "answer nodes over HTTP",
    "Usage: v2sp panel serve [--listen ADDRESS:PORT] [OPTIONS]\n"
    "\n"
    "Serves the v2sp API from the panel's database until it is stopped (Ctrl-C). Plain HTTP: put "
    "a\n"
    "reverse proxy with TLS in front when nodes reach it over a network, and turn the rate limit "
    "off\n"
    "then (--rate 0), because all nodes come from the proxy's address.\n"
    "\n"
    "  --listen A:P   address and port (default " PANEL_LISTEN "; port 0: any free one)\n"
    "  --rate N       requests a second one address may make (default 50; 0: no limit)\n"
    "  --log LEVEL    debug, info, warning, error (default info); the log goes to standard error\n"
    "  --db FILE, --state DIR   see `v2sp panel --help`\n"
    "\n"
    "Prints one line with the address on standard output when it is ready.\n",
    run_serve,
};

struct serving {
    struct log_sink sink;
    struct signals signals;
    struct loop *loop;
};

static void write_line(struct log_sink *sink, const char *line, size_t len)
{
    (void)sink;
    (void)!write(STDERR_FILENO, line, len);
}

static uint64_t wall_us(void)
{
    struct timeval tv;
    gettimeofday(&tv, NULL);
    return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

static void on_signal(struct signals *s, int signo)
{
    struct serving *v = (struct serving *)(void *)((char *)s - offsetof(struct serving, signals));
    if (signo == SIGINT || signo == SIGTERM)
        loop_stop(v->loop);
}

/* "1.2.3.4:80", "[::1]:80", ":80" or "80". */
static bool read_listen(const char *text, struct addr *out)
{
    int64_t port;
    const char *colon = strrchr(text, ':');
    const char *digits = colon != NULL ? colon + 1 : text;
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    if (!panel_read_int(digits, 0, 65535, &port))
        return false;
    if (len == 0)
        *out = (struct addr){.family = ADDR_IP4, .ip = {127, 0, 0, 1}};
    else if (addr_parse_ip(out, text, len) != ST_OK)
        return false;
    out->port = (uint16_t)port;
    return true;
}

static int serve(struct panel_cli *cli, struct serving *v, struct panelserver_conf *conf)
{
    struct panelserver *ps = NULL;
    struct why why = {0};
    char text[ADDR_STRLEN];
    int status = 1;
    if (panelserver_new(conf, &ps, &why) != ST_OK || panelserver_start(ps, &why) != ST_OK) {
        panel_failed(cli, "%s: %s%s%s", addr_str(&conf->listen, text), why.text,
                     why.number != 0 ? ": " : "", why.number != 0 ? strerror((int)why.number) : "");
        if (why.status == ST_E_BUSY)
            fprintf(stderr, "Is a panel running already? Else choose another port with --listen\n");
        goto out;
    }
    addr_str(panelserver_addr(ps), text);
    printf("panel: http://%s/api/v2sp\n", text);
    fflush(stdout);
    loop_run(v->loop);
    struct panelserver_counters c;
    panelserver_counters(ps, &c);
    log_line(conf->log, LOG_INFO, NULL, "panel: stopped after %llu requests and %llu pushes",
             (unsigned long long)c.requests, (unsigned long long)c.pushes);
    status = 0;
out:
    panelserver_free(ps);
    return status;
}

static int run_serve(int argc, char **argv)
{
    struct panel_cli cli = {0};
    const char *listen = PANEL_LISTEN, *rate = "50", *level = "info";
    const struct panel_option options[] = {
        {"--listen", &listen, NULL},
        {"--rate", &rate, NULL},
        {"--log", &level, NULL},
        {NULL, NULL, NULL},
    };
    int status = panel_parse(&cli, &cmd_panel_serve, argc, argv, options, 0);
    if (status >= 0)
        return status;
    struct serving v = {.sink = {write_line}};
    struct log log = {.sink = &v.sink, .wall_us = wall_us};
    struct panelserver_conf conf = {.log = &log};
    enum log_level lowest;
    int64_t per_s;
    if (!read_listen(listen, &conf.listen))
        return cmd_misused(cli.cmd, "--listen %s: an address such as 127.0.0.1:8480 or [::1]:8480",
                           listen);
    if (!panel_read_int(rate, 0, 1000000, &per_s))
        return cmd_misused(cli.cmd, "--rate %s: requests a second, 0 to 1000000", rate);
    if (!log_level_parse(level, &lowest))
        return cmd_misused(cli.cmd, "--log %s: debug, info, warning or error", level);
    conf.rate_per_s = per_s == 0 ? UINT32_MAX : (uint32_t)per_s;
    conf.rate_burst = conf.rate_per_s > 100000 ? 0 : conf.rate_per_s * 10;
    log.level = (int)lowest;
    if ((status = panel_open(&cli, false)) >= 0)
        return status;
    conf.db = cli.db;
    conf.loop = v.loop = loop_new();
    if (v.loop == NULL)
        status = panel_failed(&cli, "no event loop: %s", strerror(errno));
    else if (signals_init(&v.signals, v.loop, on_signal) != ST_OK)
        status = panel_failed(&cli, "no signals: %s", strerror(errno));
    else {
        status = serve(&cli, &v, &conf);
        signals_fini(&v.signals);
    }
    if (v.loop != NULL)
        loop_free(v.loop);
    panel_close(&cli);
    return status;
}
