/* control/server/grpc_health.h - grpc.health.v1.Health: Check, and Watch, which goes on until the
 * client or the server ends. Control thread.
 *
 * Source: grpc/health/v1/health.proto and "GRPC Health Checking Protocol". A server that runs
 * serves; a service it does not have is NOT_FOUND for Check and SERVICE_UNKNOWN for Watch. */
#ifndef CONTROL_SERVER_GRPC_HEALTH_H
#define CONTROL_SERVER_GRPC_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct grpc_call;
struct grpc_method;

#define GRPC_HEALTH_SERVICE  "grpc.health.v1.Health"
#define GRPC_HEALTH_WATCHERS 256u /* at a time */

struct grpc_health {
    const struct grpc_method *methods; /* borrowed: what services there are */
    size_t method_count;
    struct list watchers;
    unsigned watcher_count;
};

/* @methods: all that the server has, borrowed for the life of @h. */
void grpc_health_init(struct grpc_health *h, const struct grpc_method *methods, size_t count);
/* The server ends: watchers are told NOT_SERVING, their streams end. Harmless twice. */
void grpc_health_stop(struct grpc_health *h);

/* Two methods; @arg is the struct grpc_health. */
void grpc_health_check(void *arg, struct grpc_call *call, const uint8_t *message, size_t len);
void grpc_health_watch(void *arg, struct grpc_call *call, const uint8_t *message, size_t len);

#endif
