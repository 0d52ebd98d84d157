#include "proto/vless/vision_filter.h"

#include <string.h>

#include "base/bytes.h"

#define RECORD_HEAD      5
#define RECORD_HANDSHAKE 22
#define RECORD_DATA      23
#define RECORD_TYPE_MIN  20
#define RECORD_TYPE_MAX  24
#define RECORD_BODY_MAX  (16384 + 2048) /* TLS 1.2; RFC 8446 section 5.2 allows less */
#define HELLO_PREFIX     6              /* a record's head and the type of its first message */
#define HELLO_MAX        16384
#define CLIENT_HELLO     1
#define SERVER_HELLO     2
#define HELLO_FIXED_LEN  34 /* version and random */
#define EXT_VERSIONS     0x002b
#define TLS13            0x0304
#define SUITE_FIRST      0x1301
#define SUITE_LAST       0x1304 /* AES-128-CCM-8 (0x1305) is not relayed raw, as in Xray-core */

/*  SEEK --ServerHello's first bytes--> HEAD <-> BODY --not a record--> LOST
 *     \--all pieces looked at-------------------------------------------/ */
enum down { DOWN_SEEK, DOWN_HEAD, DOWN_BODY, DOWN_LOST };

/* Parts of a ServerHello (RFC 8446 section 4.1.3), in order; there are any number of extensions. */
enum field {
    FIELD_OFF,
    FIELD_HEAD,
    FIELD_FIXED,
    FIELD_SESSION_LEN,
    FIELD_SESSION,
    FIELD_CIPHER,
    FIELD_COMPRESSION,
    FIELD_EXT_TOTAL,
    FIELD_EXT_HEAD,
    FIELD_EXT_BODY,
    FIELD_VERSION,
};

void vision_filter_init(struct vision_filter *f)
{
    memset(f, 0, sizeof(*f));
    f->left = VISION_FILTER_PIECES;
}

static void count_piece(struct vision_filter *f)
{
    if (f->left > 0)
        f->left--;
}

/* ---- the first bytes of a hello -------------------------------------------------------------- */

static bool prefix_fits(const uint8_t head[RECORD_HEAD], unsigned at, uint8_t type, uint8_t b)
{
    switch (at) {
    case 0:
        return b == RECORD_HANDSHAKE;
    case 1:
        return b == 3;
    case 2:
        return type == CLIENT_HELLO ? b <= 4 : b == 3;
    case 3:
        return b <= HELLO_MAX >> 8;
    case 4:
        return ((uint32_t)head[3] << 8 | b) > 4;
    default:
        return b == type;
    }
}

/* Matches the bytes from @p with what is missing of the prefix. False: no hello. */
static bool match(uint8_t *got, uint8_t head[RECORD_HEAD], uint8_t type, const uint8_t *p, size_t n,
                  size_t *eaten)
{
    size_t i = 0;

    for (; i < n && *got < HELLO_PREFIX; i++) {
        if (!prefix_fits(head, *got, type, p[i])) {
            *got = 0;
            return false;
        }
        if (*got < RECORD_HEAD)
            head[*got] = p[i];
        (*got)++;
    }
    *eaten = i;
    return true;
}

/* Looks for a hello that began in earlier bytes, or at @p where a piece starts. *@eaten bytes
 * belong to its prefix, whole at *@got == HELLO_PREFIX. Pieces that go on with one are not counted:
 * a hello that trickles in is still one hello. */
static bool seek(struct vision_filter *f, uint8_t *got, uint8_t head[RECORD_HEAD], uint8_t type,
                 const uint8_t *p, size_t n, bool start, size_t *eaten)
{
    if (*got > 0 && match(got, head, type, p, n, eaten))
        return true;
    if (!start)
        return false;
    count_piece(f);
    return match(got, head, type, p, n, eaten);
}

/* ---- ServerHello ----------------------------------------------------------------------------- */

/* All is known. */
static void decide(struct vision_filter *f, bool tls13)
{
    f->tls13 = tls13 && f->cipher >= SUITE_FIRST && f->cipher <= SUITE_LAST;
    f->field = FIELD_OFF;
    f->left = 0;
}

static void expect(struct vision_filter *f, enum field field, uint32_t need)
{
    f->field = (uint8_t)field;
    f->need = (uint16_t)need;
    f->value = 0;
}

static void end_extension_head(struct vision_filter *f)
{
    uint32_t len = f->value & 0xffff;

    if (f->value >> 16 == EXT_VERSIONS && len == 2)
        expect(f, FIELD_VERSION, len);
    else
        expect(f, FIELD_EXT_BODY, len);
}

static void end_head(struct vision_filter *f)
{
    uint32_t len = f->value & 0xffffff;

    if (len > HELLO_MAX || len == 0) {
        decide(f, false);
        return;
    }
    f->hello_left = (uint16_t)len;
    expect(f, FIELD_FIXED, HELLO_FIXED_LEN);
}

/* A field is whole: takes what it says and names the next. */
static void end_field(struct vision_filter *f)
{
    switch ((enum field)f->field) {
    case FIELD_HEAD:
        end_head(f);
        break;
    case FIELD_FIXED:
        expect(f, FIELD_SESSION_LEN, 1);
        break;
    case FIELD_SESSION_LEN:
        expect(f, FIELD_SESSION, f->value);
        break;
    case FIELD_SESSION:
        expect(f, FIELD_CIPHER, 2);
        break;
    case FIELD_CIPHER:
        f->cipher = (uint16_t)f->value;
        expect(f, FIELD_COMPRESSION, 1);
        break;
    case FIELD_COMPRESSION:
        expect(f, FIELD_EXT_TOTAL, 2);
        break;
    case FIELD_EXT_HEAD:
        end_extension_head(f);
        break;
    case FIELD_EXT_TOTAL:
    case FIELD_EXT_BODY:
        expect(f, FIELD_EXT_HEAD, 4);
        break;
    case FIELD_VERSION:
        decide(f, f->value == TLS13);
        break;
    case FIELD_OFF:
        break;
    }
}

static void read_hello(struct vision_filter *f, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && f->field != FIELD_OFF; i++) {
        bool counted = f->field != FIELD_HEAD;

        f->value = f->value << 8 | p[i];
        f->need--;
        if (counted)
            f->hello_left--;
        while (f->need == 0 && f->field != FIELD_OFF)
            end_field(f);
        if (counted && f->hello_left == 0 && f->field != FIELD_OFF)
            decide(f, false);
    }
}

/* ---- records --------------------------------------------------------------------------------- */

/* A record's head is whole. False: it is none. */
static bool begin_record(struct vision_filter *f)
{
    f->body = get_be16(f->head + 3);
    if (f->head[0] < RECORD_TYPE_MIN || f->head[0] > RECORD_TYPE_MAX || f->head[1] != 3 ||
        f->body > RECORD_BODY_MAX)
        return false;
    if (f->field != FIELD_OFF && f->head[0] != RECORD_HANDSHAKE)
        decide(f, false); /* half a ServerHello: an alert follows, or it never was one */
    f->down = DOWN_BODY;
    return true;
}

/* Follows records from @at. Returns the end of the last whole one of application data. */
static size_t follow(struct vision_filter *f, const uint8_t *p, size_t n, size_t at)
{
    size_t end = 0;

    while (at < n) {
        if (f->down == DOWN_HEAD) {
            f->head[f->head_got++] = p[at++];
            if (f->head_got < RECORD_HEAD)
                continue;
            if (!begin_record(f)) {
                f->down = DOWN_LOST;
                if (f->field != FIELD_OFF)
                    decide(f, false);
                return 0;
            }
        }
        size_t take = n - at < f->body ? n - at : f->body;
        if (f->head[0] == RECORD_HANDSHAKE)
            read_hello(f, p + at, take);
        at += take;
        f->body = (uint16_t)(f->body - take);
        if (f->body > 0)
            break;
        f->down = DOWN_HEAD;
        f->head_got = 0;
        if (f->head[0] == RECORD_DATA)
            end = at;
    }
    return end;
}

/* ---- the two directions ---------------------------------------------------------------------- */

void vision_filter_up(struct vision_filter *f, const uint8_t *p, size_t n, bool start)
{
    size_t at = 0;

    if (n == 0)
        return;
    f->answered |= f->server;
    if (f->left == 0)
        return;
    if (f->up_body > 0) {
        f->up_body = (uint16_t)(n < f->up_body ? f->up_body - n : 0);
        return;
    }
    if (!seek(f, &f->up_got, f->up_head, CLIENT_HELLO, p, n, start, &at) ||
        f->up_got < HELLO_PREFIX)
        return;
    f->tls = true;
    f->up_got = 0;
    size_t body = get_be16(f->up_head + 3) - 1u;
    f->up_body = (uint16_t)(n - at < body ? body - (n - at) : 0);
}

void vision_filter_up_end(struct vision_filter *f)
{
    f->answered = true;
}

size_t vision_filter_down(struct vision_filter *f, const uint8_t *p, size_t n, bool start)
{
    static const uint8_t type = SERVER_HELLO;
    size_t at = 0;

    if (n == 0 || f->down == DOWN_LOST)
        return 0;
    if (f->down != DOWN_SEEK)
        return follow(f, p, n, 0);
    if (f->left == 0) {
        f->down = DOWN_LOST;
        return 0;
    }
    if (!seek(f, &f->head_got, f->head, SERVER_HELLO, p, n, start, &at) ||
        f->head_got < HELLO_PREFIX)
        return 0;
    f->tls = f->server = true;
    f->down = DOWN_BODY;
    f->body = (uint16_t)(get_be16(f->head + 3) - 1);
    expect(f, FIELD_HEAD, 4);
    read_hello(f, &type, 1);
    return follow(f, p, n, at);
}

bool vision_filter_gave_up(const struct vision_filter *f)
{
    if (f->server)
        return f->down == DOWN_LOST;
    return f->left == 0 || (f->left == 1 && f->head_got == 0);
}
