#include "app/demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/demo_target.h"
#include "app/qr.h"
#include "app/reality_node.h"
#include "app/sharelink.h"
#include "base/addr.h"
#include "control/config.h"
#include "io/sockaddr.h"
#include "panelserver/textbuf.h"

#define DEMO_USER       "demo"
#define DEMO_SNI        "www.example.com" /* on the self-signed certificate */
#define DEMO_INTERVAL_S 5
#define DEMO_PORT_MIN   20000
#define DEMO_PORT_MAX   32000

int64_t demo_now(void)
{
    return (int64_t)time(NULL);
}

char *demo_size_str(char dst[32], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t i = 0;
    while (v >= 1024 && i + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1024;
        i++;
    }
    snprintf(dst, 32, i == 0 ? "%.0f %s" : "%.1f %s", v, units[i]);
    return dst;
}

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
static int open_socket(int family)
{
    const int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

static bool try_bind(uint16_t *port)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(*port)};
    struct addr got;
    bool ok;
    int fd = open_socket(AF_INET6);
    if (fd >= 0) {
        ok = bind(fd, (struct sockaddr *)&any6, sizeof(any6)) == 0;
    } else {
        fd = open_socket(AF_INET);
        ok = fd >= 0 && bind(fd, (struct sockaddr *)&any4, sizeof(any4)) == 0;
    }
    if (ok) {
        sockaddr_local(fd, &got);
        *port = got.port;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Below the range that outgoing connections take theirs from: one of those could hold it at the
 * next start, and the link would be another. 0 with errno: none was found. */
static uint16_t free_port(void)
{
    for (int i = 0; i < 64; i++) {
        uint16_t port;
        if (getrandom(&port, sizeof(port), 0) != (ssize_t)sizeof(port))
            return 0;
        port = (uint16_t)(DEMO_PORT_MIN + port % (DEMO_PORT_MAX - DEMO_PORT_MIN));
        if (try_bind(&port))
            return port;
    }
    return 0;
}

static bool has_ip6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static enum status failed(const struct db *db, const char *what)
{
    fprintf(stderr, "v2sp demo: %s: %s\n", what, db_error(db));
    return ST_E_IO;
}

static void set_flow(struct db_node *n)
{
    bool vision = n->tls != DB_TLS_NONE && strcmp(n->network, "tcp") == 0;
    snprintf(n->flow, sizeof(n->flow), "%s", vision ? "xtls-rprx-vision" : "");
}

static enum status set_tls(struct demo_setup *s, bool plain)
{
    struct db_node *n = &s->node;
    n->tls = plain ? DB_TLS_NONE : DB_TLS_TLS;
    n->tls_settings[0] = '\0';
    set_flow(n);
    if (plain)
        return ST_OK;
    enum status st =
        db_json_set(s->db, n->tls_settings, sizeof(n->tls_settings), "server_name", DEMO_SNI);
    if (st == ST_OK)
        st = db_json_set(s->db, n->tls_settings, sizeof(n->tls_settings), "allow_insecure", "1");
    return st;
}

/* REALITY when there is a site to look like, else TLS. Keys that there are stay. */
static enum status set_reality(const struct demo_options *o, struct demo_setup *s)
{
    struct db_node *n = &s->node;
    struct demo_target t;
    char problem[REALITY_NODE_PROBLEM];
    bool found = demo_target_find(o->target, o->sni, DEMO_SNI, &t);
    if (found) {
        struct reality_wish wish = {.dest = t.dest, .names = t.name};
        if (n->tls != DB_TLS_REALITY)
            n->tls_settings[0] = '\0';
        n->tls = DB_TLS_REALITY;
        set_flow(n);
        if (reality_node_fill(s->db, n, &wish, problem) == ST_OK)
            return ST_OK;
    }
    if (n->tls == DB_TLS_REALITY) {
        /* The link that was given away goes on to work once it is back. */
        printf("The REALITY settings stay as they were: %s\n", found ? problem : t.why);
        return ST_OK;
    }
    printf("No REALITY, TLS with a self-signed certificate instead: %s\n", found ? problem : t.why);
    return set_tls(s, false);
}

static enum status set_security(const struct demo_options *o, struct demo_setup *s, bool fresh)
{
    struct db_node *n = &s->node;
    bool tcp = strcmp(n->network, "tcp") == 0;
    if (o->plain || o->tls)
        return set_tls(s, o->plain);
    if (o->target != NULL || (fresh && tcp))
        return set_reality(o, s);
    if (fresh || (n->tls == DB_TLS_REALITY && !tcp))
        return set_tls(s, false); /* REALITY does not go with WebSocket */
    if (o->network != NULL)
        set_flow(n);
    return ST_OK;
}

/* What was asked for now, else what was so last time, else the default. */
static enum status shape_node(const struct demo_options *o, struct demo_setup *s, bool fresh)
{
    struct db_node *n = &s->node;
    if (o->host)
        snprintf(n->host, sizeof(n->host), "%s", o->host);
    else if (fresh)
        own_address(n->host, sizeof(n->host));
    if (o->network)
        snprintf(n->network, sizeof(n->network), "%s", o->network);
    if (strcmp(n->network, "ws") == 0 && n->network_settings[0] == '\0')
        snprintf(n->network_settings, sizeof(n->network_settings), "{\"path\":\"/v2sp\"}");
    if (strcmp(n->network, "ws") != 0)
        n->network_settings[0] = '\0';
    if (o->port)
        n->port = o->port;
    uint16_t port = n->port;
    if (port == 0 || !try_bind(&port)) {
        if (o->port) {
            fprintf(stderr,
                    "v2sp demo: port %u is taken; leave --port out and a free one is found\n",
                    o->port);
            return ST_E_BUSY;
        }
        port = free_port();
        if (port == 0) {
            fprintf(stderr, "v2sp demo: no free port: %s\n", strerror(errno));
            return ST_E_IO;
        }
    }
    n->port = port;
    return set_security(o, s, fresh);
}

static enum status ensure_node(const struct demo_options *o, struct demo_setup *s)
{
    enum status st = db_node_get(s->db, 1, &s->node);
    bool fresh = st == ST_E_NOTFOUND;
    if (fresh) {
        db_node_init(&s->node);
        s->node.id = 1;
        snprintf(s->node.name, sizeof(s->node.name), "demo");
        s->node.push_interval = s->node.pull_interval = DEMO_INTERVAL_S;
    } else if (st != ST_OK) {
        return failed(s->db, "cannot read the node");
    }
    st = shape_node(o, s, fresh);
    if (st != ST_OK)
        return st;
    st = fresh ? db_node_add(s->db, &s->node) : db_node_update(s->db, &s->node);
    return st == ST_OK ? ST_OK : failed(s->db, "cannot write the node");
}

static enum status ensure_user(struct demo_setup *s)
{
    enum status st = db_user_find(s->db, DEMO_USER, &s->user);
    if (st == ST_OK)
        return ST_OK;
    if (st != ST_E_NOTFOUND)
        return failed(s->db, "cannot read the user");
    db_user_init(&s->user);
    s->user.all_nodes = true;
    snprintf(s->user.name, sizeof(s->user.name), DEMO_USER);
    return db_user_add(s->db, &s->user) == ST_OK ? ST_OK : failed(s->db, "cannot write the user");
}

enum status demo_open(const struct demo_options *o, struct demo_setup *out)
{
    char path[512], error[DB_ERROR_MAX] = "";
    memset(out, 0, sizeof(*out));
    if (mkdir(o->state_dir, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "v2sp demo: cannot make %s: %s; choose another place with --state DIR\n",
                o->state_dir, strerror(errno));
        return ST_E_IO;
    }
    snprintf(path, sizeof(path), "%s/panel.db", o->state_dir);
    enum status st = db_open(path, DB_CREATE, &out->db, error);
    if (st != ST_OK) {
        fprintf(stderr, "v2sp demo: %s\n", error);
        return st;
    }
    st = ensure_node(o, out);
    if (st == ST_OK)
        st = ensure_user(out);
    if (st != ST_OK)
        demo_close(out);
    return st;
}

void demo_close(struct demo_setup *s)
{
    db_close(s->db);
    s->db = NULL;
}

/* Backslashes and quotes of a path, for JSON. */
static void escape(char *dst, size_t size, const char *src)
{
    size_t n = 0;
    for (; *src && n + 2 < size; src++) {
        if (*src == '"' || *src == '\\')
            dst[n++] = '\\';
        dst[n++] = *src;
    }
    dst[n] = '\0';
}

const struct config *demo_config(const struct demo_options *o, const struct demo_setup *s,
                                 uint16_t panel_port)
{
    char dir[1024], text[4096];
    const struct config *cfg = NULL;
    escape(dir, sizeof(dir), o->state_dir);
    int len = snprintf(
        text, sizeof(text),
        "{\"StateDir\":\"%s\",\"DrainTimeout\":0,\"Log\":{\"Level\":\"info\",\"Output\":\"%s/"
        "v2sp.log\"},"
        "\"Nodes\":[{\"Name\":\"demo\",\"ApiHost\":\"http://127.0.0.1:%u/api\",\"ApiKey\":\"%s\","
        "\"NodeID\":%lld,\"NodeType\":\"vless\",\"ListenIP\":\"%s\",\"AllowPrivate\":%s,"
        "\"CertConfig\":{\"CertMode\":\"%s\",\"CertDomain\":\"" DEMO_SNI "\"}}]}",
        dir, dir, panel_port, s->node.token, (long long)s->node.id, has_ip6() ? "::" : "0.0.0.0",
        o->allow_private ? "true" : "false", s->node.tls == DB_TLS_TLS ? "self" : "none");
    enum status st = config_parse(text, (size_t)len, "demo", NULL, &cfg);
    if (st == ST_OK && cfg->node_count == 1)
        return cfg;
    char line[1024];
    for (size_t i = 0; cfg && i < cfg->finding_count; i++)
        fprintf(stderr, "v2sp demo: %s\n",
                config_finding_str(&cfg->findings[i], line, sizeof(line)));
    config_unref(cfg);
    return NULL;
}

static void port_file(const struct demo_options *o, char *dst, size_t size)
{
    snprintf(dst, size, "%s/panel.port", o->state_dir);
}

uint16_t demo_panel_port_load(const struct demo_options *o)
{
    char path[512], text[16] = "";
    port_file(o, path, sizeof(path));
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fgets(text, sizeof(text), f) == NULL)
        text[0] = '\0';
    fclose(f);
    long port = strtol(text, NULL, 10);
    return port > 0 && port < 65536 ? (uint16_t)port : 0;
}

void demo_panel_port_save(const struct demo_options *o, uint16_t port)
{
    char path[512];
    port_file(o, path, sizeof(path));
    FILE *f = fopen(path, "we");
    if (f == NULL)
        return;
    fprintf(f, "%u\n", port);
    fclose(f);
}

void demo_print_welcome(const struct demo_options *o, const struct demo_setup *s)
{
    struct sharelink link;
    struct textbuf text;
    struct addr a;
    const char *problem = "";
    if (sharelink_from(&link, &s->node, &s->user, &problem) != ST_OK) {
        fprintf(stderr, "v2sp demo: no share link: %s\n", problem);
        return;
    }
    textbuf_init(&text);
    sharelink_uri(&link, &text);
    textbuf_put(&text, "", 1); /* the end of the string */
    const char *uri = text.failed ? "(out of memory)" : text.p;
    printf("v2sp " V2SP_VERSION " demo: a VLESS node on port %u, its panel beside it\n\n%s\n\n",
           s->node.port, uri);
    if (!o->no_qr && qr_print(stdout, uri, qr_style_for(stdout)) != ST_OK)
        printf("(no QR code: the link is too long)\n");
    printf("Connect: paste the link into v2rayN, v2rayNG, NekoBox, Hiddify or another client of "
           "Xray or\n"
           "sing-box, or scan the code%s.\n",
           s->node.tls == DB_TLS_TLS ? "; the certificate is self-signed, the link says so" : "");
    if (s->node.tls == DB_TLS_REALITY)
        printf("Whoever has no link sees %s there (REALITY).\n", link.sni);
    if (addr_parse_ip(&a, s->node.host, strlen(s->node.host)) == ST_OK && addr_is_private(&a))
        printf("%s is a private address: from elsewhere give the public one with --host.\n",
               s->node.host);
    printf("A configuration for Xray or sing-box:\n"
           "  v2sp panel user link " DEMO_USER " --format xray|sing-box --state %s\n"
           "Log: %s/v2sp.log   Ctrl-C ends it.\n\n",
           o->state_dir, o->state_dir);
    fflush(stdout);
    textbuf_fini(&text);
}
