#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "codec/json.h"
#include "panel/v2sp/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a panel says can be compiled. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_t *v = NULL;
    struct json_error e;
    struct v2sp_routes r;
    struct audit_list *l = NULL;

    if (json_parse((const char *)data, size, &v, &e) != ST_OK)
        return 0;
    struct arena *scratch = arena_new(), *a = arena_new();
    if (scratch == NULL || a == NULL || v2sp_routes_read(v, scratch, &r) != ST_OK ||
        audit_list_build(a, r.items, r.count, NULL, NULL, &l) != ST_OK)
        __builtin_trap();
    json_unref(v);
    arena_free(scratch);
    for (uint32_t i = 0; l != NULL && i < l->count; i++)
        if (l->rules[i].id == 0 || l->rules[i].text[0] == '\0')
            __builtin_trap();
    audit_list_fini(l);
    arena_free(a);
    return 0;
}
