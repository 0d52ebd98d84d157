#include "control/admin/status_blocked.h"

#include "control/store/hit_store.h"

static void put(void *arg, const struct hit_sum *h)
{
    struct json_out *o = arg;

    json_out_object(o, NULL);
    if (h->uid != 0)
        json_out_num(o, "uid", h->uid);
    json_out_str(o, "rule", h->rule);
    json_out_num(o, "hits", h->count);
    json_out_end_object(o);
}

void status_blocked(struct json_out *o, struct store *s, uint32_t node)
{
    struct hit_sum all;
    enum status st = hit_store_all(s, node, &all);

    json_out_object(o, "blocked");
    json_out_num(o, "hits", all.count);
    json_out_num(o, "since", (uint64_t)all.since_s);
    json_out_array(o, "rules");
    if (st == ST_OK)
        st = hit_store_rules(s, node, STATUS_BLOCKED_MAX, put, o);
    json_out_end_array(o);
    json_out_array(o, "users");
    if (st == ST_OK)
        st = hit_store_pairs(s, node, STATUS_BLOCKED_MAX, put, o);
    json_out_end_array(o);
    json_out_end_object(o);
}
