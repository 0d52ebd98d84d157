#include "control/server/grpc_health.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "codec/protobuf.h"
#include "control/server/grpc_server.h"

/* HealthCheckResponse.ServingStatus */
enum serving { SERVING = 1, NOT_SERVING = 2, SERVICE_UNKNOWN = 3 };

struct watcher {
    struct list link;
    struct grpc_health *health;
    struct grpc_call *call;
};

void grpc_health_init(struct grpc_health *h, const struct grpc_method *methods, size_t count)
{
    *h = (struct grpc_health){.methods = methods, .method_count = count};
    list_init(&h->watchers);
}

/* HealthCheckRequest {1 service}; "" is the whole server. */
static enum status read_request(const uint8_t *p, size_t len, struct grpc_str *service)
{
    struct protobuf_reader r = {p, p + len};
    struct protobuf_field f;
    enum status st;

    *service = (struct grpc_str){"", 0};
    while ((st = protobuf_next(&r, &f)) == ST_OK) {
        if (f.number != 1 || f.type != PROTOBUF_BYTES)
            continue;
        if (!utf8_is_valid(f.data, f.len))
            return ST_E_UNSUPPORTED;
        *service = (struct grpc_str){(const char *)f.data, f.len};
    }
    return st == ST_EOF ? ST_OK : st;
}

/* False: answered with an error. */
static bool read_status(const struct grpc_health *h, struct grpc_call *call, const uint8_t *message,
                        size_t len, enum serving *status)
{
    struct grpc_str service;

    if (read_request(message, len, &service) != ST_OK) {
        grpc_call_fail(call, GRPC_INTERNAL, "grpc: error unmarshalling request");
        return false;
    }
    *status = service.len == 0 ? SERVING : SERVICE_UNKNOWN;
    for (size_t i = 0; i < h->method_count; i++)
        if (strlen(h->methods[i].service) == service.len &&
            memcmp(h->methods[i].service, service.p, service.len) == 0)
            *status = SERVING;
    return true;
}

/* HealthCheckResponse {1 status} */
static void put_status(uint8_t out[2], enum serving status)
{
    out[0] = 0x08;
    out[1] = (uint8_t)status;
}

void grpc_health_check(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    enum serving status;
    uint8_t answer[2];

    if (!read_status(arg, call, message, len, &status))
        return;
    put_status(answer, status);
    if (status == SERVING)
        grpc_call_bytes(call, answer, sizeof(answer));
    else
        grpc_call_fail(call, GRPC_NOT_FOUND, "unknown service");
}

static void forget(void *arg)
{
    struct watcher *w = arg;

    list_del(&w->link);
    w->health->watcher_count--;
    free(w);
}

void grpc_health_watch(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    struct grpc_health *h = arg;
    enum serving status;
    uint8_t answer[2];

    if (!read_status(h, call, message, len, &status))
        return;
    struct watcher *w = h->watcher_count < GRPC_HEALTH_WATCHERS ? malloc(sizeof(*w)) : NULL;
    if (w == NULL) {
        grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, "too many watchers");
        return;
    }
    *w = (struct watcher){.health = h, .call = call};
    list_add_tail(&h->watchers, &w->link);
    h->watcher_count++;
    grpc_call_watch(call, forget, w);
    put_status(answer, status);
    grpc_call_send(call, answer, sizeof(answer));
}

void grpc_health_stop(struct grpc_health *h)
{
    uint8_t answer[2];

    put_status(answer, NOT_SERVING);
    LIST_FOREACH(l, tmp, &h->watchers) {
        struct watcher *w = LIST_ENTRY(l, struct watcher, link);
        grpc_call_watch(w->call, NULL, NULL);
        grpc_call_send(w->call, answer, sizeof(answer));
        grpc_call_end(w->call);
        forget(w);
    }
}
