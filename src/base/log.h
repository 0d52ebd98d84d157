/* base/log.h - one log line: level, who it is about, what happened. Formatting only; where lines
 * go is the sink's matter (app/logfile.h). Thread-safe as far as the sink is. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_NONE };

/* Where finished lines go. @line ends with '\n'. Called from any thread. */
struct log_sink {
    void (*write)(struct log_sink *, const char *line, size_t len);
};

/* Set up once at start, then read only (but for level, which a reload may store). */
struct log {
    struct log_sink *sink;
    _Atomic int level; /* enum log_level: lines below it are dropped before they are formatted */
    bool json;         /* one JSON object a line instead of text */
    uint64_t (*wall_us)(void); /* microseconds since 1970, for the time stamp; NULL: 0 */
};

/* What a line is about; every member may be 0/NULL. Never a token, uuid or key. */
struct log_about {
    const char *node; /* tag of the node */
    const char *peer; /* "1.2.3.4:567" */
    uint64_t user;    /* panel's id; 0 = none */
};

/* Formats and hands one line to the sink: "2026-11-21T11:54:07.123Z warning [node] user=7
 * peer=...: text". Lines are cut at 2 KiB; control characters are escaped. */
void log_line(const struct log *lg, enum log_level level, const struct log_about *about,
              const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Would a line of @level be written? For lines that cost something to make. */
static inline bool log_wants(const struct log *lg, enum log_level level)
{
    return (int)level >= __atomic_load_n((const int *)&lg->level, __ATOMIC_RELAXED);
}

/* "debug", "info", "warning"/"warn", "error", "none" in any case; false if none of these. */
bool log_level_parse(const char *text, enum log_level *out);
/* The word for a level, as log_level_parse reads it. */
const char *log_level_str(enum log_level level);
/* Shows a secret as its first and last four characters with "****" between, or eight stars when it
 * has 8 or fewer. Returns @dst. */
char *log_mask(char dst[16], const char *secret);

#endif
