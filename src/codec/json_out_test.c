#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/json_out.h"

static void commas_stand_where_they_belong(void **state)
{
    struct textbuf t;
    struct json_out o = {.t = &t};

    (void)state;
    textbuf_init(&t);
    json_out_object(&o, NULL);
    json_out_array(&o, "empty");
    json_out_end_array(&o);
    json_out_array(&o, "list");
    json_out_num(&o, NULL, UINT64_MAX);
    json_out_object(&o, NULL);
    json_out_end_object(&o);
    json_out_int(&o, NULL, -1);
    json_out_end_array(&o);
    json_out_object(&o, "in\"ner");
    json_out_str(&o, "a", "x\ny");
    json_out_str(&o, "b", NULL);
    json_out_bool(&o, "c", true);
    json_out_end_object(&o);
    json_out_null(&o, "last");
    json_out_end_object(&o);
    const char *want = "{\"empty\":[],\"list\":[18446744073709551615,{},-1],"
                       "\"in\\\"ner\":{\"a\":\"x\\u000ay\",\"b\":null,\"c\":true},\"last\":null}";
    assert_int_equal(t.len, strlen(want));
    assert_memory_equal(t.p, want, t.len);
    textbuf_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commas_stand_where_they_belong)};
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
