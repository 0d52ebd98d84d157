#include "registry/registry.h"

#include <stdbool.h>
#include <strings.h>

#include "proto/shadowsocks/shadowsocks.h"
#include "proto/trojan/trojan.h"
#include "proto/vless/vless.h"
#include "proto/vmess/vmess.h"
#include "transport/raw/raw.h"
#include "transport/reality/reality.h"
#include "transport/tls/tls.h"
#include "transport/vlessenc/vlessenc.h"
#include "transport/ws/ws.h"

static const struct transport *const transports[] = {
    &transport_raw, &transport_reality, &transport_tls, &transport_vlessenc, &transport_ws,
};

static const struct proto *const protos[] = {
    &proto_shadowsocks,
    &proto_trojan,
    &proto_vless,
    &proto_vmess,
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool is_called(const char *name, const char *const *aliases, const char *wanted)
{
    if (strcasecmp(name, wanted) == 0)
        return true;
    for (; aliases != NULL && *aliases != NULL; aliases++)
        if (strcasecmp(*aliases, wanted) == 0)
            return true;
    return false;
}

const struct transport *registry_transport(const char *name)
{
    for (size_t i = 0; i < COUNT(transports); i++)
        if (is_called(transports[i]->name, transports[i]->aliases, name != NULL ? name : ""))
            return transports[i];
    return NULL;
}

const struct proto *registry_proto(const char *name)
{
    for (size_t i = 0; i < COUNT(protos); i++)
        if (is_called(protos[i]->name, protos[i]->aliases, name != NULL ? name : ""))
            return protos[i];
    return NULL;
}

const struct transport *registry_transport_at(size_t i)
{
    return i < COUNT(transports) ? transports[i] : NULL;
}

const struct proto *registry_proto_at(size_t i)
{
    return i < COUNT(protos) ? protos[i] : NULL;
}
