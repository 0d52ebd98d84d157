/* base/status.h - the one result type of the program, and why something failed.
 *
 * Zero and above are answers, not errors: ST_MORE and ST_FULL say what a layer waits for. Below
 * zero the object that answered is finished and only its fini may be called. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#define NODISCARD __attribute__((warn_unused_result))

enum status {
    ST_OK = 0,    /* done; nothing left to do with what was given */
    ST_MORE = 1,  /* needs more input */
    ST_FULL = 2,  /* the output queue is at its cap; call again when there is room */
    ST_YIELD = 3, /* more work is ready, let others run first */
    ST_EOF = 4,   /* the peer ended its direction in order */

    ST_E_PROTO = -1,        /* the peer broke the protocol */
    ST_E_AUTH = -2,         /* unknown user, wrong token, failed authentication tag */
    ST_E_LIMIT = -3,        /* over a size, count or depth limit */
    ST_E_NOMEM = -4,        /* no memory, or the memory budget is spent */
    ST_E_IO = -5,           /* a system call failed: the number is its errno */
    ST_E_TIMEOUT = -6,      /* a deadline passed */
    ST_E_REFUSED = -7,      /* policy says no: private target, blocked route, device limit */
    ST_E_NOTFOUND = -8,     /* no such name, file, user or record */
    ST_E_CONFIG = -9,       /* a setting cannot be used; the text says which */
    ST_E_UNSUPPORTED = -10, /* well formed, but not something this program does */
    ST_E_CLOSED = -11,      /* the other side is gone (reset, aborted) */
    ST_E_CRYPTO = -12,      /* the crypto library failed */
    ST_E_BUSY = -13,        /* the resource is taken (port in use, database locked) */
};

/* A cause, filled in once where the failure starts; the owner of the connection or task logs it. */
struct why {
    enum status status;
    const char *text; /* static string, never freed; NULL while nothing failed */
    long number;      /* errno, alert or close code, offset: what the text says; 0 if none */
};

/* Returns a short static name of @st, such as "protocol error". Never NULL. */
const char *status_str(enum status st);

static inline bool status_is_error(enum status st)
{
    return st < 0;
}

/* Fills @why (may be NULL) unless an earlier cause is already there, and returns @st. */
static inline enum status why_set(struct why *why, enum status st, const char *text, long number)
{
    if (why != NULL && why->text == NULL) {
        why->status = st;
        why->text = text;
        why->number = number;
    }
    return st;
}

/* Ends the process with file and line: a mistake of ours, never an answer to input. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            bug_report(__FILE__, __LINE__, #cond);                                                 \
    } while (0)
_Noreturn void bug_report(const char *file, int line, const char *cond);

#endif
