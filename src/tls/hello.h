/* tls/hello.h - the ClientHello as it lies in the bytes a client sent first: finding its end,
 * reading what servers and routers want to know (RFC 8446 section 4.1.2, RFC 6066 section 3, RFC
 * 7301). Pure. Unknown extensions are ignored (GREASE, RFC 8701). */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/span.h"
#include "base/status.h"

#define HELLO_MAX (64u * 1024) /* handshake message with its 4 byte header */

/* Walks the records at the head of @in without eating them. *@wire becomes the bytes of records
 * that carry the whole ClientHello, *@msg the bytes of the message itself (with its header).
 *   ST_OK; ST_MORE the rest is still to come; ST_E_PROTO these are no TLS records or no
 *   ClientHello; ST_E_LIMIT the message is longer than @max (<= HELLO_MAX). */
NODISCARD enum status hello_locate(const struct bufq *in, size_t max, size_t *wire, size_t *msg);
/* True if the @wire bytes and @len = *@msg of hello_locate are the same bytes but for the record
 * headers: nothing follows the message in its last record. */
bool hello_ends_record(const struct bufq *in, size_t wire, size_t len);
/* Copies the message that hello_locate found, @len = *msg bytes, to @dst without record headers. */
void hello_copy(const struct bufq *in, uint8_t *dst, size_t len);

/* Views into the message given to hello_parse. Lists are raw: see hello_has_u16. */
struct hello {
    uint16_t legacy_version;
    const uint8_t *random;    /* 32 bytes */
    struct reader session_id; /* 0..32 bytes */
    struct reader ciphers;    /* u16 each */
    struct reader compression;
    struct reader extensions; /* u16 type, u16 length, data each; empty: none */
    struct reader sni;        /* host name as sent; empty: none */
    struct reader alpn;       /* u8 length and name each; empty: none */
    struct reader versions;   /* supported_versions, u16 each; empty: none */
    struct reader groups;     /* u16 each */
    struct reader sigalgs;    /* u16 each */
    struct reader key_shares; /* u16 group, u16 length, key each */
    bool early_data, psk;
};

/* Reads a whole ClientHello message. ST_OK, or ST_E_PROTO: malformed, or an extension twice. */
NODISCARD enum status hello_parse(const uint8_t *msg, size_t len, struct hello *h);

/* True if @list (ciphers, versions, groups, sigalgs) holds @value. */
bool hello_has_u16(struct reader list, uint16_t value);
/* The key share of @group; a bad, empty reader if none was sent. */
struct reader hello_key_share(const struct hello *h, uint16_t group);
/* True if the client offers protocol @name by ALPN. */
bool hello_has_alpn(const struct hello *h, const char *name);

#endif
