#include <stddef.h>
#include <stdint.h>

#include "codec/json.h"
#include "panel/v2sp/node_object.h"
#include "panel/v2sp/outcome.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_t *v = NULL;
    struct json_error je;
    struct v2sp_node_object o;
    struct v2sp_reply_error err;
    char line[256];

    v2sp_outcome_message(line, sizeof(line), (const char *)data, size);
    if (json_parse((const char *)data, size, &v, &je) != ST_OK)
        return 0;
    if (v2sp_node_object_read(v, 7, &o, &err) == ST_OK &&
        (o.server_port < 0 || o.server_port > 65535 || o.node == NULL))
        __builtin_trap();
    (void)v2sp_node_object_hash(v);
    json_unref(v);
    return 0;
}
