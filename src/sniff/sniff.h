/* sniff/sniff.h - what a client says to its target, told from the first bytes: the protocol, and
 * the name of the server where the protocol has one in the clear. Pure, nothing is changed.
 *
 *   stream     HTTP/1 (Host, or the authority of its target), TLS (server_name), BitTorrent
 *   datagrams  QUIC v1 and v2 (server_name), BitTorrent (uTP, DHT, UDP trackers)
 *
 * "Undecided" is said only of a beginning that one of them really has; the first byte that fits
 * none decides. What a client encrypts - ECH, BitTorrent's MSE - is seen by nobody.
 *
 * Facts: RFC 9112 section 3 (HTTP), RFC 8446 section 5.1 (a ClientHello may lie in several
 * records), RFC 9000, 9001 and 9369 (QUIC), BEP 3, 5, 15, 29 (BitTorrent). */
#ifndef SNIFF_SNIFF_H
#define SNIFF_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

#define SNIFF_HOST_MAX      255u
#define SNIFF_STREAM_MAX    (32u * 1024) /* bytes of a stream that are looked at */
#define SNIFF_DATAGRAMS_MAX 8u           /* datagrams of one QUIC connection that are */

struct crypto_ctx;

enum sniff_protocol { SNIFF_NONE, SNIFF_HTTP1, SNIFF_TLS, SNIFF_QUIC, SNIFF_BITTORRENT };

struct sniff {
    uint8_t protocol; /* enum sniff_protocol */
    /* Lower case, without port, brackets or a dot at the end; "": there is none, or it is no name
     * or address of printable characters. */
    char host[SNIFF_HOST_MAX + 1];
    /* HTTP/1: what Host says where the request's target names another server, for servers differ in
     * which of them they go by; else "". */
    char other[SNIFF_HOST_MAX + 1];
};

/* "http1", "tls", "quic", "bittorrent", as rules and Xray-core call them; NULL for SNIFF_NONE. */
const char *sniff_protocol_str(enum sniff_protocol p);

/* Looks at the first bytes of a stream: @in holds all that has come so far, and keeps it.
 *   ST_OK          *@out says what it is
 *   ST_MORE        undecided: ask again when there is more. What is certain already is set
 *   ST_E_NOTFOUND  nothing that is known here
 * With SNIFF_STREAM_MAX bytes the answer is not ST_MORE any more. */
NODISCARD enum status sniff_stream(const struct bufq *in, struct sniff *out);

struct sniff_quic;

/* The first datagrams of a client to one server. Zeroed: none has come. Memory is held only while
 * the answer is ST_MORE. */
struct sniff_datagrams {
    struct sniff_quic *quic; /* a hello in pieces; NULL: none */
};

/* Looks at the next datagram. Answers as sniff_stream; ST_E_NOTFOUND is said of this datagram, a
 * later one may be known. After ST_OK and ST_E_NOTFOUND @d is as new. The pieces of a
 * ClientHello may come in any order and in several packets and datagrams, one connection at a
 * time: another one's packet begins anew. Without memory, or where @cc is NULL, QUIC is not
 * found. */
NODISCARD enum status sniff_datagrams_feed(struct sniff_datagrams *d, struct pool *pool,
                                           struct crypto_ctx *cc, const uint8_t *p, size_t n,
                                           struct sniff *out);
/* May this datagram be a client's first, or one of its first, of a QUIC connection? Most others are
 * told from them by their first byte. */
bool sniff_quic_begins(const uint8_t *p, size_t n);
/* Safe on a zeroed one. */
void sniff_datagrams_fini(struct sniff_datagrams *d, struct pool *pool);

/* ---- between the files of sniff/ ------------------------------------------------------------- */

/* Sets out->host to a name that was sent, as it is described there. */
void sniff_set_host(struct sniff *out, const uint8_t *name, size_t len);
/* A name as it stands in HTTP, perhaps with a port or in brackets. */
void sniff_set_authority(struct sniff *out, const uint8_t *text, size_t len);

/* Each judges one protocol; answers as sniff_stream, but may say ST_MORE of any number of bytes. */
NODISCARD enum status sniff_http(const struct bufq *in, struct sniff *out);
NODISCARD enum status sniff_tls(const struct bufq *in, struct sniff *out);
NODISCARD enum status sniff_bittorrent(const struct bufq *in, struct sniff *out);
/* Sets out->host from a ClientHello message, or what has come of it; "": it is not there. */
void sniff_hello(const uint8_t *msg, size_t len, struct sniff *out);

/* One datagram: ST_OK or ST_E_NOTFOUND. */
NODISCARD enum status sniff_bittorrent_datagram(const uint8_t *p, size_t n, struct sniff *out);
NODISCARD enum status sniff_quic_feed(struct sniff_quic **state, struct pool *pool,
                                      struct crypto_ctx *cc, const uint8_t *p, size_t n,
                                      struct sniff *out);
void sniff_quic_free(struct sniff_quic **state, struct pool *pool);

#endif
