/* proto/shadowsocks/window.h - which numbers of a session's datagrams were seen: a ring of bits, as
 * RFC 6479 does it for IPsec. Pure. */
#ifndef PROTO_SHADOWSOCKS_WINDOW_H
#define PROTO_SHADOWSOCKS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define SS_WINDOW_WORDS 128u
#define SS_WINDOW       ((SS_WINDOW_WORDS - 1) * 64) /* numbers behind the last one: 8128 */

/* Zeroed: nothing seen. */
struct ss_window {
    uint64_t last; /* the highest number seen */
    uint64_t bits[SS_WINDOW_WORDS];
};

/* May a datagram with number @n still be taken? Not when it was seen, or is too far behind. */
bool ss_window_fits(const struct ss_window *w, uint64_t n);
/* Number @n is authentic. */
void ss_window_mark(struct ss_window *w, uint64_t n);

#endif
