/* app/demo_target.h - a site for the demo's node to look like. */
#ifndef APP_DEMO_TARGET_H
#define APP_DEMO_TARGET_H

#include <stdbool.h>

#define DEMO_TARGET_MAX 272
#define DEMO_WHY_MAX    256
#define DEMO_TARGET_MS  3000u /* how long the start may wait for it */

struct demo_target {
    char dest[DEMO_TARGET_MAX]; /* host:port */
    char name[DEMO_TARGET_MAX]; /* server name */
    char why[DEMO_WHY_MAX];     /* why there is none */
};

/* Looks at @given (host:port, with server name @name; NULL: its host, or @other_name for an
 * address) or, when it is NULL, at some well-known sites all at once, and takes the first that
 * will do. At most DEMO_TARGET_MS; talks to the network. False: none, see why. */
bool demo_target_find(const char *given, const char *name, const char *other_name,
                      struct demo_target *out);

#endif
