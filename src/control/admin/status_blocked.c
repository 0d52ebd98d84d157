#include "control/admin/status_blocked.h"

#include "policy/audit_hits.h"

/* Those with the most hits, the most first. */
struct top {
    struct audit_hit hit[STATUS_BLOCKED_MAX];
    unsigned count;
};

static void take(void *arg, const struct audit_hit *hit)
{
    struct top *t = arg;
    unsigned at = t->count;

    while (at > 0 && t->hit[at - 1].count < hit->count)
        at--;
    if (at == STATUS_BLOCKED_MAX)
        return;
    if (t->count < STATUS_BLOCKED_MAX)
        t->count++;
    for (unsigned i = t->count - 1; i > at; i--)
        t->hit[i] = t->hit[i - 1];
    t->hit[at] = *hit;
}

static void put(struct json_out *o, const char *key, const struct top *t, bool users)
{
    json_out_array(o, key);
    for (unsigned i = 0; i < t->count; i++) {
        json_out_object(o, NULL);
        if (users)
            json_out_num(o, "uid", t->hit[i].uid);
        json_out_str(o, "rule", t->hit[i].rule);
        json_out_num(o, "hits", t->hit[i].count);
        json_out_end_object(o);
    }
    json_out_end_array(o);
}

void status_blocked(struct json_out *o, struct audit_hits *hits)
{
    struct top rules = {.count = 0}, users = {.count = 0};

    if (hits == NULL) {
        json_out_null(o, "blocked");
        return;
    }
    audit_hits_rules(hits, take, &rules);
    audit_hits_pairs(hits, take, &users);
    json_out_object(o, "blocked");
    json_out_num(o, "hits", audit_hits_sum(hits).hits);
    put(o, "rules", &rules, false);
    put(o, "users", &users, true);
    json_out_end_object(o);
}
