#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy/audit_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ports(const struct audit_reading *r)
{
    size_t at = 0, n = 0;
    uint16_t lo, hi;

    while (audit_rule_next_port(r->value, r->len, &at, &lo, &hi) == ST_OK) {
        if (lo == 0 || hi < lo)
            __builtin_trap();
        n++;
    }
    if (n == 0)
        __builtin_trap();
}

static void check(const struct audit_reading *r, const char *text, size_t size)
{
    if (r->len == 0 || r->text < text || r->text + r->text_len > text + size)
        __builtin_trap();
    switch (r->kind) {
    case AUDIT_FULL:
    case AUDIT_DOMAIN:
    case AUDIT_KEYWORD:
        if (r->len > AUDIT_VALUE_MAX)
            __builtin_trap();
        for (size_t i = 0; i < r->len; i++)
            if (r->value[i] >= 'A' && r->value[i] <= 'Z')
                __builtin_trap();
        break;
    case AUDIT_NET:
        if (r->net.bits > (r->net.net.family == ADDR_IP4 ? 32 : 128))
            __builtin_trap();
        break;
    case AUDIT_PORT:
        check_ports(r);
        break;
    case AUDIT_REGEXP:
    case AUDIT_PROTOCOL:
        break;
    }
}

/* The first byte says what the list is for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audit_reading r;

    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size--;
    enum status st = audit_rule_read((enum audit_as)(data[0] % 4), text, size, &r);
    if (st == ST_OK)
        check(&r, text, size);
    else if (st != ST_E_NOTFOUND && r.error == NULL)
        __builtin_trap();
    return 0;
}
