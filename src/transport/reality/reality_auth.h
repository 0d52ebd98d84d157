/* transport/reality/reality_auth.h - is this ClientHello one of ours? (xtls/reality 20251014
 * tls.go). Pure. */
#ifndef TRANSPORT_REALITY_AUTH_H
#define TRANSPORT_REALITY_AUTH_H

#include "crypto/ctx.h"
#include "tls/hello.h"
#include "transport/reality/reality_conf.h"

/* Opens the session id of @msg (the whole message; changed during the call, restored at its end)
 * and checks name, version, clock and short id against @c. ST_OK with the key that both sides now
 * share in @auth_key (FLIGHT_AUTH_KEY_LEN bytes, secret). ST_E_AUTH: a stranger; every hello with a
 * key share and a 32 byte session id costs the same work, whatever is wrong with it. ST_E_NOMEM. */
NODISCARD enum status reality_authenticate(const struct reality_conf *c, struct crypto_ctx *cc,
                                           uint8_t *msg, size_t len, const struct hello *h,
                                           int64_t unix_s, uint8_t *auth_key);

#endif
