/* registry/registry.h - the two const tables of transports and protocols. A new one is one line in
 * registry.c and one folder. */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stddef.h>

#include "stream/transport.h"

/* Finds by any accepted spelling in any letter case ("ws", "websocket"); NULL: not known. The
 * network "tcp" ("raw", "", NULL) is found too: its server is NULL, it adds no stage to the
 * chain. */
const struct transport *registry_transport(const char *name);
const struct proto *registry_proto(const char *name);
/* Names for messages and --help, in table order; NULL past the end. */
const struct transport *registry_transport_at(size_t i);
const struct proto *registry_proto_at(size_t i);

#endif
