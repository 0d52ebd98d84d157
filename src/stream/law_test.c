#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stream/law.h"

/* A layer that passes everything on, and ways to make it break one law at a time. */
enum fault { FAULT_NONE, FAULT_SPAN_BORDER, FAULT_EATS_FAILURE };

struct sample {
    struct layer layer;
    enum fault fault;
    bool started;
};

static enum status sample_init(struct layer *l, const void *conf)
{
    ((struct sample *)(void *)l)->fault = *(const enum fault *)conf;
    return ST_OK;
}

static enum status sample_rx(struct layer *l, struct turn *t)
{
    struct sample *s = (struct sample *)(void *)l;
    struct pool *p = l->env->pool;
    if (!s->started && t->wire_in->bytes > 0) {
        s->started = true;
        t->ev->mask |= EV_READY;
        if (s->fault == FAULT_EATS_FAILURE) {
            struct span *copy = span_new(p);
            if (copy == NULL)
                bufq_drop(t->wire_in, 1, p);
            span_free(p, copy);
        }
    }
    while (!bufq_empty(t->wire_in)) {
        if (bufq_room(t->up) == 0)
            return ST_FULL;
        struct span *sp = bufq_pop(t->wire_in);
        if (s->fault == FAULT_SPAN_BORDER && sp->len == 1 && t->wire_in->head != NULL) {
            span_free(p, sp);
            continue;
        }
        bufq_push(t->up, sp);
    }
    return ST_OK;
}

static enum status sample_tx(struct layer *l, struct turn *t)
{
    struct sample *s = (struct sample *)(void *)l;
    if (!s->started)
        return ST_OK;
    if (bufq_room(t->wire_out) > 0)
        bufq_move(t->wire_out, t->down);
    return ST_OK;
}

static const struct layer_ops sample_ops = {
    .name = "sample",
    .size = sizeof(struct sample),
    .wire = PORT_BYTES,
    .plain = PORT_BYTES,
    .init = sample_init,
    .rx = sample_rx,
    .tx = sample_tx,
};

static uint8_t script[3000], answer[500];

static bool written_is_answer(void *arg, const uint8_t *wire, size_t len)
{
    (void)arg;
    return len == sizeof(answer) && memcmp(wire, answer, len) == 0;
}

static bool check(const enum fault *fault, char *err)
{
    const struct chain_stage stages[] = {{&sample_ops, fault}, {&sample_ops, fault}};
    for (size_t i = 0; i < sizeof(script); i++)
        script[i] = (uint8_t)(i * 7);
    const struct law_case c = {
        .stages = stages,
        .count = 2,
        .wire = script,
        .wire_len = sizeof(script),
        .wire_eof = true,
        .plain = script,
        .plain_len = sizeof(script),
        .plain_eof = true,
        .down = answer,
        .down_len = sizeof(answer),
        .down_eof = true,
        .events = EV_READY,
        .runs = 8,
        .written = written_is_answer,
    };
    return law_check(&c, err);
}

static void test_lawful_layer_passes(void **state)
{
    (void)state;
    char err[LAW_ERR_LEN];
    const enum fault none = FAULT_NONE;
    if (!check(&none, err))
        fail_msg("%s", err);
}

static void test_each_fault_is_found(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        const char *text;
    } cases[] = {{FAULT_SPAN_BORDER, "plain bytes"}, {FAULT_EATS_FAILURE, "plain bytes"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char err[LAW_ERR_LEN];
        assert_false(check(&cases[i].fault, err));
        assert_non_null(strstr(err, cases[i].text));
    }
}

static bool nothing_written(void *arg, const uint8_t *wire, size_t len)
{
    (void)arg;
    (void)wire;
    return len == 0;
}

/* The helper itself must not pass what it was told not to expect. */
static void test_wrong_expectations_fail(void **state)
{
    (void)state;
    const enum fault none = FAULT_NONE;
    const struct chain_stage stages[] = {{&sample_ops, &none}};
    char err[LAW_ERR_LEN];
    struct law_case c = {.stages = stages,
                         .count = 1,
                         .wire = script,
                         .wire_len = 10,
                         .plain = script,
                         .plain_len = 10,
                         .runs = 1};
    assert_true(law_check(&c, err));
    c.plain_len = 11;
    assert_false(law_check(&c, err));
    c.plain_len = 9;
    assert_false(law_check(&c, err));
    c.plain_len = 10;
    c.events = EV_REQUEST;
    assert_false(law_check(&c, err));
    c.events = 0;
    c.plain_eof = true;
    assert_false(law_check(&c, err));
    c.plain_eof = false;
    c.end = ST_E_PROTO;
    assert_false(law_check(&c, err));
    c.end = ST_OK;
    c.down = answer;
    c.down_len = 1;
    c.written = nothing_written;
    assert_false(law_check(&c, err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lawful_layer_passes),
        cmocka_unit_test(test_each_fault_is_found),
        cmocka_unit_test(test_wrong_expectations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
