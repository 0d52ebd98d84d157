#include "codec/proxy_address.h"

#include <string.h>

enum kind { KIND_NONE, KIND_IP4, KIND_NAME, KIND_IP6 };

static enum kind kind_of(enum proxy_address_form form, uint8_t type)
{
    static const uint8_t socks[] = {KIND_NONE, KIND_IP4, KIND_NONE, KIND_NAME, KIND_IP6};
    static const uint8_t v2ray[] = {KIND_NONE, KIND_IP4, KIND_NAME, KIND_IP6};

    if (form == PROXY_ADDRESS_V2RAY)
        return type < sizeof(v2ray) ? v2ray[type] : KIND_NONE;
    if (form == PROXY_ADDRESS_SHADOWSOCKS)
        type &= 0x0f;
    return type < sizeof(socks) ? socks[type] : KIND_NONE;
}

static void set_ip(struct target *t, enum addr_family family, const uint8_t *ip, size_t len)
{
    if (ip == NULL)
        return;
    t->addr.family = (uint8_t)family;
    memcpy(t->addr.ip, ip, len);
}

enum status proxy_address_read(struct reader *r, enum proxy_address_form form, struct target *t)
{
    uint16_t port = form == PROXY_ADDRESS_V2RAY ? reader_u16(r) : 0;
    uint8_t type = reader_u8(r), len;
    const uint8_t *name = NULL;

    memset(t, 0, sizeof(*t));
    if (r->bad)
        return ST_MORE;
    switch (kind_of(form, type)) {
    case KIND_IP4:
        set_ip(t, ADDR_IP4, reader_take(r, 4), 4);
        break;
    case KIND_IP6:
        set_ip(t, ADDR_IP6, reader_take(r, 16), 16);
        break;
    case KIND_NAME:
        len = reader_u8(r);
        if (!r->bad && len == 0)
            return ST_E_PROTO;
        name = reader_take(r, len);
        if (name != NULL && target_set_host(t, (const char *)name, len, 0) != ST_OK)
            return ST_E_PROTO;
        break;
    case KIND_NONE:
        return ST_E_PROTO;
    }
    if (form != PROXY_ADDRESS_V2RAY)
        port = reader_u16(r);
    t->addr.port = port;
    if (name == NULL)
        addr_unmap(&t->addr);
    return r->bad ? ST_MORE : ST_OK;
}

size_t proxy_address_write(enum proxy_address_form form, const struct addr *a, uint8_t *out)
{
    bool v2ray = form == PROXY_ADDRESS_V2RAY;
    size_t len = a->family == ADDR_IP4 ? 4 : 16, n = 0;

    if (v2ray) {
        put_be16(out, a->port);
        n = 2;
    }
    out[n++] = a->family == ADDR_IP4 ? 1 : v2ray ? 3 : 4;
    memcpy(out + n, a->ip, len);
    n += len;
    if (!v2ray) {
        put_be16(out + n, a->port);
        n += 2;
    }
    return n;
}
