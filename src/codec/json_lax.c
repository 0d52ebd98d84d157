#include "codec/json_lax.h"

#include <string.h>

static const char bom[3] = {(char)0xEF, (char)0xBB, (char)0xBF};

static bool has_bom(const char *text, size_t len)
{
    return len >= sizeof(bom) && memcmp(text, bom, sizeof(bom)) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Length of the comment that starts at @pos, 0 if none does. The newline that ends a line comment
 * is not part of it. */
static size_t comment_len(const char *text, size_t len, size_t pos, bool *open)
{
    *open = false;
    if (len - pos < 2 || text[pos] != '/')
        return 0;
    if (text[pos + 1] == '/') {
        const char *end = memchr(text + pos, '\n', len - pos);
        return end != NULL ? (size_t)(end - text) - pos : len - pos;
    }
    if (text[pos + 1] != '*')
        return 0;
    for (size_t i = pos + 2; i + 1 < len; i++)
        if (text[i] == '*' && text[i + 1] == '/')
            return i + 2 - pos;
    *open = true;
    return len - pos;
}

/* The byte that counts next after the comma at @pos, 0 at the end. Each comma looks as far as the
 * next one at most, so the whole text is looked at twice, not more. */
static char peek_after(const struct json_lax *l, size_t pos)
{
    bool open;
    for (pos++; pos < l->len;) {
        size_t n = comment_len(l->text, l->len, pos, &open);
        if (n == 0 && !is_blank(l->text[pos]))
            return l->text[pos];
        pos += n != 0 ? n : 1;
    }
    return '\0';
}

static bool ends_value(char c)
{
    return c != '\0' && c != '[' && c != '{' && c != ',' && c != ':';
}

void json_lax_init(struct json_lax *l, const char *text, size_t len)
{
    *l = (struct json_lax){.text = text, .len = len};
    if (has_bom(text, len))
        l->blank_to = sizeof(bom);
}

/* One byte outside of strings and comments. */
static char take_plain(struct json_lax *l, char c)
{
    bool open;
    size_t n = comment_len(l->text, l->len, l->pos, &open);
    if (n != 0) {
        l->blank_to = l->pos + n;
        if (open) {
            l->open = true;
            l->open_at = l->pos;
        }
        return ' ';
    }
    if (is_blank(c))
        return c;
    if (c == ',' && ends_value(l->before)) {
        char next = peek_after(l, l->pos);
        if (next == '}' || next == ']')
            return ' ';
    }
    if (c == '"')
        l->in_string = true;
    l->before = c;
    return c;
}

size_t json_lax_read(struct json_lax *l, char *dst, size_t cap)
{
    size_t n = 0;
    for (; n < cap && l->pos < l->len; n++, l->pos++) {
        char c = l->text[l->pos];
        if (l->pos < l->blank_to) {
            dst[n] = c == '\n' ? '\n' : ' ';
        } else if (l->in_string) {
            if (l->escaped)
                l->escaped = false;
            else if (c == '\\')
                l->escaped = true;
            else if (c == '"')
                l->in_string = false;
            dst[n] = c;
        } else {
            dst[n] = take_plain(l, c);
        }
    }
    return n;
}

void json_lax_position(const char *text, size_t len, size_t offset, int *line, int *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = has_bom(text, len) ? sizeof(bom) : 0; i < offset && i < len; i++) {
        if (text[i] == '\n') {
            (*line)++;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            (*column)++;
        }
    }
}
