/* panelserver/reply.h - what the API answers: status, JSON body, and the few header fields that go
 * with them. */
#ifndef PANELSERVER_REPLY_H
#define PANELSERVER_REPLY_H

#include <stdint.h>

#include "panelserver/body.h"

struct reply {
    unsigned status;
    struct body *body; /* NULL: no memory was left for one. With 304 it is not sent, its tag is */
    bool tagged;       /* the body's tag goes out as ETag */
    uint32_t retry_after_s; /* 0: no such field */
    const char *allow;      /* static; NULL: no such field */
};

/* {"message": @message, "code": @code, "details": {"parameter": @parameter}}, as
 * docs/panel-api.md has it; details are {} for @parameter NULL. Never fails: without memory the
 * body is missing. */
void reply_error(struct reply *r, unsigned status, const char *code, const char *message,
                 const char *parameter);
/* {"message":"ok"} */
void reply_ok(struct reply *r);
/* Takes over the text and tags it. */
void reply_take(struct reply *r, struct textbuf *t);
/* Drops its reference to the body. */
void reply_fini(struct reply *r);

#endif
