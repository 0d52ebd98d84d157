/* base/arena.h - memory that is freed all at once: configurations and snapshots. Not thread-safe
 * while growing. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

/* NULL without memory. */
struct arena *arena_new(void);
void arena_free(struct arena *a);
/* Zeroed, aligned for any type; NULL without memory. */
void *arena_alloc(struct arena *a, size_t size);
/* NUL-terminated copies; NULL without memory. */
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t len);
/* As snprintf, of any length; NULL without memory. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
