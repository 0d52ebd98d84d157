/* Bodies of push and alive: whatever they say, the numbers and addresses that come out are within
 * their bounds. */
#include "panelserver/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report_error err;
    struct report_push push;
    enum status st = report_parse_push((const char *)data, size, &push, &err);
    BUG_ON(st != ST_OK && err.text[0] == '\0');
    for (size_t i = 0; i < push.count; i++) {
        const struct report_push_entry *e = &push.entries[i];
        BUG_ON(e->user_id <= 0 || e->up < 0 || e->up > REPORT_BYTES_MAX || e->down < 0 ||
               e->down > REPORT_BYTES_MAX);
    }
    report_push_fini(&push);

    struct report_alive alive;
    st = report_parse_alive((const char *)data, size, &alive, &err);
    BUG_ON(st != ST_OK && err.text[0] == '\0');
    for (size_t i = 0; i < alive.count; i++)
        BUG_ON(alive.users[i].first + alive.users[i].count > alive.ip_count ||
               alive.users[i].count > REPORT_IPS_MAX);
    for (size_t i = 0; i < alive.ip_count; i++)
        BUG_ON(alive.ips[i].family != ADDR_IP4 && alive.ips[i].family != ADDR_IP6);
    report_alive_fini(&alive);
    return 0;
}
