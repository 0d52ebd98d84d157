/* control/stats/stats_request.h - the requests of the StatsService as they come over the wire.
 * Pure; texts are borrowed from the message. */
#ifndef CONTROL_STATS_STATS_REQUEST_H
#define CONTROL_STATS_STATS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "control/stats/stats_query.h"

/* GetStatsRequest; and GetUsersStatsRequest, whose @traffic has the number of @name. */
struct stats_get {
    struct grpc_str name;
    bool reset, traffic;
};

/* All: ST_OK; ST_E_PROTO: no protobuf; ST_E_UNSUPPORTED: a text is no UTF-8; query also ST_E_LIMIT:
 * over STATS_PATTERNS_MAX. */
NODISCARD enum status stats_request_get(const uint8_t *p, size_t len, struct stats_get *out);
/* The pattern of old and the patterns of new clients count alike; an empty old one is none. */
NODISCARD enum status stats_request_query(const uint8_t *p, size_t len, struct stats_query *out);

#endif
