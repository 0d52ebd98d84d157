/* What is read is written back the same, but for numbers in long form, and read again. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "codec/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct protobuf_reader r = {data, data + size};
    struct protobuf_field f, again;
    uint8_t buf[512];
    enum status st;

    while ((st = protobuf_next(&r, &f)) == ST_OK) {
        check(f.number > 0 && f.number < 1u << 29 && r.p <= r.end);
        if (f.type != PROTOBUF_BYTES && f.type != PROTOBUF_VARINT)
            continue;
        struct protobuf_writer w = {buf, sizeof(buf), 0, false};
        if (f.type == PROTOBUF_VARINT) {
            protobuf_put_number(&w, f.number, f.value);
            check(w.len == protobuf_number_size(f.number, f.value));
        } else {
            check(f.data >= data && f.data + f.len <= data + size);
            (void)utf8_is_valid(f.data, f.len);
            protobuf_put_bytes(&w, f.number, f.data, f.len);
            check(w.full == (protobuf_bytes_size(f.number, f.len) > sizeof(buf)));
        }
        if (w.full || w.len == 0)
            continue;
        struct protobuf_reader back = {buf, buf + w.len};
        check(protobuf_next(&back, &again) == ST_OK && back.p == back.end);
        check(again.number == f.number && again.type == f.type && again.value == f.value);
        check(again.len == f.len && (f.len == 0 || memcmp(again.data, f.data, f.len) == 0));
    }
    check(st == ST_EOF || st == ST_E_PROTO);
    return 0;
}
