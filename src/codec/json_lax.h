/* codec/json_lax.h - JSON as people write it: line and block comments and trailing commas become
 * blanks, byte for byte. Pure.
 *
 * The reader hands out exactly as many bytes as the text has, so an offset in its output is an
 * offset in the text. What stands inside strings is left alone. A comma is a trailing one when a
 * value stands before it and '}' or ']' after it; "[,]" and "[1,,]" stay as they are and are
 * refused by whoever parses. (docs/configuration.md, "The file".) */
#ifndef CODEC_JSON_LAX_H
#define CODEC_JSON_LAX_H

#include <stdbool.h>
#include <stddef.h>

struct json_lax {
    const char *text; /* borrowed */
    size_t len, pos;
    size_t blank_to; /* bytes before it belong to a comment */
    char before;     /* last byte that counted: no blank, no comment */
    bool in_string, escaped;
    bool open;      /* a block comment without its end was met ... */
    size_t open_at; /* ... and began here */
};

/* A leading UTF-8 byte order mark is read as three blanks. */
void json_lax_init(struct json_lax *l, const char *text, size_t len);
/* Writes the next min(@cap, bytes left) bytes to @dst and returns how many; 0 at the end. A block
 * comment without its end reaches to the end of the text and sets @open. */
size_t json_lax_read(struct json_lax *l, char *dst, size_t cap);
/* Line and column from 1 of byte @offset; a column is a character (UTF-8), not a byte, and a byte
 * order mark is none. */
void json_lax_position(const char *text, size_t len, size_t offset, int *line, int *column);

#endif
