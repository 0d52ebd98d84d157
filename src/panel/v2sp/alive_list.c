#include "panel/v2sp/alive_list.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "panel/v2sp/lax_number.h"

enum place { PLACE_START, PLACE_TOP, PLACE_ALIVE, PLACE_DONE };

void v2sp_alive_list_init(struct v2sp_alive_list *l,
                          enum status (*entry)(void *, uint64_t, uint32_t), void *arg)
{
    memset(l, 0, sizeof(*l));
    l->entry = entry;
    l->arg = arg;
    json_pull_init(&l->pull);
}

static enum status fail(struct v2sp_reply_error *err, const char *text)
{
    snprintf(err->text, sizeof(err->text), "%s", text);
    return ST_E_PROTO;
}

static enum status at_top(struct v2sp_alive_list *l, struct v2sp_reply_error *err)
{
    const struct json_pull *p = &l->pull;
    bool opening = p->event == JSON_EVENT_OBJECT || p->event == JSON_EVENT_ARRAY;
    bool closing = p->event == JSON_EVENT_OBJECT_END || p->event == JSON_EVENT_ARRAY_END;

    if (closing && p->depth == 0)
        l->place = PLACE_DONE;
    if (closing || p->depth != (opening ? 2 : 1))
        return ST_OK;
    if (p->event == JSON_EVENT_KEY) {
        l->wanted = strcasecmp(p->text, "alive") == 0;
        return ST_OK;
    }
    if (l->wanted) {
        if (!opening && p->event != JSON_EVENT_NULL)
            return fail(err, "\"alive\" is no object");
        l->found = true;
        l->place = opening ? PLACE_ALIVE : PLACE_TOP;
    }
    l->wanted = false;
    return ST_OK;
}

static enum status at_alive(struct v2sp_alive_list *l)
{
    const struct json_pull *p = &l->pull;
    uint64_t whole = 0, milli = 0;

    if ((p->event == JSON_EVENT_OBJECT_END || p->event == JSON_EVENT_ARRAY_END) && p->depth == 1)
        l->place = PLACE_TOP;
    if (p->depth != 2)
        return ST_OK;
    if (p->event == JSON_EVENT_KEY) {
        l->has_uid = v2sp_lax_number(p->text, p->text_len, &l->uid, &milli) && l->uid != 0;
        return ST_OK;
    }
    bool number = p->event == JSON_EVENT_NUMBER || p->event == JSON_EVENT_STRING;
    bool good = l->has_uid && number && v2sp_lax_number(p->text, p->text_len, &whole, &milli);
    l->has_uid = false;
    return good ? l->entry(l->arg, l->uid, whole > UINT32_MAX ? UINT32_MAX : (uint32_t)whole)
                : ST_OK;
}

static enum status take_event(struct v2sp_alive_list *l, struct v2sp_reply_error *err)
{
    switch ((enum place)l->place) {
    case PLACE_START:
        if (l->pull.event != JSON_EVENT_OBJECT)
            return fail(err, "a JSON object was expected");
        l->place = PLACE_TOP;
        return ST_OK;
    case PLACE_TOP:
        return at_top(l, err);
    case PLACE_ALIVE:
        return at_alive(l);
    case PLACE_DONE:
        break;
    }
    return ST_OK;
}

static enum status drain(struct v2sp_alive_list *l, struct v2sp_reply_error *err)
{
    enum status st;

    while ((st = json_pull_next(&l->pull)) == ST_OK) {
        st = take_event(l, err);
        if (st != ST_OK)
            return st;
    }
    return st == ST_MORE || st == ST_EOF ? ST_OK : fail(err, "no JSON");
}

enum status v2sp_alive_list_feed(struct v2sp_alive_list *l, const void *data, size_t len,
                                 struct v2sp_reply_error *err)
{
    json_pull_feed(&l->pull, data, len);
    return drain(l, err);
}

enum status v2sp_alive_list_end(struct v2sp_alive_list *l, struct v2sp_reply_error *err)
{
    json_pull_end(&l->pull);
    enum status st = drain(l, err);
    if (st != ST_OK)
        return st;
    return l->found ? ST_OK : fail(err, "\"alive\" is missing");
}
