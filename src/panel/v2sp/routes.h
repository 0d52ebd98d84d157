/* panel/v2sp/routes.h - the "routes" of a panel's configuration: which targets to block. Pure,
 * stateless.
 *
 * [{"id":1,"match":[...],"action":"block","action_value":...}]; the list and "match" may be PHP's
 * objects with numbers for keys, "match" also one text with commas or lines in it, or null.
 * (docs/panel-api.md, "Routes".) */
#ifndef PANEL_V2SP_ROUTES_H
#define PANEL_V2SP_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/audit_list.h"

#define V2SP_ROUTE_NOTICES 8

struct arena;
struct json_t;

struct v2sp_routes {
    struct audit_item *items; /* of the routes that block, for audit_list_build */
    size_t count;
    struct v2sp_route_notice {
        char text[120];
    } notices[V2SP_ROUTE_NOTICES]; /* what is not done, for the log */
    unsigned notice_count;
    size_t more; /* notices there was no room for */
};

/* Reads @routes (NULL: none). Items have the route's id, or its place from 1 where it has none;
 * their texts are @routes' or in @a. ST_OK or ST_E_NOMEM: what cannot be used is left out, and
 * said. */
NODISCARD enum status v2sp_routes_read(const struct json_t *routes, struct arena *a,
                                       struct v2sp_routes *out);

#endif
