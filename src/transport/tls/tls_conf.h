/* transport/tls/tls_conf.h - configuration of a TLS listener. Internal to transport/tls. */
#ifndef TRANSPORT_TLS_CONF_H
#define TRANSPORT_TLS_CONF_H

#include "stream/transport.h"
#include "tls/accept.h"
#include "tls/ossl.h"

struct tls_conf {
    struct ossl_conf ossl;
    struct accept_conf accept;
    bool ours; /* ordinary handshakes are done by accept */
};

/* The parse_conf and free_conf of transport_tls: stream/transport.h. */
NODISCARD enum status tls_conf_parse(struct arena *a, const struct json_t *settings,
                                     const struct conf_context *ctx, const void **conf,
                                     struct conf_error *err);
void tls_conf_free(const void *conf);

#endif
