#include "panelserver/db_node.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "panelserver/sql.h"
#include "panelserver/token.h"

#define COLUMNS                                                                                    \
    "id, enabled, name, token, type, port, public_port, host, network, network_settings, tls, "    \
    "tls_settings, flow, push_interval, pull_interval, up, down, seen, cipher, server_key, "       \
    "decryption, encryption, block"

#define TOUCH_S 60

void db_node_init(struct db_node *n)
{
    memset(n, 0, sizeof *n);
    n->enabled = true;
    memcpy(n->type, "vless", sizeof "vless");
    memcpy(n->network, "tcp", sizeof "tcp");
    n->push_interval = n->pull_interval = 60;
}

static void read_row(sqlite3_stmt *st, struct db_node *n)
{
    memset(n, 0, sizeof *n);
    n->id = sqlite3_column_int64(st, 0);
    n->enabled = sqlite3_column_int(st, 1) != 0;
    sql_text(st, 2, n->name, sizeof n->name);
    sql_text(st, 3, n->token, sizeof n->token);
    sql_text(st, 4, n->type, sizeof n->type);
    n->port = (uint16_t)sqlite3_column_int(st, 5);
    n->public_port = (uint16_t)sqlite3_column_int(st, 6);
    sql_text(st, 7, n->host, sizeof n->host);
    sql_text(st, 8, n->network, sizeof n->network);
    sql_text(st, 9, n->network_settings, sizeof n->network_settings);
    n->tls = sqlite3_column_int(st, 10);
    sql_text(st, 11, n->tls_settings, sizeof n->tls_settings);
    sql_text(st, 12, n->flow, sizeof n->flow);
    n->push_interval = sqlite3_column_int(st, 13);
    n->pull_interval = sqlite3_column_int(st, 14);
    n->up = (uint64_t)sqlite3_column_int64(st, 15);
    n->down = (uint64_t)sqlite3_column_int64(st, 16);
    n->seen = sqlite3_column_int64(st, 17);
    sql_text(st, 18, n->cipher, sizeof n->cipher);
    sql_text(st, 19, n->server_key, sizeof n->server_key);
    sql_text(st, 20, n->decryption, sizeof n->decryption);
    sql_text(st, 21, n->encryption, sizeof n->encryption);
    sql_text(st, 22, n->block, sizeof n->block);
}

/* Is @text among the words of @list, which are separated by single blanks? */
static bool is_word_of(const char *list, const char *text)
{
    size_t len = strchr(text, ' ') == NULL ? strlen(text) : 0;
    for (const char *p = list; len > 0 && (p = strstr(p, text)) != NULL; p += len) {
        if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
            return true;
    }
    return false;
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static bool is_token(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return false;
    }
    return strlen(text) >= 8;
}

/* Rewrites the settings as the database's JSON parser understands them, comments and blanks gone.
 */
static enum status normalise_json(struct db *db, char *json, size_t size, const char *what)
{
    if (json[0] == '\0')
        return ST_OK;
    sqlite3_stmt *st =
        sql_stmt(db, "SELECT json(?1) WHERE json_valid(?1) AND json_type(?1)='object'");
    if (st == NULL)
        return ST_E_IO;
    char copy[DB_SETTINGS_MAX + 1];
    snprintf(copy, sizeof copy, "%s", json);
    sql_bind(st, "s", copy);
    enum status s = sql_step(db, st);
    if (s == ST_EOF)
        return sql_fail(db, ST_E_CONFIG, "%s: not a JSON object", what);
    if (s == ST_OK && sqlite3_column_bytes(st, 0) >= (int)size)
        s = sql_fail(db, ST_E_CONFIG, "%s: over %zu bytes", what, size - 1);
    if (s == ST_OK)
        sql_text(st, 0, json, size);
    sqlite3_reset(st);
    return s;
}

/* What only one protocol has, is there for that one and for no other. */
static enum status check_protocol(struct db *db, struct db_node *n)
{
    bool vless = strcmp(n->type, "vless") == 0, ss = strcmp(n->type, "shadowsocks") == 0;
    const struct cipher *c = cipher_find(n->cipher);
    if (!vless && (n->flow[0] != '\0' || n->decryption[0] != '\0' || n->encryption[0] != '\0'))
        return sql_fail(db, ST_E_CONFIG, "type %s: flow and encryption are of VLESS", n->type);
    if ((n->decryption[0] == '\0') != (n->encryption[0] == '\0'))
        return sql_fail(db, ST_E_CONFIG,
                        "encryption: the node's and the clients' string go together");
    if (!ss && (n->cipher[0] != '\0' || n->server_key[0] != '\0'))
        return sql_fail(db, ST_E_CONFIG, "type %s: cipher and key are of Shadowsocks", n->type);
    if (!ss)
        return ST_OK;
    if (c == NULL)
        return sql_fail(db, ST_E_CONFIG, "cipher \"%s\": " CIPHER_NAMES, n->cipher);
    memcpy(n->cipher, c->name, strlen(c->name) + 1);
    if (!cipher_key_ok(c, n->server_key))
        return sql_fail(db, ST_E_CONFIG,
                        c->key_bytes != 0 ? "key: base64 of %u bytes for %s"
                                          : "key: none (%u bytes) for %s",
                        c->key_bytes, c->name);
    if (strcmp(n->network, "tcp") != 0 || n->tls != DB_TLS_NONE)
        return sql_fail(db, ST_E_CONFIG, "type shadowsocks: its network is tcp, without TLS");
    return ST_OK;
}

static enum status check(struct db *db, struct db_node *n)
{
    struct target t;
    if (!is_printable(n->name))
        return sql_fail(db, ST_E_CONFIG, "name: control characters");
    if (!is_token(n->token))
        return sql_fail(db, ST_E_CONFIG, "token: 8 or more visible ASCII characters, no blanks");
    if (!is_word_of("vless vmess trojan shadowsocks", n->type))
        return sql_fail(db, ST_E_CONFIG, "type \"%s\": vless, vmess, trojan or shadowsocks",
                        n->type);
    if (!is_word_of("tcp ws grpc httpupgrade xhttp kcp h2 quic", n->network))
        return sql_fail(db, ST_E_CONFIG,
                        "network \"%s\": tcp, ws, grpc, httpupgrade, xhttp, kcp, h2 or quic",
                        n->network);
    if (!is_word_of("xtls-rprx-vision", n->flow) && n->flow[0] != '\0')
        return sql_fail(db, ST_E_CONFIG, "flow \"%s\": empty or xtls-rprx-vision", n->flow);
    if (n->port == 0)
        return sql_fail(db, ST_E_CONFIG, "port: 1 to 65535");
    if (n->tls < DB_TLS_NONE || n->tls > DB_TLS_REALITY)
        return sql_fail(db, ST_E_CONFIG, "tls: 0 (none), 1 (TLS) or 2 (REALITY)");
    if (n->host[0] != '\0' && target_set_host(&t, n->host, strlen(n->host), 1) != ST_OK)
        return sql_fail(db, ST_E_CONFIG, "host \"%s\": a name or an IP address", n->host);
    if (n->push_interval < DB_INTERVAL_MIN || n->push_interval > DB_INTERVAL_MAX ||
        n->pull_interval < DB_INTERVAL_MIN || n->pull_interval > DB_INTERVAL_MAX)
        return sql_fail(db, ST_E_CONFIG, "interval: %d to %d seconds", DB_INTERVAL_MIN,
                        DB_INTERVAL_MAX);
    enum status st = check_protocol(db, n);
    if (st == ST_OK)
        st =
            normalise_json(db, n->network_settings, sizeof n->network_settings, "network settings");
    return st != ST_OK
               ? st
               : normalise_json(db, n->tls_settings, sizeof n->tls_settings, "TLS settings");
}

static void bind_node(sqlite3_stmt *st, const struct db_node *n)
{
    sql_bind(st, "iisssiisssissiisssss", n->id, (int64_t)n->enabled, n->name, n->token, n->type,
             (int64_t)n->port, (int64_t)n->public_port, n->host, n->network, n->network_settings,
             (int64_t)n->tls, n->tls_settings, n->flow, (int64_t)n->push_interval,
             (int64_t)n->pull_interval, n->cipher, n->server_key, n->decryption, n->encryption,
             n->block);
}

enum status db_node_add(struct db *db, struct db_node *n)
{
    if (n->token[0] == '\0') {
        char token[TOKEN_STRLEN];
        if (token_new(token) != ST_OK)
            return sql_fail(db, ST_E_CRYPTO, "the kernel gives no random bytes");
        memcpy(n->token, token, sizeof token);
    }
    enum status s = check(db, n);
    if (s != ST_OK)
        return s;
    if (n->id < 0 || n->id > INT32_MAX)
        return sql_fail(db, ST_E_CONFIG, "id: 1 to %d", INT32_MAX);
    struct db_node taken;
    if (n->id != 0 && db_node_get(db, n->id, &taken) == ST_OK)
        return sql_fail(db, ST_E_BUSY, "there is a node %lld already", (long long)n->id);
    sqlite3_stmt *st = sql_stmt(
        db,
        "INSERT INTO nodes (id, enabled, name, token, type, port, public_port, host, network,"
        " network_settings, tls, tls_settings, flow, push_interval, pull_interval, cipher, "
        "server_key,"
        " decryption, encryption, block)"
        " VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
        " ?17, ?18, ?19, ?20)");
    if (st == NULL)
        return ST_E_IO;
    bind_node(st, n);
    if ((s = sql_run(db, st)) == ST_OK)
        n->id = sqlite3_last_insert_rowid(db->handle);
    return s;
}

static enum status not_found(struct db *db, int64_t id)
{
    return sql_fail(db, ST_E_NOTFOUND, "there is no node %lld", (long long)id);
}

enum status db_node_update(struct db *db, const struct db_node *n)
{
    struct db_node checked = *n;
    enum status s = check(db, &checked);
    if (s != ST_OK)
        return s;
    sqlite3_stmt *st = sql_stmt(
        db, "UPDATE nodes SET enabled=?2, name=?3, token=?4, type=?5, port=?6, public_port=?7,"
            " host=?8, network=?9, network_settings=?10, tls=?11, tls_settings=?12, flow=?13,"
            " push_interval=?14, pull_interval=?15, cipher=?16, server_key=?17, decryption=?18,"
            " encryption=?19, block=?20 WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    bind_node(st, &checked);
    s = sql_run(db, st);
    return s == ST_OK && sqlite3_changes(db->handle) == 0 ? not_found(db, n->id) : s;
}

enum status db_node_get(struct db *db, int64_t id, struct db_node *out)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT " COLUMNS " FROM nodes WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s = sql_step(db, st);
    if (s == ST_OK)
        read_row(st, out);
    sqlite3_reset(st);
    return s == ST_EOF ? not_found(db, id) : s;
}

enum status db_node_del(struct db *db, int64_t id)
{
    sqlite3_stmt *st = sql_stmt(db, "DELETE FROM nodes WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "i", id);
    enum status s = sql_run(db, st);
    return s == ST_OK && sqlite3_changes(db->handle) == 0 ? not_found(db, id) : s;
}

enum status db_node_each(struct db *db, bool (*fn)(void *ctx, const struct db_node *n), void *ctx)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT " COLUMNS " FROM nodes ORDER BY id");
    if (st == NULL)
        return ST_E_IO;
    enum status s;
    while ((s = sql_step(db, st)) == ST_OK) {
        struct db_node n;
        read_row(st, &n);
        if (!fn(ctx, &n))
            break;
    }
    sqlite3_reset(st);
    return s == ST_EOF ? ST_OK : s;
}

enum status db_node_any_token(struct db *db, const char *token, size_t len, bool *out)
{
    sqlite3_stmt *st = sql_stmt(db, "SELECT token FROM nodes");
    if (st == NULL)
        return ST_E_IO;
    *out = false;
    enum status s;
    while ((s = sql_step(db, st)) == ST_OK) {
        char want[DB_TOKEN_MAX + 1];
        sql_text(st, 0, want, sizeof want);
        *out |= token_equal(want, token, len);
    }
    return s == ST_EOF ? ST_OK : s;
}

enum status db_node_touch(struct db *db, const struct db_node *n, int64_t now)
{
    if (now - n->seen < TOUCH_S && now >= n->seen)
        return ST_OK;
    sqlite3_stmt *st = sql_stmt(db, "UPDATE nodes SET seen=?2 WHERE id=?1");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "ii", n->id, now);
    return sql_run(db, st);
}

enum status db_json_set(struct db *db, char *json, size_t size, const char *key, const char *value)
{
    sqlite3_stmt *st = value != NULL
                           ? sql_stmt(db, "SELECT json_set(?1, '$.' || json_quote(?2), ?3)"
                                          " WHERE json_valid(?1) AND json_type(?1)='object'")
                           : sql_stmt(db, "SELECT json_remove(?1, '$.' || json_quote(?2))"
                                          " WHERE json_valid(?1) AND json_type(?1)='object'");
    if (st == NULL)
        return ST_E_IO;
    sql_bind(st, "ss", json[0] != '\0' ? json : "{}", key);
    if (value != NULL)
        sqlite3_bind_text(st, 3, value, -1, SQLITE_STATIC);
    enum status s = sql_step(db, st);
    if (s == ST_OK && sqlite3_column_bytes(st, 0) >= (int)size) {
        s = sql_fail(db, ST_E_LIMIT, "settings over %zu bytes", size - 1);
    } else if (s == ST_OK) {
        /* The bound text is @json itself: the row must be copied before the buffer is written. */
        char copy[DB_SETTINGS_MAX + 1];
        sql_text(st, 0, copy, sizeof copy);
        snprintf(json, size, "%s", copy);
    }
    sqlite3_reset(st);
    return s == ST_EOF ? sql_fail(db, ST_E_CONFIG, "settings are no JSON object") : s;
}
