#include "panelserver/token.h"

#include <string.h>

#include "codec/base64.h"
#include "crypto/mem.h"
#include "crypto/rng.h"

enum status token_new(char dst[TOKEN_STRLEN])
{
    struct rng rng;
    enum status st = rng_init(&rng);
    if (st != ST_OK)
        return st;
    uint8_t raw[32];
    char text[BASE64_ENCODED_LEN(sizeof raw) + 1];
    rng_bytes(&rng, raw, sizeof raw);
    base64_encode(text, raw, sizeof raw, BASE64_URL | BASE64_UNPADDED);
    memcpy(dst, text, TOKEN_STRLEN);
    crypto_wipe(raw, sizeof raw);
    crypto_wipe(text, sizeof text);
    rng_fini(&rng);
    return ST_OK;
}

enum status token_uuid(char dst[UUID_STRLEN])
{
    struct rng rng;
    enum status st = rng_init(&rng);
    if (st != ST_OK)
        return st;
    uint8_t id[UUID_LEN];
    rng_bytes(&rng, id, sizeof id);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    uuid_str(id, dst);
    crypto_wipe(id, sizeof id);
    rng_fini(&rng);
    return ST_OK;
}

bool token_equal(const char *want, const char *given, size_t given_len)
{
    return given_len > 0 && strlen(want) == given_len && crypto_ct_equal(want, given, given_len);
}
