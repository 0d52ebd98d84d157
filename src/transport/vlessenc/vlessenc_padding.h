/* transport/vlessenc/vlessenc_padding.h - how long the padding of a hello is and in which pieces it
 * is sent (Xray-core 25.12.1 proxy/vless/encryption/common.go). Pure; const once parsed. */
#ifndef TRANSPORT_VLESSENC_PADDING_H
#define TRANSPORT_VLESSENC_PADDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "crypto/rng.h"

#define VLESSENC_RULES_MAX   16u
#define VLESSENC_PADDING_MIN 35u    /* sealed length, and a byte sealed */
#define VLESSENC_PADDING_MAX 65553u /* sealed length, and what two bytes can say */
#define VLESSENC_GAP_MAX_MS  30000u

/* With a probability of @percent a value in [min, max), else 0. */
struct vlessenc_rule {
    uint32_t percent, min, max;
};

struct vlessenc_padding {
    struct vlessenc_rule len[VLESSENC_RULES_MAX]; /* bytes */
    struct vlessenc_rule gap[VLESSENC_RULES_MAX]; /* milliseconds after the piece of that number */
    unsigned len_count, gap_count;
};

/* One hello's padding. */
struct vlessenc_pieces {
    uint32_t len[VLESSENC_RULES_MAX]; /* the first >= VLESSENC_PADDING_MIN, others may be 0 */
    uint32_t gap_ms[VLESSENC_RULES_MAX];
    uint32_t total;
    unsigned count;
};

/* What applies where nothing is configured. */
void vlessenc_padding_default(struct vlessenc_padding *p);
/* Appends the rule in @text (@n characters, "percent-min-max"); lengths and gaps take turns. ST_OK,
 * ST_E_CONFIG (malformed, first one too small, a gap too long), ST_E_LIMIT (too many, or too long
 * in all). */
NODISCARD enum status vlessenc_padding_add(struct vlessenc_padding *p, const char *text, size_t n);
/* Throws the dice for one hello. */
void vlessenc_padding_draw(const struct vlessenc_padding *p, struct rng *r,
                           struct vlessenc_pieces *out);

#endif
