#include "codec/grpc.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"

#define TIMEOUT_DIGITS 8

void grpc_put_prefix(uint8_t dst[GRPC_PREFIX], uint32_t len)
{
    dst[0] = 0;
    put_be32(dst + 1, len);
}

bool grpc_split_path(struct grpc_str path, struct grpc_str *service, struct grpc_str *method)
{
    if (path.len > 0 && path.p[0] == '/') {
        path.p++;
        path.len--;
    }
    size_t at = path.len;
    while (at > 0 && path.p[at - 1] != '/')
        at--;
    if (at == 0)
        return false;
    *service = (struct grpc_str){path.p, at - 1};
    *method = (struct grpc_str){path.p + at, path.len - at};
    return true;
}

bool grpc_is_content_type(struct grpc_str value)
{
    static const char base[] = "application/grpc";
    size_t n = sizeof(base) - 1;

    return value.len >= n && strncasecmp(value.p, base, n) == 0 &&
           (value.len == n || value.p[n] == '+' || value.p[n] == ';');
}

enum status grpc_timeout(struct grpc_str value, uint64_t *us)
{
    uint64_t n = 0;

    if (value.len < 2 || value.len > TIMEOUT_DIGITS + 1)
        return ST_E_PROTO;
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.p[i] < '0' || value.p[i] > '9')
            return ST_E_PROTO;
        n = n * 10 + (uint64_t)(value.p[i] - '0');
    }
    switch (value.p[value.len - 1]) {
    case 'H':
        *us = n * 3600000000u;
        break;
    case 'M':
        *us = n * 60000000u;
        break;
    case 'S':
        *us = n * 1000000u;
        break;
    case 'm':
        *us = n * 1000u;
        break;
    case 'u':
        *us = n;
        break;
    case 'n':
        *us = (n + 999) / 1000;
        break;
    default:
        return ST_E_PROTO;
    }
    return n > 0 ? ST_OK : ST_E_LIMIT;
}

size_t grpc_put_message(char *dst, size_t cap, const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= 0x20 && c <= 0x7E && c != '%';
        if (n + (plain ? 1 : 3) >= cap)
            break;
        if (plain) {
            dst[n++] = (char)c;
            continue;
        }
        dst[n++] = '%';
        dst[n++] = digits[c >> 4];
        dst[n++] = digits[c & 15];
    }
    if (cap > 0)
        dst[n] = '\0';
    return n;
}
