/* codec/test_vectors.h - test vectors of this tree. For tests: what is missing or broken ends the
 * program with a line that names it. */
#ifndef CODEC_TEST_VECTORS_H
#define CODEC_TEST_VECTORS_H

#include <stddef.h>
#include <stdint.h>

struct json_t;

/* Reads a JSON file; @path begins at the root of the source tree ("src/..."), which the environment
 * names (V2SP_SOURCE_ROOT) or which is the working directory. The caller's, to json_unref. */
struct json_t *test_vectors(const char *path);
/* Writes the bytes that @hex stands for and returns how many; more than @cap are an error. */
size_t test_hex(const char *hex, uint8_t *out, size_t cap);
/* The same of a text member of @o; none without it. */
size_t test_hex_of(const struct json_t *o, const char *member, uint8_t *out, size_t cap);

#endif
