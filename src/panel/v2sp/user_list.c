#include "panel/v2sp/user_list.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "panel/v2sp/lax_number.h"

/* Where the next event belongs:
 *
 *   START -> TOP -> LIST -> USER -> LIST ... -> TOP -> DONE */
enum place { PLACE_START, PLACE_TOP, PLACE_LIST, PLACE_USER, PLACE_DONE };

enum key {
    KEY_NONE,
    KEY_USERS,
    KEY_STATUS,
    KEY_MESSAGE,
    KEY_ID,
    KEY_UUID,
    KEY_SPEED,
    KEY_DEVICE,
    KEY_CONN
};

void v2sp_user_list_init(struct v2sp_user_list *l,
                         enum status (*user)(void *, const struct v2sp_user *),
                         void (*skipped)(void *, uint64_t, uint64_t, const char *),
                         void (*odd_limit)(void *, uint64_t, const char *), void *arg)
{
    memset(l, 0, sizeof(*l));
    l->user = user;
    l->skipped = skipped;
    l->odd_limit = odd_limit;
    l->arg = arg;
    json_pull_init(&l->pull);
}

static enum status fail(struct v2sp_reply_error *err, const char *text)
{
    snprintf(err->text, sizeof(err->text), "%s", text);
    return ST_E_PROTO;
}

static enum key name_key(uint8_t place, const char *text)
{
    static const struct {
        const char *name;
        uint8_t place, key;
    } keys[] = {
        {"users", PLACE_TOP, KEY_USERS},          {"status", PLACE_TOP, KEY_STATUS},
        {"message", PLACE_TOP, KEY_MESSAGE},      {"id", PLACE_USER, KEY_ID},
        {"uuid", PLACE_USER, KEY_UUID},           {"speed_limit", PLACE_USER, KEY_SPEED},
        {"device_limit", PLACE_USER, KEY_DEVICE}, {"conn_limit", PLACE_USER, KEY_CONN},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i].place == place && strcasecmp(keys[i].name, text) == 0)
            return (enum key)keys[i].key;
    return KEY_NONE;
}

static uint32_t limit_of(uint64_t n)
{
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* A fraction of one is still a limit, not its absence. */
static uint32_t count_of(uint64_t whole, uint64_t milli)
{
    return whole == 0 && milli > 0 ? 1 : limit_of(whole);
}

static void take_number(struct v2sp_user_list *l, enum key key)
{
    const struct json_pull *p = &l->pull;
    uint64_t whole = 0, milli = 0;
    bool is_null = p->event == JSON_EVENT_NULL || p->event == JSON_EVENT_FALSE ||
                   (p->event == JSON_EVENT_STRING && p->text_len == 0);
    bool number = p->event == JSON_EVENT_NUMBER || p->event == JSON_EVENT_STRING;

    /* Panels write -1 for "no limit" now and then; a negative id is none. */
    if (key != KEY_ID && number && p->text[0] == '-')
        is_null = true;
    if (!is_null && (!number || !v2sp_lax_number(p->text, p->text_len, &whole, &milli))) {
        if (key == KEY_ID) {
            l->bad = "id is no positive number";
            return;
        }
        /* Locking him out for the panel's mistake would be worse than the node's own limit. */
        l->odd = key == KEY_SPEED    ? "speed_limit is no number"
                 : key == KEY_DEVICE ? "device_limit is no number"
                                     : "conn_limit is no number";
        is_null = true;
    }
    switch (key) {
    case KEY_ID:
        l->cur.id = milli == UINT64_MAX || milli % 1000 == 0 ? whole : 0;
        break;
    case KEY_SPEED:
        l->cur.speed_kbps = is_null ? 0 : limit_of(milli);
        break;
    case KEY_DEVICE:
        l->cur.device_limit = is_null ? 0 : count_of(whole, milli);
        break;
    default:
        l->cur.conn_limit = is_null ? 0 : count_of(whole, milli);
        break;
    }
}

static void take_uuid(struct v2sp_user_list *l)
{
    const struct json_pull *p = &l->pull;

    l->cur.credential_len = 0;
    if (p->event != JSON_EVENT_STRING && p->event != JSON_EVENT_NUMBER)
        return;
    if (p->text_len > V2SP_CREDENTIAL_MAX) {
        l->bad = "uuid is too long";
        return;
    }
    memcpy(l->credential, p->text, p->text_len + 1);
    l->cur.credential_len = p->text_len;
}

static enum status finish_user(struct v2sp_user_list *l)
{
    uint64_t index = l->index++;

    if (l->bad == NULL && l->cur.id == 0)
        l->bad = "id is missing or no positive number";
    if (l->bad == NULL && l->cur.credential_len == 0)
        l->bad = "uuid is missing or empty";
    if (l->bad != NULL) {
        if (l->skipped != NULL)
            l->skipped(l->arg, l->cur.id, index, l->bad);
        return ST_OK;
    }
    if (l->odd != NULL && l->odd_limit != NULL)
        l->odd_limit(l->arg, l->cur.id, l->odd);
    l->cur.credential = l->credential;
    return l->user(l->arg, &l->cur);
}

/* An event on the level of the answer's own members. */
static enum status at_top(struct v2sp_user_list *l, struct v2sp_reply_error *err)
{
    const struct json_pull *p = &l->pull;
    uint8_t key = l->key;

    if (p->event == JSON_EVENT_OBJECT_END) {
        l->place = PLACE_DONE;
        return ST_OK;
    }
    if (p->event == JSON_EVENT_KEY) {
        l->key = (uint8_t)name_key(PLACE_TOP, p->text);
        return ST_OK;
    }
    l->key = KEY_NONE;
    if (key == KEY_USERS) {
        /* PHP's empty collection is {} as well; null is a panel that lost its list. */
        if (p->event != JSON_EVENT_ARRAY && p->event != JSON_EVENT_OBJECT)
            return fail(err, "\"users\" is no list");
        l->found = true;
        l->place = PLACE_LIST;
    } else if (key == KEY_STATUS && p->event == JSON_EVENT_STRING) {
        l->failed = strcasecmp(p->text, "fail") == 0;
    } else if (key == KEY_MESSAGE && p->event == JSON_EVENT_STRING) {
        snprintf(l->message, sizeof(l->message), "%s", p->text);
    }
    return ST_OK;
}

/* An event inside "users" but outside any user. Entries stand at depth 2, their members at 3; the
 * end of a value is told at the depth around it. */
static void at_list(struct v2sp_user_list *l)
{
    const struct json_pull *p = &l->pull;
    bool closing = p->event == JSON_EVENT_ARRAY_END || p->event == JSON_EVENT_OBJECT_END;
    bool opening = p->event == JSON_EVENT_ARRAY || p->event == JSON_EVENT_OBJECT;

    if (closing) {
        if (p->depth == 1)
            l->place = PLACE_TOP;
        return;
    }
    if (p->event == JSON_EVENT_KEY || p->depth != (opening ? 3 : 2))
        return; /* a list with holes is {"1":{...}} in PHP; or inside an entry that is no user */
    if (p->event == JSON_EVENT_OBJECT) {
        memset(&l->cur, 0, sizeof(l->cur));
        l->bad = l->odd = NULL;
        l->key = KEY_NONE;
        l->place = PLACE_USER;
        return;
    }
    if (l->skipped != NULL)
        l->skipped(l->arg, 0, l->index, "no object");
    l->index++;
}

static enum status at_user(struct v2sp_user_list *l)
{
    const struct json_pull *p = &l->pull;
    enum key key = (enum key)l->key;

    if (p->event == JSON_EVENT_OBJECT_END && p->depth == 2) {
        l->place = PLACE_LIST;
        return finish_user(l);
    }
    if (p->event == JSON_EVENT_KEY) {
        if (p->depth == 3)
            l->key = (uint8_t)name_key(PLACE_USER, p->text);
        return ST_OK;
    }
    if (p->depth != 3 || p->event == JSON_EVENT_ARRAY_END || p->event == JSON_EVENT_OBJECT_END)
        return ST_OK; /* [] for a limit is PHP's null */
    l->key = KEY_NONE;
    if (key == KEY_UUID)
        take_uuid(l);
    else if (key != KEY_NONE)
        take_number(l, key);
    return ST_OK;
}

/* Is this event a member of the answer itself, or its end? */
static bool is_top(const struct json_pull *p)
{
    switch (p->event) {
    case JSON_EVENT_OBJECT_END:
        return p->depth == 0;
    case JSON_EVENT_ARRAY_END:
        return false;
    case JSON_EVENT_OBJECT:
    case JSON_EVENT_ARRAY:
        return p->depth == 2;
    default:
        return p->depth == 1;
    }
}

static enum status take_event(struct v2sp_user_list *l, struct v2sp_reply_error *err)
{
    switch ((enum place)l->place) {
    case PLACE_START:
        if (l->pull.event != JSON_EVENT_OBJECT)
            return fail(err, "a JSON object was expected");
        l->place = PLACE_TOP;
        return ST_OK;
    case PLACE_TOP:
        return is_top(&l->pull) ? at_top(l, err) : ST_OK;
    case PLACE_LIST:
        at_list(l);
        return ST_OK;
    case PLACE_USER:
        return at_user(l);
    case PLACE_DONE:
        break;
    }
    return ST_OK;
}

static enum status drain(struct v2sp_user_list *l, struct v2sp_reply_error *err)
{
    enum status st;

    while ((st = json_pull_next(&l->pull)) == ST_OK) {
        st = take_event(l, err);
        if (st != ST_OK)
            return st;
    }
    if (st == ST_MORE || st == ST_EOF)
        return ST_OK;
    const char *want = json_pull_expected(&l->pull);
    snprintf(err->text, sizeof(err->text), "no JSON at byte %llu%s%s",
             (unsigned long long)l->pull.offset, want != NULL ? ": expected " : "",
             want != NULL ? want : "");
    return ST_E_PROTO;
}

enum status v2sp_user_list_feed(struct v2sp_user_list *l, const void *data, size_t len,
                                struct v2sp_reply_error *err)
{
    json_pull_feed(&l->pull, data, len);
    return drain(l, err);
}

enum status v2sp_user_list_end(struct v2sp_user_list *l, struct v2sp_reply_error *err)
{
    enum status st;

    json_pull_end(&l->pull);
    st = drain(l, err);
    memset(l->credential, 0, sizeof(l->credential));
    if (st != ST_OK)
        return st;
    if (l->place != PLACE_DONE)
        return fail(err, "the answer is empty");
    if (l->failed || (!l->found && l->message[0] != '\0')) {
        snprintf(err->text, sizeof(err->text), "the panel answered with a message: %s",
                 l->message[0] != '\0' ? l->message : "(none)");
        return ST_E_PROTO;
    }
    return l->found ? ST_OK : fail(err, "\"users\" is missing");
}
