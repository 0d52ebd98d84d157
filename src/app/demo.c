#include "app/demo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/demo_node.h"
#include "app/qr.h"
#include "app/sharelink.h"
#include "base/addr.h"
#include "control/config/config.h"
#include "crypto/mem.h"
#include "base/textbuf.h"

#define DEMO_USER "demo"

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
    st = demo_node_ensure(o, out->db, &out->node);
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
    crypto_wipe(&s->node, sizeof(s->node));
    crypto_wipe(&s->user, sizeof(s->user));
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
        "\"Nodes\":[{\"Name\":\"%s\",\"ApiHost\":\"http://127.0.0.1:%u/api\",\"ApiKey\":\"%s\","
        "\"NodeID\":%lld,\"NodeType\":\"%s\",\"ListenIP\":\"%s\",\"AllowPrivate\":%s,"
        "\"CertConfig\":{\"CertMode\":\"%s\",\"CertDomain\":\"" DEMO_SNI "\"}}]}",
        dir, dir, s->node.name, panel_port, s->node.token, (long long)s->node.id, s->node.type,
        has_ip6() ? "::" : "0.0.0.0", o->allow_private ? "true" : "false",
        s->node.tls == DB_TLS_TLS ? "self" : "none");
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

/* How safe the link is, and what a client has to know. */
static void print_notes(const struct demo_options *o, const struct demo_setup *s, const char *sni)
{
    const struct db_node *n = &s->node;
    struct addr a;
    if (n->tls == DB_TLS_REALITY)
        printf("Whoever has no link sees %s there (REALITY).\n", sni);
    if (n->tls == DB_TLS_TLS)
        printf("The certificate is self-signed: the link tells the client not to check it.\n");
    if (n->cipher[0] != '\0')
        printf(
            "TCP and UDP on the same port; any client of Shadowsocks with this cipher will do.\n");
    if (strcmp(n->cipher, "none") == 0 || (n->tls == DB_TLS_NONE && strcmp(n->type, "vless") == 0))
        printf("Nothing is encrypted: for a trusted network only.\n");
    if (addr_parse_ip(&a, n->host, strlen(n->host)) == ST_OK && addr_is_private(&a))
        printf("%s is a private address: from elsewhere give the public one with --host.\n",
               n->host);
    printf("A configuration for Xray or sing-box:\n"
           "  %s panel user link " DEMO_USER " --node %lld --format xray|sing-box --state %s\n"
           "Log: %s/v2sp.log   Ctrl-C ends it.\n\n",
           program_invocation_name, (long long)n->id, o->state_dir, o->state_dir);
}

void demo_print_welcome(const struct demo_options *o, const struct demo_setup *s)
{
    static const char *const security[] = {"", " with TLS", " with REALITY"};
    const struct db_node *n = &s->node;
    struct sharelink link;
    struct textbuf text;
    const char *problem = "";
    if (sharelink_from(&link, n, &s->user, &problem) != ST_OK) {
        fprintf(stderr, "v2sp demo: no share link: %s\n", problem);
        return;
    }
    textbuf_init(&text);
    sharelink_uri(&link, &text);
    textbuf_put(&text, "", 1); /* the end of the string */
    const char *uri = text.failed ? "(out of memory)" : text.p;
    printf("v2sp " V2SP_VERSION
           " demo: a %s node%s%s%s%s on port %u, its panel beside it\n\n%s\n\n",
           o->kind->title, n->cipher[0] != '\0' ? " with " : "", n->cipher,
           strcmp(n->network, "ws") == 0 ? " over WebSocket" : "", security[n->tls], n->port, uri);
    if (!o->no_qr && qr_print(stdout, uri, qr_style_for(stdout)) != ST_OK)
        printf("(no QR code: the link is too long)\n");
    printf("Connect: paste the link into v2rayN, v2rayNG, NekoBox, Hiddify or another client of "
           "Xray or\nsing-box, or scan the code.\n");
    print_notes(o, s, link.sni);
    fflush(stdout);
    crypto_wipe(&link, sizeof(link));
    textbuf_fini(&text);
}
