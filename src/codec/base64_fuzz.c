/* base64, hexadecimal and percent-encoding: what is read strictly is written the same. The first
 * byte holds the flags. */
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/percent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t raw[4096];
    static char text[8192];
    size_t len;
    if (size < 1 || size > 2048)
        return 0;
    unsigned flags = data[0] & 7u;
    const char *in = (const char *)data + 1;
    size--;
    if (base64_decode(raw, &len, in, size, flags) == ST_OK) {
        size_t n = base64_encode(text, raw, len, flags);
        check(n == size && ((flags & BASE64_ANY_TAIL) != 0 || memcmp(text, in, n) == 0));
    }
    if (hex_decode(raw, in, size) == ST_OK)
        check(strlen(hex_encode(text, raw, size / 2)) == size);
    if (percent_decode(text, &len, in, size, flags & PERCENT_FORM) == ST_OK)
        check(len <= size && text[len] == '\0');
    static char encoded[3 * 2048 + 1], back[3 * 2048 + 1];
    size_t n = percent_encode(encoded, in, size);
    check(percent_decode(back, &len, encoded, n, 0) == ST_OK && len == size &&
          memcmp(back, in, size) == 0);
    return 0;
}
