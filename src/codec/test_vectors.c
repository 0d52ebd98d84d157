#include "codec/test_vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/hex.h"
#include "codec/json.h"

#define FILE_MAX_BYTES (1u << 20)

static _Noreturn void fail(const char *what, const char *text)
{
    fprintf(stderr, "test vectors: %s: %s\n", what, text);
    abort();
}

struct json_t *test_vectors(const char *path)
{
    const char *root = getenv("V2SP_SOURCE_ROOT");
    char full[1024], *text = malloc(FILE_MAX_BYTES);
    struct json_error err;
    struct json_t *v;

    snprintf(full, sizeof(full), "%s/%s", root != NULL ? root : ".", path);
    FILE *f = fopen(full, "rb");
    if (f == NULL || text == NULL)
        fail(full, "cannot be read");
    size_t n = fread(text, 1, FILE_MAX_BYTES, f);
    fclose(f);
    if (n == FILE_MAX_BYTES || json_parse(text, n, &v, &err) != ST_OK)
        fail(full, "is too long, or no JSON");
    free(text);
    return v;
}

size_t test_hex(const char *hex, uint8_t *out, size_t cap)
{
    size_t n = strlen(hex) / 2;

    if (n > cap || hex_decode(out, hex, strlen(hex)) != ST_OK)
        fail(hex, "is too long, or not hexadecimal");
    return n;
}

size_t test_hex_of(const struct json_t *o, const char *member, uint8_t *out, size_t cap)
{
    return test_hex(json_get_str(o, member, ""), out, cap);
}
