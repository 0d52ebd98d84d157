/* BitTorrent: the handshake of peers over TCP (BEP 3) or uTP (BEP 29), the DHT (BEP 5), trackers
 * over UDP (BEP 15). */
#include <string.h>

#include "base/bytes.h"
#include "sniff/sniff.h"

#define HANDSHAKE                                                                                  \
    "\x13"                                                                                         \
    "BitTorrent protocol"
#define HANDSHAKE_LEN 20u

#define UTP_HEADER  20u
#define UTP_DATA    0x01 /* type and version: ST_DATA, 1 */
#define UTP_SYN     0x41 /* ST_SYN, 1 */
#define UTP_EXT_MAX 4u   /* types that programs send: 1 selective ack, 2 bits, 3 close reason, 4 */

#define TRACKER_MAGIC 0x41727101980u
#define TRACKER_LEN   16u
#define DHT_LEN_MIN   20u

static enum status found(struct sniff *out)
{
    out->protocol = SNIFF_BITTORRENT;
    return ST_OK;
}

enum status sniff_bittorrent(const struct bufq *in, struct sniff *out)
{
    uint8_t head[HANDSHAKE_LEN];
    size_t n = bufq_peek(in, head, sizeof(head));

    if (memcmp(head, HANDSHAKE, n) != 0)
        return ST_E_NOTFOUND;
    return n < sizeof(head) ? ST_MORE : found(out);
}

/* Steps over the chain of extensions whose first type is @type. */
static bool skip_extensions(struct reader *r, uint8_t type)
{
    while (type != 0 && !r->bad) {
        if (type > UTP_EXT_MAX)
            return false;
        type = reader_u8(r);
        (void)reader_take(r, reader_u8(r));
    }
    return !r->bad;
}

/* A SYN answers nothing yet: no difference of clocks, no acknowledgment, no payload. A later packet
 * says little by itself, but the first one with data carries the handshake. */
static bool is_utp(const uint8_t *p, size_t n)
{
    if (n < UTP_HEADER || (p[0] != UTP_SYN && p[0] != UTP_DATA))
        return false;
    struct reader r = reader_of(p + UTP_HEADER, n - UTP_HEADER);
    if (!skip_extensions(&r, p[1]))
        return false;
    if (p[0] == UTP_DATA)
        return reader_left(&r) >= HANDSHAKE_LEN && memcmp(r.p, HANDSHAKE, HANDSHAKE_LEN) == 0;
    return reader_left(&r) == 0 && get_be32(p + 8) == 0 && get_be16(p + 18) == 0;
}

/* A bencoded dictionary whose last key, in their order, says whether it is a query, a response
 * or an error. */
static bool is_dht(const uint8_t *p, size_t n)
{
    return n >= DHT_LEN_MIN && p[0] == 'd' && p[1] >= '1' && p[1] <= '9' &&
           memcmp(p + n - 7, "1:y1:", 5) == 0 && memchr("qre", p[n - 2], 3) != NULL &&
           p[n - 1] == 'e';
}

static bool is_tracker(const uint8_t *p, size_t n)
{
    return n >= TRACKER_LEN && get_be64(p) == TRACKER_MAGIC && get_be32(p + 8) == 0;
}

enum status sniff_bittorrent_datagram(const uint8_t *p, size_t n, struct sniff *out)
{
    return is_utp(p, n) || is_dht(p, n) || is_tracker(p, n) ? found(out) : ST_E_NOTFOUND;
}
