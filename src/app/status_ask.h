/* app/status_ask.h - the request behind `v2sp status` and `v2sp top`. */
#ifndef APP_STATUS_ASK_H
#define APP_STATUS_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "app/admin_client.h"

#define STATUS_ASK_USERS 20u
#define STATUS_ASK_ALL   10000u /* as many as the service lists */

struct status_ask {
    uint32_t users;
    const char *node; /* NULL: all */
    bool rates;
};

/* GET /status. Answers as admin_call. */
NODISCARD enum status status_ask(const char *path, const struct status_ask *ask,
                                 struct admin_reply *out);
/* A number from 0 to @max. */
bool status_ask_number(const char *text, uint32_t max, uint32_t *out);

#endif
