#include "app/upgrade_request.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "app/spawn.h"
#include "app/upgrade.h"
#include "base/textbuf.h"
#include "codec/json.h"
#include "codec/json_out.h"
#include "control/admin/admin.h"

static void on_gone(void *arg, struct http_call *call)
{
    (void)call;
    upgrade_forget(arg);
}

static void on_done(void *arg, bool ok, const char *text)
{
    struct http_call *call = arg;

    if (!ok) {
        admin_fail(call, 409, "%s", text);
        return;
    }
    struct textbuf *t = http_call_text(call);
    textbuf_puts(t, "{\"text\":");
    textbuf_json(t, text);
    textbuf_puts(t, "}\n");
    admin_done(call);
}

static void serve(void *arg, struct http_call *call)
{
    struct upgrade *u = arg;
    struct json_t *v = admin_body(call);

    if (v == NULL)
        return;
    const char *binary = json_get_str(v, "binary", NULL);
    int64_t timeout_s = json_get_int(v, "timeout", UPGRADE_READY_MS / 1000);
    if (timeout_s < 1 || timeout_s > UPGRADE_REQUEST_TIMEOUT_S) {
        json_unref(v);
        admin_fail(call, 400, "timeout is 1 to %d seconds", UPGRADE_REQUEST_TIMEOUT_S);
        return;
    }
    uint32_t ready_ms = (uint32_t)timeout_s * 1000;
    http_call_later(call, ready_ms + UPGRADE_REQUEST_MORE_MS, on_gone, u);
    upgrade_start(u, binary, ready_ms, on_done, call);
    json_unref(v);
}

static void tell(void *arg, struct http_call *call)
{
    const struct upgrade *u = arg;
    struct json_out o = {.t = http_call_text(call)};
    char directory[PATH_MAX], binary[SPAWN_PATH_MAX];

    if (getcwd(directory, sizeof(directory)) == NULL) {
        admin_fail(call, 409, "the directory it was started in: %s", strerror(errno));
        return;
    }
    json_out_object(&o, NULL);
    json_out_str(&o, "directory", directory);
    json_out_str(&o, "config", upgrade_config_path(u));
    json_out_str(&o, "binary", upgrade_own_path(u, binary) == ST_OK ? binary : NULL);
    json_out_end_object(&o);
    textbuf_puts(o.t, "\n");
    admin_done(call);
}

void upgrade_request_add(struct admin *a, struct upgrade *u)
{
    admin_add(a, "GET", UPGRADE_REQUEST_PATH, tell, u);
    admin_add(a, "POST", UPGRADE_REQUEST_PATH, serve, u);
}
