/* base/test_log.h - the log of a test that does not look at its lines: every one is formatted, so
 * that what is wrong with it shows, and dropped. */
#ifndef BASE_TEST_LOG_H
#define BASE_TEST_LOG_H

#include "base/log.h"

static inline void test_log_drop(struct log_sink *s, const char *line, size_t len)
{
    (void)s;
    (void)line;
    (void)len;
}

static struct log_sink test_log_sink = {.write = test_log_drop};
static struct log test_log = {.sink = &test_log_sink, .level = LOG_DEBUG};

#endif
