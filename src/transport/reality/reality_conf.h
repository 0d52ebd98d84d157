/* transport/reality/reality_conf.h - configuration of a REALITY listener (names and ranges as in
 * Xray-core 25.12.1 infra/conf/transport_internet.go). Internal to transport/reality; const once
 * parsed, shared by all workers. */
#ifndef TRANSPORT_REALITY_CONF_H
#define TRANSPORT_REALITY_CONF_H

#include "crypto/x25519.h"
#include "stream/aux.h"
#include "stream/transport.h"
#include "tls/flight.h"
#include "transport/reality/reality_tails.h"

#define REALITY_SHORT_ID_LEN 8u
#define REALITY_LIST_MAX     4096u /* names or short ids */

struct reality_name {
    const char *text;
    uint8_t len; /* 0: clients that name no server are welcome */
};

struct reality_conf {
    struct aux_dest dest;
    const struct reality_name *names;
    const uint8_t (*short_ids)[REALITY_SHORT_ID_LEN];
    size_t name_count, short_id_count;
    struct x25519_key *key; /* secret */
    bool has_min, has_max;
    uint32_t min_version, max_version; /* x.y.z as 24 bits */
    uint64_t max_time_diff_ms;         /* 0: any */
    struct flight_identity identity;   /* secret */
    struct reality_tails *tails;       /* in the same arena; not const: see there */
};

/* The parse_conf and free_conf of transport_reality: stream/transport.h. ctx->reality, a
 * RealityConfig object, counts where it holds something. Errors name the field. */
NODISCARD enum status reality_conf_parse(struct arena *a, const struct json_t *settings,
                                         const struct conf_context *ctx, const void **conf,
                                         struct conf_error *err);
/* Wipes the keys. */
void reality_conf_free(const void *conf);

/* ---- reality_dest.c ---- */

/* Reads "host:port", "host", ":port" or "port" (that is localhost), "/path", "@name", "@@name" into
 * @d; where the text has no port it is @port, where it has no host "localhost". ST_OK, ST_E_NOMEM,
 * ST_E_CONFIG. */
NODISCARD enum status reality_dest_parse(struct arena *a, const char *text, uint16_t port,
                                         struct aux_dest *d);
/* "x[.y[.z]]", each below 256. ST_OK or ST_E_CONFIG. */
NODISCARD enum status reality_version_parse(const char *text, uint32_t *out);
/* Milliseconds as a number, or with "ms", "s", "m" or "h". ST_OK or ST_E_CONFIG. */
NODISCARD enum status reality_ms_parse(const char *text, uint64_t *out);

#endif
