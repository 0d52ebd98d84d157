/* ServerHellos: whatever is taken for usable has its key share inside the message. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/record.h"
#include "tls/server_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* its own allocation: reading past the end shows */
    struct server_hello h;

    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    if (server_hello_parse(copy, size, &h) == ST_OK) {
        if (h.share_off + h.share_len > size || h.random + 32 > copy + size ||
            (h.share_len != TLS_SHARE_X25519 && h.share_len != TLS_SHARE_MLKEM_SERVER) ||
            h.suite < RECORD_AES_128_GCM_SHA256 || h.suite > RECORD_CHACHA20_POLY1305_SHA256)
            abort();
    }
    free(copy);
    return 0;
}
