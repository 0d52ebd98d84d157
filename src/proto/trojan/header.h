/* proto/trojan/header.h - the request header and the frame of a datagram. Pure.
 *
 *   header    hex SHA-224(password) 56 | CR LF | command 1 | address | CR LF
 *   datagram  address | length 2 | CR LF | payload
 *
 * Addresses in SOCKS form. Source: Xray-core 25.12.1 proxy/trojan/protocol.go. */
#ifndef PROTO_TROJAN_HEADER_H
#define PROTO_TROJAN_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/status.h"
#include "codec/proxy_address.h"

#define TROJAN_DIGEST_LEN 28
#define TROJAN_KEY_LEN    (2 * TROJAN_DIGEST_LEN)
#define TROJAN_HEADER_MAX (TROJAN_KEY_LEN + 2 + 1 + PROXY_ADDRESS_MAX + 2)
#define TROJAN_FRAME_MAX  (PROXY_ADDRESS_MAX + 4) /* the longest head of a datagram */
/* The head of a datagram with an IP address, as trojan_frame_write makes it. */
#define TROJAN_FRAME_IP_MAX (PROXY_ADDRESS_IP_MAX + 4)

enum trojan_command { TROJAN_TCP = 1, TROJAN_UDP = 3, TROJAN_SMUX = 0x7f };

struct trojan_header {
    size_t len; /* bytes of the header */
    uint8_t command;
    struct target target;
};

/* Reads the digest that a client begins with: 56 lower-case hex digits and a CR.
 *   ST_OK      @digest is filled
 *   ST_MORE    so far it may become one
 *   ST_E_AUTH  never one, whatever follows */
NODISCARD enum status trojan_digest_parse(const uint8_t *p, size_t len,
                                          uint8_t digest[TROJAN_DIGEST_LEN]);
/* Reads a whole header whose digest has been read. Line ends are stepped over unread, as Xray-core
 * and sing-box do it. ST_OK; ST_MORE (never at TROJAN_HEADER_MAX); ST_E_PROTO (bad address). */
NODISCARD enum status trojan_header_parse(const uint8_t *p, size_t len, struct trojan_header *h);
/* Reads the head of a datagram: *@head bytes, then *@payload bytes to @to. ST_OK (the payload need
 * not be there), ST_MORE (never at TROJAN_FRAME_MAX), ST_E_PROTO (bad address). */
NODISCARD enum status trojan_frame_parse(const uint8_t *p, size_t len, struct target *to,
                                         size_t *head, uint16_t *payload);
/* Writes the head of a datagram of @payload bytes from @from (an IP). Returns its length. */
size_t trojan_frame_write(uint8_t out[TROJAN_FRAME_IP_MAX], const struct addr *from,
                          uint16_t payload);

#endif
