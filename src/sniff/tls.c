/* TLS: the ClientHello, whichever way it is cut into records and segments. */
#include "base/bytes.h"
#include "sniff/sniff.h"
#include "tls/hello.h"
#include "tls/record.h"

#define HELLO_BYTES (16u * 1024)

void sniff_hello(const uint8_t *msg, size_t len, struct sniff *out)
{
    struct hello h;

    out->host[0] = '\0';
    if (hello_parse(msg, len, &h) == ST_OK)
        sniff_set_host(out, h.sni.p, (size_t)(h.sni.end - h.sni.p));
}

/* A record header and a message type: from here on it is a ClientHello, if perhaps a broken one. */
static bool is_hello(const struct bufq *in)
{
    uint8_t head[RECORD_HEADER + 1];
    size_t len;

    if (bufq_peek(in, head, sizeof(head)) < sizeof(head))
        return false;
    len = get_be16(head + 3);
    return head[0] == RECORD_HANDSHAKE && head[1] == 3 && len > 0 && len <= RECORD_PLAIN_MAX &&
           head[RECORD_HEADER] == 1;
}

enum status sniff_tls(const struct bufq *in, struct sniff *out)
{
    uint8_t msg[HELLO_BYTES];
    size_t wire, len;
    enum status st = hello_locate(in, sizeof(msg), &wire, &len);

    if (is_hello(in))
        out->protocol = SNIFF_TLS;
    else if (st != ST_MORE)
        return ST_E_NOTFOUND;
    if (st == ST_MORE)
        return ST_MORE;
    if (st == ST_OK) {
        hello_copy(in, msg, len);
        sniff_hello(msg, len, out);
    }
    return ST_OK;
}
