/* proto/vless/vision_filter.h - what Vision has to know about the TLS connection inside the proxied
 * stream. Pure, no memory beyond its state, one per connection.
 *
 * Both directions are shown to it piece by piece. Uplink: does the client begin with a TLS hello?
 * Downlink: where is the ServerHello, which version does it choose, and where do the records behind
 * it end? The first answers as Xray-core's filter does (proxy/proxy.go: eight pieces, then it gives
 * up), but a hello may be cut anywhere, and records are followed for as long as they are asked for.
 * Nothing here decides what a receiver does, only what we send. */
#ifndef PROTO_VLESS_VISION_FILTER_H
#define PROTO_VLESS_VISION_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VISION_FILTER_PIECES 8 /* looked at before a stream counts as something else than TLS */

struct vision_filter {
    uint8_t left;    /* pieces still to be looked at, both directions; 0 also when all is known */
    bool tls;        /* a ClientHello went up or a ServerHello came down */
    bool server;     /* a ServerHello came down: TLS 1.2 or above */
    bool tls13;      /* ... it chose TLS 1.3 and a suite that may be relayed raw */
    uint16_t cipher; /* ... and this suite; 0 = not known yet */

    /* the client spoke again after the ServerHello, so the server's flight is over; or nobody will
     * show us if he does */
    bool answered;

    /* uplink */
    uint8_t up_got; /* bytes of a hello's first six that have matched */
    uint8_t up_head[5];
    uint16_t up_body; /* bytes still to come of the ClientHello's record */

    /* downlink: the record being followed */
    uint8_t down; /* enum in vision_filter.c */
    uint8_t head_got;
    uint8_t head[5];
    uint16_t body;

    /* downlink: the ServerHello being read */
    uint8_t field; /* enum in vision_filter.c */
    uint16_t need; /* bytes still to come of this field */
    uint16_t hello_left;
    uint32_t value;
};

/* Nothing was shown yet. */
void vision_filter_init(struct vision_filter *f);

/* Shows @n bytes that the client sent, in order. @start: they begin a piece (a read, a block);
 * hellos are looked for nowhere else. */
void vision_filter_up(struct vision_filter *f, const uint8_t *p, size_t n, bool start);

/* No more of the uplink will be shown. */
void vision_filter_up_end(struct vision_filter *f);

/* Shows @n bytes that the target sent, in order. Returns how many of them lie before the end of the
 * last whole application data record behind a ServerHello, 0 when none ended here. */
size_t vision_filter_down(struct vision_filter *f, const uint8_t *p, size_t n, bool start);

/* No use to go on: the downlink is not TLS, or its records cannot be followed. */
bool vision_filter_gave_up(const struct vision_filter *f);

#endif
