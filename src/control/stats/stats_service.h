/* control/stats/stats_service.h - the gRPC StatsService that clients of V2Ray, Xray and sing-box
 * know, under both its names, and grpc.health.v1.Health, on the address of
 * experimental.v2ray_api. Control thread only. What each method answers: docs/stats-api.md. */
#ifndef CONTROL_STATS_STATS_SERVICE_H
#define CONTROL_STATS_STATS_SERVICE_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/status.h"

struct config_stats;
struct list;
struct log;
struct loop;
struct plane;
struct stats;
struct stats_service;

/* Borrowed for its life. */
struct stats_service_setup {
    struct loop *loop;
    const struct log *log;
    const struct plane *plane;
    struct stats *stats;
    const struct list *nodes; /* struct node.link */
};

/* NULL: no memory. */
struct stats_service *stats_service_new(const struct stats_service_setup *setup);
void stats_service_free(struct stats_service *s); /* NULL is fine */
/* Listens and tracks as @conf says. An address that cannot be had is said once and tried again
 * every few seconds; everything else goes on. */
void stats_service_apply(struct stats_service *s, const struct config_stats *conf);
/* GOAWAY: no new calls. */
void stats_service_stop(struct stats_service *s);
/* Where it listens; family 0: nowhere. */
const struct addr *stats_service_addr(const struct stats_service *s);

#endif
