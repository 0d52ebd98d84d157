/* transport/raw/raw.h - the network "tcp": the protocol's bytes as they are, so no layer at all
 * (server is NULL).
 *
 * parse_conf leaves *conf NULL. The HTTP header obfuscation (header.type "http") is refused. */
#ifndef TRANSPORT_RAW_RAW_H
#define TRANSPORT_RAW_RAW_H

#include "stream/transport.h"

extern const struct transport transport_raw;

#endif
