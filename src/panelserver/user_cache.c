#include "panelserver/user_cache.h"

#include <string.h>

#include "panelserver/body.h"
#include "panelserver/db.h"
#include "panelserver/db_user.h"

void user_cache_init(struct user_cache *c)
{
    memset(c, 0, sizeof *c);
}

static void drop(struct user_cache_entry *e)
{
    body_unref(e->body);
    memset(e, 0, sizeof *e);
}

void user_cache_fini(struct user_cache *c)
{
    for (size_t i = 0; i < USER_CACHE_ENTRIES; i++)
        drop(&c->entries[i]);
}

static bool write_user(void *ctx, const struct db_user *u)
{
    struct textbuf *t = ctx;
    textbuf_puts(t, t->p[t->len - 1] == '[' ? "{\"id\":" : ",{\"id\":");
    textbuf_int(t, u->id);
    textbuf_puts(t, ",\"uuid\":\"");
    textbuf_puts(t, u->uuid); /* hex digits and dashes: db_user checks */
    textbuf_puts(t, "\",\"speed_limit\":");
    textbuf_int(t, u->speed_limit);
    textbuf_puts(t, ",\"device_limit\":");
    textbuf_int(t, u->device_limit);
    textbuf_puts(t, ",\"conn_limit\":");
    textbuf_int(t, u->conn_limit);
    textbuf_put(t, "}", 1);
    return !t->failed;
}

static enum status build(struct db *db, int64_t node_id, int64_t now, struct body **out,
                         int64_t *until)
{
    struct textbuf t;
    textbuf_init(&t);
    textbuf_puts(&t, "{\"users\":[");
    enum status st = t.failed ? ST_E_NOMEM : db_user_list(db, node_id, now, write_user, &t, until);
    if (st != ST_OK) {
        textbuf_fini(&t);
        return st;
    }
    textbuf_puts(&t, "]}");
    return body_new(&t, out);
}

/* Throws out what is used least until one more entry of @len bytes fits, and returns its place. */
static struct user_cache_entry *make_room(struct user_cache *c, size_t len)
{
    for (;;) {
        struct user_cache_entry *empty = NULL, *oldest = NULL;
        size_t bytes = len;
        for (size_t i = 0; i < USER_CACHE_ENTRIES; i++) {
            struct user_cache_entry *e = &c->entries[i];
            if (e->body == NULL) {
                empty = e;
                continue;
            }
            bytes += e->body->len;
            if (oldest == NULL || e->used < oldest->used)
                oldest = e;
        }
        if (empty != NULL && (bytes <= USER_CACHE_BYTES || oldest == NULL))
            return empty;
        drop(oldest);
    }
}

enum status user_cache_get(struct user_cache *c, struct db *db, int64_t node_id, int64_t now,
                           struct body **out)
{
    /* The version is read before the list: a write in between makes the entry look older than it
     * is, never newer. */
    int64_t version;
    bool tied;
    enum status st = db_users_version(db, &version);
    if (st != ST_OK || (st = db_user_any_tied(db, node_id, &tied)) != ST_OK)
        return st;
    int64_t key = tied ? node_id : 0;
    c->calls++;
    for (size_t i = 0; i < USER_CACHE_ENTRIES; i++) {
        struct user_cache_entry *e = &c->entries[i];
        if (e->body == NULL)
            continue;
        if (e->version != version || now >= e->until) {
            drop(e);
        } else if (e->node_id == key) {
            e->used = c->calls;
            *out = body_ref(e->body);
            return ST_OK;
        }
    }
    struct body *body;
    int64_t until;
    if ((st = build(db, key, now, &body, &until)) != ST_OK)
        return st;
    c->built++;
    struct user_cache_entry *e = make_room(c, body->len);
    *e = (struct user_cache_entry){key, version, until, c->calls, body};
    *out = body_ref(body);
    return ST_OK;
}
