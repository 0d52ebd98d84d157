#include "app/admin_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/textbuf.h"
#include "codec/http1.h"
#include "codec/http1_write.h"
#include "codec/json.h"
#include "control/admin/admin.h"
#include "control/config/config.h"
#include "control/server/unix_socket.h"

#define REPLY_MAX (80u << 20)
#define HEAD_ROOM 2048u

char *admin_socket_path(char dst[ADMIN_CLIENT_PATH_MAX], const char *config, const char *socket)
{
    const struct config *cfg = NULL;

    if (socket != NULL) {
        snprintf(dst, ADMIN_CLIENT_PATH_MAX, "%s", socket);
        return dst;
    }
    /* Mistakes in the file are for `v2sp check`: where the state lies is known all the same. */
    enum status st = config_load(config != NULL ? config : CONFIG_FILE_DEFAULT, NULL, &cfg);
    bool known = cfg != NULL && cfg->state_dir != NULL && cfg->state_dir[0] != '\0';
    snprintf(dst, ADMIN_CLIENT_PATH_MAX, "%s/" ADMIN_SOCKET,
             st != ST_E_NOMEM && known ? cfg->state_dir : CONFIG_STATE_DEFAULT);
    config_unref(cfg);
    return dst;
}

static enum status fail(struct admin_reply *out, enum status st, const char *path, const char *text)
{
    snprintf(out->problem, sizeof(out->problem), "%s: %s", path, text);
    return st;
}

/* What errno says. */
static const char *trouble(void)
{
    return errno == EAGAIN ? "no answer in time: v2sp hangs, or is stopped" : strerror(errno);
}

static bool send_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_request(int fd, const char *method, const char *target, const char *body)
{
    char head[HEAD_ROOM];
    struct http1_writer w;

    http1_begin_request(&w, head, sizeof(head), method, target);
    http1_add_field(&w, "Host", "v2sp");
    http1_add_field(&w, "Connection", "close");
    if (body != NULL) {
        http1_add_field(&w, "Content-Type", "application/json");
        http1_add_number(&w, "Content-Length", strlen(body));
    }
    return http1_end(&w) == ST_OK && send_all(fd, head, w.len) &&
           (body == NULL || send_all(fd, body, strlen(body)));
}

/* Everything up to the end of the connection. */
static bool receive(int fd, struct textbuf *t)
{
    for (;;) {
        char *p = textbuf_room(t, 65536);
        if (p == NULL)
            return false;
        ssize_t n = recv(fd, p, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            return true;
        t->len += (size_t)n;
    }
}

/* In JSON from who was asked; in a line of text where it did not come so far. */
static void name_refusal(struct admin_reply *out)
{
    const char *text = json_get_str(out->own_json, "error", NULL);

    if (text != NULL)
        snprintf(out->problem, sizeof(out->problem), "%s", text);
    else
        snprintf(out->problem, sizeof(out->problem), "%.*s (HTTP %u)",
                 (int)strcspn(out->own_text, "\r\n"), out->own_text, out->status);
}

static enum status read_reply(const struct textbuf *t, const char *path, struct admin_reply *out)
{
    struct http1_scan scan = {0};
    struct http1_head h;
    struct json_error e;

    if (http1_parse_response(t->p, t->len, &scan, &h) != ST_OK ||
        (h.body == HTTP1_BODY_LENGTH && t->len - h.size < h.content_length))
        return fail(out, ST_E_PROTO, path, "the answer is cut off, or no answer of v2sp");
    out->status = h.status;
    out->len = t->len - h.size;
    out->own_text = malloc(out->len + 1);
    if (out->own_text == NULL)
        return fail(out, ST_E_NOMEM, path, "out of memory");
    memcpy(out->own_text, t->p + h.size, out->len);
    out->own_text[out->len] = '\0';
    if (json_parse(out->own_text, out->len, &out->own_json, &e) != ST_OK)
        out->own_json = NULL;
    if (out->status != 200)
        name_refusal(out);
    return ST_OK;
}

enum status admin_call(const char *path, const char *method, const char *target, const char *body,
                       uint32_t wait_ms, struct admin_reply *out)
{
    struct textbuf t;

    memset(out, 0, sizeof(*out));
    int fd = unix_socket_connect(path, wait_ms);
    if (fd < 0) {
        bool none = errno == ENOENT || errno == ECONNREFUSED;
        snprintf(out->problem, sizeof(out->problem), "%s: %s%s", path, trouble(),
                 none ? "; v2sp does not run, or with another StateDir" : "");
        return none ? ST_E_NOTFOUND : ST_E_IO;
    }
    struct ucred server = {.uid = UINT32_MAX};
    socklen_t len = sizeof(server);
    textbuf_init(&t);
    t.max = REPLY_MAX;
    enum status st = ST_OK;
    (void)!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &server, &len);
    out->uid = server.uid;
    if (!send_request(fd, method, target, body) || !receive(fd, &t))
        st = fail(out, ST_E_IO, path, t.failed ? "the answer is too long" : trouble());
    if (st == ST_OK)
        st = read_reply(&t, path, out);
    close(fd);
    textbuf_fini(&t);
    return st;
}

void admin_reply_fini(struct admin_reply *r)
{
    json_unref(r->own_json);
    free(r->own_text);
    memset(r, 0, sizeof(*r));
}
