#include "app/demo_node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/demo_target.h"
#include "app/node_shape.h"
#include "app/reality_node.h"
#include "base/addr.h"
#include "io/sockaddr.h"

#define DEMO_INTERVAL_S 5
#define DEMO_PORT_MIN   20000
#define DEMO_PORT_MAX   32000

static const struct demo_kind KINDS[] = {
    {"vless", "VLESS", "vless", "demo", "tcp", NULL},
    {"vmess", "VMess", "vmess", "demo-vmess", "ws", NULL},
    {"trojan", "Trojan", "trojan", "demo-trojan", "tcp", NULL},
    {"shadowsocks", "Shadowsocks", "shadowsocks", "demo-ss", "tcp", "aes-128-gcm"},
    {"ss2022", "Shadowsocks 2022", "shadowsocks", "demo-ss2022", "tcp", "2022-blake3-aes-128-gcm"},
};
#define KINDS_COUNT (sizeof(KINDS) / sizeof(KINDS[0]))
#define KIND_2022   (&KINDS[4])

static bool is_2022(const char *method)
{
    return strncmp(method, "2022-", 5) == 0;
}

const struct demo_kind *demo_kind_find(const char *word, const char *method)
{
    if (word == NULL)
        word = method != NULL ? "shadowsocks" : "vless";
    if (strcmp(word, "ss") == 0)
        word = "shadowsocks";
    for (size_t i = 0; i < KINDS_COUNT; i++) {
        if (strcmp(word, KINDS[i].word) == 0)
            return strcmp(word, "shadowsocks") == 0 && method != NULL && is_2022(method)
                       ? KIND_2022
                       : &KINDS[i];
    }
    return NULL;
}

/* NULL: fine. */
static const char *misfit(const struct demo_options *o)
{
    bool ss = o->kind->cipher != NULL, trojan = strcmp(o->kind->type, "trojan") == 0;
    bool tcp = o->network == NULL || strcmp(o->network, "tcp") == 0;
    if (o->plain + o->tls + (o->target != NULL) > 1)
        return "--target, --tls and --plain exclude each other";
    if (o->sni != NULL && o->target == NULL)
        return "--sni goes with --target";
    if (!tcp && strcmp(o->network, "ws") != 0)
        return "--network takes tcp or ws";
    if (o->target != NULL && !tcp)
        return "--target: REALITY goes with the network tcp here";
    if (trojan && o->plain)
        return "--plain: Trojan needs TLS, its passwords would go in the clear";
    if (ss && (!tcp || o->tls || o->target != NULL))
        return "Shadowsocks goes without --network, --tls and --target: its cipher does it all";
    if (!ss && o->method != NULL)
        return "--method goes with --protocol shadowsocks or ss2022";
    if (o->method != NULL && o->kind == KIND_2022 && !is_2022(o->method))
        return "--method: ss2022 takes the ciphers that begin with 2022-blake3-";
    return NULL;
}

bool demo_options_ok(const struct demo_options *o, char problem[DEMO_NODE_PROBLEM])
{
    const char *text = misfit(o);
    snprintf(problem, DEMO_NODE_PROBLEM, "%s", text != NULL ? text : "");
    if (text != NULL || o->method == NULL)
        return text == NULL;
    /* Whatever else the cipher lacks is said as the panel says it. */
    struct db_node n;
    struct node_wish wish = {.cipher = o->method};
    char shape[NODE_SHAPE_PROBLEM];
    db_node_init(&n);
    snprintf(n.type, sizeof(n.type), "%s", o->kind->type);
    if (node_shape_fill(&n, &wish, shape) == ST_OK)
        return true;
    const char *rest = strncmp(shape, "--cipher", 8) == 0 ? shape + 8 : shape;
    snprintf(problem, DEMO_NODE_PROBLEM, "--method%s", rest);
    return false;
}

/* ---- address and port ------------------------------------------------------------------------ */

/* The address this machine would use towards the internet: connect() on a datagram socket
 * chooses it and sends nothing. */
static void own_address(char *dst, size_t size)
{
    struct addr a = {0};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    char text[ADDR_STRLEN] = "127.0.0.1";
    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        sockaddr_local(fd, &a);
    if (fd >= 0)
        close(fd);
    if (a.family != ADDR_NONE)
        addr_ip_str(&a, text);
    snprintf(dst, size, "%s", text);
}

/* What the last run left in TIME_WAIT does not keep the port from being taken again. */
static int open_socket(int family, int type)
{
    const int on = 1;
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && type == SOCK_STREAM)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

static bool try_bind(int type, uint16_t port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool ok;
    int fd = open_socket(AF_INET6, type);
    if (fd >= 0) {
        ok = bind(fd, (struct sockaddr *)&any6, sizeof(any6)) == 0;
    } else {
        fd = open_socket(AF_INET, type);
        ok = fd >= 0 && bind(fd, (struct sockaddr *)&any4, sizeof(any4)) == 0;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Shadowsocks has UDP beside it. */
static bool is_free(const struct demo_kind *k, uint16_t port)
{
    return port != 0 && try_bind(SOCK_STREAM, port) &&
           (k->cipher == NULL || try_bind(SOCK_DGRAM, port));
}

/* Below the range that outgoing connections take theirs from: one of those could hold it at the
 * next start, and the link would be another. 0 with errno: none was found. */
static uint16_t free_port(const struct demo_kind *k)
{
    for (int i = 0; i < 64; i++) {
        uint16_t port;
        if (getrandom(&port, sizeof(port), 0) != (ssize_t)sizeof(port))
            return 0;
        port = (uint16_t)(DEMO_PORT_MIN + port % (DEMO_PORT_MAX - DEMO_PORT_MIN));
        if (is_free(k, port))
            return port;
    }
    return 0;
}

static enum status choose_port(const struct demo_options *o, struct db_node *n)
{
    if (o->port != 0)
        n->port = o->port;
    if (is_free(o->kind, n->port))
        return ST_OK;
    if (o->port != 0) {
        fprintf(stderr, "v2sp demo: port %u is taken; leave --port out and a free one is found\n",
                o->port);
        return ST_E_BUSY;
    }
    n->port = free_port(o->kind);
    if (n->port != 0)
        return ST_OK;
    fprintf(stderr, "v2sp demo: no free port: %s\n", strerror(errno));
    return ST_E_IO;
}

/* ---- security -------------------------------------------------------------------------------- */

static void set_flow(struct db_node *n)
{
    bool vision =
        strcmp(n->type, "vless") == 0 && n->tls != DB_TLS_NONE && strcmp(n->network, "tcp") == 0;
    snprintf(n->flow, sizeof(n->flow), "%s", vision ? "xtls-rprx-vision" : "");
}

static enum status set_tls(struct db *db, struct db_node *n, bool plain)
{
    n->tls = plain ? DB_TLS_NONE : DB_TLS_TLS;
    n->tls_settings[0] = '\0';
    set_flow(n);
    if (plain)
        return ST_OK;
    enum status st =
        db_json_set(db, n->tls_settings, sizeof(n->tls_settings), "server_name", DEMO_SNI);
    if (st == ST_OK)
        st = db_json_set(db, n->tls_settings, sizeof(n->tls_settings), "allow_insecure", "1");
    return st;
}

/* REALITY when there is a site to look like, else TLS. Keys that there are stay. */
static enum status set_reality(const struct demo_options *o, struct db *db, struct db_node *n)
{
    struct demo_target t;
    char problem[REALITY_NODE_PROBLEM];
    bool found = demo_target_find(o->target, o->sni, DEMO_SNI, &t);
    if (found) {
        struct reality_wish wish = {.dest = t.dest, .names = t.name};
        if (n->tls != DB_TLS_REALITY)
            n->tls_settings[0] = '\0';
        n->tls = DB_TLS_REALITY;
        set_flow(n);
        if (reality_node_fill(db, n, &wish, problem) == ST_OK)
            return ST_OK;
    }
    if (n->tls == DB_TLS_REALITY) {
        /* The link that was given away goes on to work once it is back. */
        printf("The REALITY settings stay as they were: %s\n", found ? problem : t.why);
        return ST_OK;
    }
    printf("No REALITY, TLS with a self-signed certificate instead: %s\n", found ? problem : t.why);
    return set_tls(db, n, false);
}

static enum status set_security(const struct demo_options *o, struct db *db, struct db_node *n,
                                bool fresh)
{
    bool tcp = strcmp(n->network, "tcp") == 0, vless = strcmp(n->type, "vless") == 0;
    if (o->kind->cipher != NULL)
        return ST_OK;
    if (o->plain || o->tls)
        return set_tls(db, n, o->plain);
    if (o->target != NULL || (fresh && tcp && vless))
        return set_reality(o, db, n);
    if (fresh || (n->tls == DB_TLS_REALITY && !tcp))
        return set_tls(db, n, false); /* REALITY does not go with WebSocket */
    if (o->network != NULL)
        set_flow(n);
    return ST_OK;
}

/* ---- the node -------------------------------------------------------------------------------- */

static void set_network(const struct demo_options *o, struct db_node *n)
{
    if (o->network != NULL)
        snprintf(n->network, sizeof(n->network), "%s", o->network);
    else if (o->target != NULL)
        snprintf(n->network, sizeof(n->network), "tcp");
    bool ws = strcmp(n->network, "ws") == 0;
    if (!ws)
        n->network_settings[0] = '\0';
    else if (n->network_settings[0] == '\0')
        snprintf(n->network_settings, sizeof(n->network_settings), "{\"path\":\"/v2sp\"}");
}

static enum status shape(const struct demo_options *o, struct db *db, struct db_node *n, bool fresh)
{
    struct node_wish wish = {.cipher = o->method != NULL ? o->method
                                       : fresh           ? o->kind->cipher
                                                         : NULL};
    char problem[NODE_SHAPE_PROBLEM];
    if (o->host != NULL)
        snprintf(n->host, sizeof(n->host), "%s", o->host);
    else if (fresh)
        own_address(n->host, sizeof(n->host));
    set_network(o, n);
    enum status st = choose_port(o, n);
    if (st != ST_OK)
        return st;
    if ((st = set_security(o, db, n, fresh)) != ST_OK) {
        fprintf(stderr, "v2sp demo: %s\n", db_error(db));
        return st;
    }
    if ((st = node_shape_fill(n, &wish, problem)) != ST_OK)
        fprintf(stderr, "v2sp demo: %s\n", problem);
    return st;
}

struct wanted {
    const struct demo_kind *kind;
    struct db_node *n;
    bool found;
};

static bool compare(void *ctx, const struct db_node *n)
{
    struct wanted *w = ctx;
    w->found = strcmp(n->name, w->kind->name) == 0 && strcmp(n->type, w->kind->type) == 0;
    if (w->found)
        *w->n = *n;
    return !w->found;
}

enum status demo_node_ensure(const struct demo_options *o, struct db *db, struct db_node *n)
{
    struct wanted w = {o->kind, n, false};
    enum status st = db_node_each(db, compare, &w);
    if (st == ST_OK && !w.found) {
        db_node_init(n);
        snprintf(n->name, sizeof(n->name), "%s", o->kind->name);
        snprintf(n->type, sizeof(n->type), "%s", o->kind->type);
        snprintf(n->network, sizeof(n->network), "%s", o->kind->network);
        n->push_interval = n->pull_interval = DEMO_INTERVAL_S;
    }
    if (st == ST_OK && (st = shape(o, db, n, !w.found)) != ST_OK)
        return st;
    if (st == ST_OK)
        st = w.found ? db_node_update(db, n) : db_node_add(db, n);
    if (st != ST_OK)
        fprintf(stderr, "v2sp demo: the node: %s\n", db_error(db));
    return st;
}
