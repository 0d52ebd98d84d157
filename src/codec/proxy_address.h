/* codec/proxy_address.h - targets as proxy protocols write them. Pure.
 *
 *   SOCKS (RFC 1928 section 5; Trojan, Shadowsocks):   type 1 | address | port 2
 *   V2RAY (VLESS, VMess, Mux.Cool):                    port 2 | type 1 | address
 *
 * An address is 4 bytes, 16 bytes, or a length and that many bytes of name; the types' numbers
 * differ. */
#ifndef CODEC_PROXY_ADDRESS_H
#define CODEC_PROXY_ADDRESS_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/status.h"

enum proxy_address_form {
    PROXY_ADDRESS_SOCKS, /* 1 IPv4, 3 name, 4 IPv6 */
    /* the same; the high half of the type is not looked at (Xray-core) */
    PROXY_ADDRESS_SHADOWSOCKS,
    PROXY_ADDRESS_V2RAY, /* 1 IPv4, 2 name, 3 IPv6 */
};

#define PROXY_ADDRESS_MAX    (1 + 1 + 255 + 2) /* the longest, with its port */
#define PROXY_ADDRESS_IP_MAX (1 + 16 + 2)      /* what proxy_address_write makes */

/* Reads one. A name that is an IP literal becomes that IP, a mapped IPv6 address becomes IPv4.
 *   ST_OK       @t is filled, @r is behind it
 *   ST_MORE     what is there is sound, but not all
 *   ST_E_PROTO  an unknown type, or a name that is none (empty, or other letters than
 *               target_set_host takes) */
NODISCARD enum status proxy_address_read(struct reader *r, enum proxy_address_form form,
                                         struct target *t);
/* Writes @a (IPv4 or IPv6) with its port. Returns the bytes written, at most
 * PROXY_ADDRESS_IP_MAX. */
size_t proxy_address_write(enum proxy_address_form form, const struct addr *a, uint8_t *out);

#endif
