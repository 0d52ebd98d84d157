#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

const char *status_str(enum status st)
{
    switch (st) {
    case ST_OK:
        return "ok";
    case ST_MORE:
        return "needs more input";
    case ST_FULL:
        return "output full";
    case ST_YIELD:
        return "yield";
    case ST_EOF:
        return "end of stream";
    case ST_E_PROTO:
        return "protocol error";
    case ST_E_AUTH:
        return "not authenticated";
    case ST_E_LIMIT:
        return "limit exceeded";
    case ST_E_NOMEM:
        return "out of memory";
    case ST_E_IO:
        return "input/output error";
    case ST_E_TIMEOUT:
        return "timed out";
    case ST_E_REFUSED:
        return "refused";
    case ST_E_NOTFOUND:
        return "not found";
    case ST_E_CONFIG:
        return "unusable setting";
    case ST_E_UNSUPPORTED:
        return "not supported";
    case ST_E_CLOSED:
        return "closed by the other side";
    case ST_E_CRYPTO:
        return "crypto library failure";
    case ST_E_BUSY:
        return "busy";
    }
    return "unknown status";
}

void bug_report(const char *file, int line, const char *cond)
{
    fprintf(stderr, "v2sp: bug at %s:%d: %s\n", file, line, cond);
    abort();
}
