/* v2sp top: `v2sp status` that stays on the screen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/admin_client.h"
#include "app/cmd.h"
#include "app/status_ask.h"
#include "app/status_view.h"
#include "app/terminal.h"
#include "codec/json.h"

#define USAGE                                                                                      \
    "Usage: v2sp top [-c FILE | --socket PATH] [-d SECONDS] [-n COUNT] [--node TAG]\n"             \
    "\n"                                                                                           \
    "Shows nodes and the busiest users of the running v2sp, refreshed until q is pressed.\n"       \
    "\n"                                                                                           \
    "  -c, --config FILE   of the service that is asked (default /etc/v2sp/config.json)\n"         \
    "      --socket PATH   its socket, control.sock in its StateDir\n"                             \
    "  -d, --delay SECONDS between two refreshes (default 1)\n"                                    \
    "  -n, --count COUNT   end after so many; for scripts: without a terminal it prints text\n"    \
    "      --node TAG      only this node\n"                                                       \
    "      --help          this text\n"                                                            \
    "\n"                                                                                           \
    "Keys:\n"                                                                                      \
    "  q         quit\n"                                                                           \
    "  s         sort users by: rate, down, up, connections, devices, bytes\n"                     \
    "  n         show all nodes, or one after the other\n"                                         \
    "  space     refresh now\n"                                                                    \
    "\n"                                                                                           \
    "Exit status: as of v2sp status, at the last refresh.\n"

#define LISTED      300u /* users asked for: sorting by something else than the rate has a choice */
#define DELAY_MAX   3600u
#define COUNT_MAX   1000000u
#define NOT_SERVING 3

struct top {
    char path[ADMIN_CLIENT_PATH_MAX];
    uint32_t delay_s, count; /* count 0: no end */
    bool screen;             /* a terminal of ours */
    enum status_sort sort;
    char node[256];          /* "": all */
    struct admin_reply last; /* what is shown */
    bool reached;
};

static void ask(struct top *t)
{
    struct status_ask a = {
        .users = LISTED, .node = t->node[0] != '\0' ? t->node : NULL, .rates = true};
    struct admin_reply r;

    enum status st = status_ask(t->path, &a, &r);
    admin_reply_fini(&t->last);
    t->last = r;
    t->reached = st == ST_OK && r.status == 200 && r.own_json != NULL;
}

static void show_reply(struct textbuf *out, const struct top *t, unsigned columns, unsigned lines)
{
    const struct status_style style = {.color = t->screen,
                                       .brief = true,
                                       .width = columns,
                                       .lines = lines,
                                       .sort = t->sort,
                                       .node = t->node[0] != '\0' ? t->node : NULL};

    if (t->reached) {
        status_view(out, t->last.own_json, &style);
        return;
    }
    textbuf_puts(out, "v2sp cannot be reached; trying again\n");
    status_plain(out, t->last.problem, columns);
    textbuf_puts(out, "\n");
}

/* What many nodes make too long for the screen is cut. */
static void cut(struct textbuf *out, unsigned lines)
{
    for (size_t i = 0; i < out->len; i++)
        if (out->p[i] == '\n' && --lines == 0)
            out->len = i + 1;
}

static void draw(const struct top *t)
{
    struct terminal_size size = terminal_get_size();
    struct textbuf out;

    textbuf_init(&out);
    unsigned room = size.lines > 2 ? size.lines - 2 : 1;
    show_reply(&out, t, size.columns, room);
    cut(&out, room);
    textbuf_printf(&out, "\nq quit   s sort: %s   n node: ", status_sort_str(t->sort));
    status_plain(&out, t->node[0] != '\0' ? t->node : "all", 30);
    terminal_draw(out.p, out.len);
    textbuf_fini(&out);
}

static void print(const struct top *t)
{
    struct textbuf out;

    textbuf_init(&out);
    show_reply(&out, t, 100, 60);
    textbuf_puts(&out, "\n");
    fwrite(out.p, 1, out.len, stdout);
    fflush(stdout);
    textbuf_fini(&out);
}

/* From all to the first node, to the next, to all. */
static void next_node(struct top *t)
{
    const struct json_t *list = t->reached ? json_get(t->last.own_json, "nodes") : NULL;
    bool found = t->node[0] == '\0';

    for (size_t i = 0; i < json_array_len(list); i++) {
        const char *tag = json_get_str(json_at(list, i), "tag", "");
        if (found) {
            snprintf(t->node, sizeof(t->node), "%s", tag);
            return;
        }
        found = strcmp(tag, t->node) == 0;
    }
    t->node[0] = '\0';
}

/* Waits for the next refresh, obeying keys. False: it is over. */
static bool wait_on_screen(struct top *t)
{
    uint64_t until = terminal_now() + (uint64_t)t->delay_s * 1000;

    for (;;) {
        int key = terminal_wait(until);
        switch (key) {
        case TERMINAL_TIME:
        case ' ':
            return true;
        case TERMINAL_END:
        case 'q':
        case 'Q':
            return false;
        case 's':
            t->sort = (t->sort + 1) % SORT_KINDS;
            break;
        case 'n':
            next_node(t);
            break;
        default:
            break;
        }
        draw(t);
    }
}

static bool wait_for_next(struct top *t)
{
    if (t->screen)
        return wait_on_screen(t);
    struct timespec ts = {.tv_sec = (time_t)t->delay_s};
    nanosleep(&ts, NULL);
    return true;
}

static int show(struct top *t)
{
    t->screen = terminal_open();
    for (uint32_t i = 0;;) {
        ask(t);
        if (t->screen)
            draw(t);
        else
            print(t);
        if ((t->count > 0 && ++i >= t->count) || !wait_for_next(t))
            break;
    }
    terminal_close();
    int rc = !t->reached ? 1 : status_all_serve(t->last.own_json) ? 0 : NOT_SERVING;
    if (!t->reached)
        fprintf(stderr, "v2sp top: %s\n", t->last.problem);
    admin_reply_fini(&t->last);
    return rc;
}

static int run(int argc, char **argv)
{
    const char *config = NULL, *socket = NULL, *delay = NULL, *times = NULL, *node = NULL;
    struct top t = {.delay_s = 1};
    const struct cmd_option options[] = {{.name = "--config", .other = "-c", .value = &config},
                                         {.name = "--socket", .value = &socket},
                                         {.name = "--delay", .other = "-d", .value = &delay},
                                         {.name = "--count", .other = "-n", .value = &times},
                                         {.name = "--node", .value = &node},
                                         {0}};
    int count, rc = cmd_parse(&cmd_top, argc, argv, options, NULL, 0, &count);

    if (rc != CMD_GO_ON)
        return rc;
    if (delay != NULL && (!status_ask_number(delay, DELAY_MAX, &t.delay_s) || t.delay_s == 0))
        return cmd_misused(&cmd_top, "--delay takes seconds, 1 to %u", DELAY_MAX);
    if (times != NULL && (!status_ask_number(times, COUNT_MAX, &t.count) || t.count == 0))
        return cmd_misused(&cmd_top, "--count takes a number, 1 to %u", COUNT_MAX);
    if (node != NULL)
        snprintf(t.node, sizeof(t.node), "%s", node);
    admin_socket_path(t.path, config, socket);
    return show(&t);
}

const struct cmd cmd_top = {
    .name = "top", .summary = "the same, refreshed each second", .usage = USAGE, .run = run};
