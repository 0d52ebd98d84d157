#include "codec/json_pull.h"

#include <string.h>

/* What the next byte may be.
 *
 *   VALUE --"["--> FIRST_ITEM --value--> AFTER --","--> VALUE
 *   VALUE --"{"--> FIRST_KEY --key--> COLON --> VALUE ... AFTER --","--> KEY
 *   any value at depth 0 --> DONE */
enum state {
    S_VALUE,
    S_FIRST_ITEM, /* after '[': a value or ']' */
    S_FIRST_KEY,  /* after '{': a name or '}' */
    S_KEY,        /* after ',' in an object */
    S_COLON,
    S_AFTER, /* after a value inside an array or object */
    S_DONE,
    S_STRING,
    S_ESCAPE,
    S_HEX,
    S_NUMBER,
    S_WORD, /* true, false, null */
};

/* Where in a number (RFC 8259 section 6). */
enum number {
    N_SIGN, /* after '-': a digit must come */
    N_ZERO, /* a leading 0: no digit may follow */
    N_INT,
    N_POINT, /* a digit must come */
    N_FRACTION,
    N_E,      /* sign or digit must come */
    N_E_SIGN, /* digit must come */
    N_E_DIGITS,
};

void json_pull_init(struct json_pull *p)
{
    memset(p, 0, offsetof(struct json_pull, mem));
    p->mem[0] = '\0';
    p->text = p->mem;
    p->state = S_VALUE;
}

void json_pull_feed(struct json_pull *p, const void *data, size_t len)
{
    p->in = data;
    p->in_end = len != 0 ? p->in + len : p->in;
}

void json_pull_end(struct json_pull *p)
{
    p->ended = true;
}

const char *json_pull_expected(const struct json_pull *p)
{
    return p->want != NULL ? p->want : "nothing";
}

static enum status fail(struct json_pull *p, const char *want)
{
    p->failure = ST_E_PROTO;
    p->want = want;
    p->offset = p->pos;
    return ST_E_PROTO;
}

static enum status fail_limit(struct json_pull *p, const char *want)
{
    (void)fail(p, want);
    return p->failure = ST_E_LIMIT;
}

static bool in_object(const struct json_pull *p)
{
    return p->depth != 0 && (p->nest >> (p->depth - 1) & 1) != 0;
}

static enum status emit(struct json_pull *p, enum json_event ev)
{
    p->event = ev;
    p->mem[p->used] = '\0';
    p->text_len = p->used;
    if (ev == JSON_EVENT_KEY)
        p->state = S_COLON;
    else if (ev != JSON_EVENT_OBJECT && ev != JSON_EVENT_ARRAY)
        p->state = p->depth == 0 ? S_DONE : S_AFTER;
    return ST_OK;
}

static enum status open_level(struct json_pull *p, bool object)
{
    if (p->depth == JSON_PULL_DEPTH)
        return fail_limit(p, "no deeper nesting than 64");
    uint64_t bit = (uint64_t)1 << p->depth;
    p->nest = object ? p->nest | bit : p->nest & ~bit;
    p->depth++;
    p->state = object ? S_FIRST_KEY : S_FIRST_ITEM;
    p->pos++;
    return emit(p, object ? JSON_EVENT_OBJECT : JSON_EVENT_ARRAY);
}

static enum status close_level(struct json_pull *p)
{
    bool object = in_object(p);
    p->depth--;
    p->pos++;
    return emit(p, object ? JSON_EVENT_OBJECT_END : JSON_EVENT_ARRAY_END);
}

static enum status start_string(struct json_pull *p, bool key)
{
    p->key = key;
    p->state = S_STRING;
    p->pos++;
    return ST_MORE;
}

static enum status start_value(struct json_pull *p, uint8_t c)
{
    switch (c) {
    case '{':
    case '[':
        return open_level(p, c == '{');
    case '"':
        return start_string(p, false);
    case 't':
        p->rest = "rue";
        break;
    case 'f':
        p->rest = "alse";
        break;
    case 'n':
        p->rest = "ull";
        break;
    default:
        if (c != '-' && (c < '0' || c > '9'))
            return fail(p, p->state == S_FIRST_ITEM ? "a value or ']'" : "a value");
        p->state = S_NUMBER;
        p->number = c == '-' ? N_SIGN : c == '0' ? N_ZERO : N_INT;
        p->mem[p->used++] = (char)c;
        p->pos++;
        return ST_MORE;
    }
    p->event = c == 't' ? JSON_EVENT_TRUE : c == 'f' ? JSON_EVENT_FALSE : JSON_EVENT_NULL;
    p->state = S_WORD;
    p->pos++;
    return ST_MORE;
}

/* A byte between tokens. */
static enum status step_plain(struct json_pull *p, uint8_t c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        p->pos++;
        return ST_MORE;
    }
    p->used = 0;
    p->cut = false;
    p->offset = p->pos;
    switch ((enum state)p->state) {
    case S_FIRST_ITEM:
        if (c == ']')
            return close_level(p);
        return start_value(p, c);
    case S_VALUE:
        return start_value(p, c);
    case S_FIRST_KEY:
        if (c == '}')
            return close_level(p);
        return c == '"' ? start_string(p, true) : fail(p, "a name in double quotes or '}'");
    case S_KEY:
        return c == '"' ? start_string(p, true) : fail(p, "a name in double quotes");
    case S_COLON:
        if (c != ':')
            return fail(p, "':' after the name");
        p->state = S_VALUE;
        p->pos++;
        return ST_MORE;
    case S_AFTER:
        if (c == (in_object(p) ? '}' : ']'))
            return close_level(p);
        if (c != ',')
            return fail(p, in_object(p) ? "',' or '}'" : "',' or ']'");
        p->state = in_object(p) ? S_KEY : S_VALUE;
        p->pos++;
        return ST_MORE;
    default:
        return fail(p, "the end of the text");
    }
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Adds decoded bytes. A string is cut between characters, so it stays valid UTF-8 if it was. */
static void put(struct json_pull *p, const char *bytes, uint32_t n)
{
    if (p->cut)
        return;
    if (p->used + n > JSON_PULL_TEXT) {
        p->cut = true;
        if (!is_continuation(bytes[0]))
            return;
        while (p->used != 0 && is_continuation(p->mem[p->used - 1]))
            p->used--;
        if (p->used != 0)
            p->used--;
        return;
    }
    memcpy(p->mem + p->used, bytes, n);
    p->used += n;
}

static void put_code_point(struct json_pull *p, uint32_t cp)
{
    char b[4];
    uint32_t n;
    if (cp < 0x80) {
        b[0] = (char)cp;
        n = 1;
    } else if (cp < 0x800) {
        b[0] = (char)(0xC0 | cp >> 6);
        b[1] = (char)(0x80 | (cp & 0x3F));
        n = 2;
    } else if (cp < 0x10000) {
        b[0] = (char)(0xE0 | cp >> 12);
        b[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        b[2] = (char)(0x80 | (cp & 0x3F));
        n = 3;
    } else {
        b[0] = (char)(0xF0 | cp >> 18);
        b[1] = (char)(0x80 | (cp >> 12 & 0x3F));
        b[2] = (char)(0x80 | (cp >> 6 & 0x3F));
        b[3] = (char)(0x80 | (cp & 0x3F));
        n = 4;
    }
    put(p, b, n);
}

/* Half a surrogate pair that found no other half becomes U+FFFD, as encoders in the field do. */
static void drop_high(struct json_pull *p)
{
    if (p->high != 0)
        put_code_point(p, 0xFFFD);
    p->high = 0;
}

static enum status end_hex(struct json_pull *p)
{
    uint32_t v = p->hex;
    p->state = S_STRING;
    if (v == 0)
        v = 0xFFFD; /* one user's broken name must not cost a panel's whole list */
    if (v >= 0xDC00 && v <= 0xDFFF && p->high != 0) {
        put_code_point(p, 0x10000 + (((uint32_t)p->high - 0xD800) << 10) + (v - 0xDC00));
        p->high = 0;
        return ST_MORE;
    }
    drop_high(p);
    if (v >= 0xD800 && v <= 0xDBFF)
        p->high = (uint16_t)v;
    else
        put_code_point(p, v >= 0xDC00 && v <= 0xDFFF ? 0xFFFD : v);
    return ST_MORE;
}

static enum status step_hex(struct json_pull *p, uint8_t c)
{
    unsigned digit;
    if (c >= '0' && c <= '9')
        digit = c - '0';
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        digit = (c | 0x20u) - 'a' + 10u;
    else
        return fail(p, "four hexadecimal digits after \\u");
    p->hex = (uint16_t)((unsigned)p->hex << 4 | digit);
    if (--p->hex_left == 0) {
        enum status st = end_hex(p);
        if (st != ST_MORE)
            return st;
    }
    p->pos++;
    return ST_MORE;
}

static enum status step_escape(struct json_pull *p, uint8_t c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c == 'u') {
        p->state = S_HEX;
        p->hex = 0;
        p->hex_left = 4;
    } else {
        const char *at = c != 0 ? strchr(from, c) : NULL;
        if (at == NULL)
            return fail(p, "one of \" \\ / b f n r t u after a backslash");
        drop_high(p);
        put(p, &to[at - from], 1);
        p->state = S_STRING;
    }
    p->pos++;
    return ST_MORE;
}

static enum status step_string(struct json_pull *p, uint8_t c)
{
    if (c == '\\') {
        p->state = S_ESCAPE;
        p->pos++;
        return ST_MORE;
    }
    drop_high(p);
    if (c == '"') {
        p->pos++;
        return emit(p, p->key ? JSON_EVENT_KEY : JSON_EVENT_STRING);
    }
    if (c < 0x20)
        return fail(p, "'\"' at the end of the string (no control character or line end inside)");
    char b = (char)c;
    put(p, &b, 1);
    p->pos++;
    return ST_MORE;
}

/* Next place in the number for byte @c; -1: the byte is not part of it. */
static int number_next(int at, uint8_t c)
{
    bool digit = c >= '0' && c <= '9', e = c == 'e' || c == 'E';
    switch ((enum number)at) {
    case N_SIGN:
        return !digit ? -1 : c == '0' ? N_ZERO : N_INT;
    case N_ZERO:
        return c == '.' ? N_POINT : e ? N_E : -1;
    case N_INT:
        return digit ? N_INT : c == '.' ? N_POINT : e ? N_E : -1;
    case N_POINT:
        return digit ? N_FRACTION : -1;
    case N_FRACTION:
        return digit ? N_FRACTION : e ? N_E : -1;
    case N_E:
        return digit ? N_E_DIGITS : c == '+' || c == '-' ? N_E_SIGN : -1;
    case N_E_SIGN:
    case N_E_DIGITS:
        return digit ? N_E_DIGITS : -1;
    }
    return -1;
}

static enum status end_number(struct json_pull *p)
{
    if (p->number == N_SIGN || p->number == N_POINT || p->number == N_E || p->number == N_E_SIGN)
        return fail(p, "a digit");
    return emit(p, JSON_EVENT_NUMBER);
}

static enum status step_number(struct json_pull *p, uint8_t c)
{
    int next = number_next(p->number, c);
    if (next < 0)
        return end_number(p);
    if (p->used == JSON_PULL_TEXT)
        return fail_limit(p, "a shorter number");
    p->number = (uint8_t)next;
    p->mem[p->used++] = (char)c;
    p->pos++;
    return ST_MORE;
}

static enum status step_word(struct json_pull *p, uint8_t c)
{
    if (c != (uint8_t)*p->rest)
        return fail(p, "true, false or null");
    p->pos++;
    p->rest++;
    return *p->rest == '\0' ? emit(p, p->event) : ST_MORE;
}

static enum status step(struct json_pull *p, uint8_t c)
{
    switch ((enum state)p->state) {
    case S_STRING:
        return step_string(p, c);
    case S_ESCAPE:
        return step_escape(p, c);
    case S_HEX:
        return step_hex(p, c);
    case S_NUMBER:
        return step_number(p, c);
    case S_WORD:
        return step_word(p, c);
    default:
        return step_plain(p, c);
    }
}

/* A byte order mark in front (PHP files saved with one) is no part of the text. */
static bool skip_bom(struct json_pull *p, uint8_t c)
{
    static const uint8_t bom[3] = {0xEF, 0xBB, 0xBF};
    if (p->pos != p->bom || p->bom == sizeof(bom) || c != bom[p->bom])
        return false;
    p->bom++;
    p->pos++;
    return true;
}

static enum status at_end(struct json_pull *p)
{
    if (p->state == S_NUMBER)
        return end_number(p);
    if (p->bom == 1 || p->bom == 2)
        return fail(p, "a value");
    switch ((enum state)p->state) {
    case S_DONE:
        return ST_EOF;
    case S_VALUE:
        return fail(p, "a value before the end of the text");
    case S_STRING:
    case S_ESCAPE:
    case S_HEX:
        return fail(p, "'\"' before the end of the text");
    case S_COLON:
        return fail(p, "':' before the end of the text");
    case S_WORD:
        return fail(p, "true, false or null");
    default:
        return fail(p, in_object(p) ? "'}' before the end of the text"
                                    : "']' before the end of the text");
    }
}

enum status json_pull_next(struct json_pull *p)
{
    if (p->failure != ST_OK)
        return p->failure;
    while (p->in < p->in_end) {
        if (skip_bom(p, *p->in)) {
            p->in++;
            continue;
        }
        if (p->bom == 1 || p->bom == 2)
            return fail(p, "a value");
        uint64_t before = p->pos;
        enum status st = step(p, *p->in);
        p->in += p->pos - before;
        if (st != ST_MORE)
            return st;
    }
    return p->ended ? at_end(p) : ST_MORE;
}
