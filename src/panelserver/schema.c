#include "panelserver/schema.h"

#include <stddef.h>

#include "base/status.h"

/* A step is never changed once released: a new one is added.
 *
 * users_version counts writes that change which users some node lists, whoever makes them: triggers
 * do it, so that no writer can forget. Traffic changes the list only when it crosses a quota. */
static const char *const STEPS[] = {
    "CREATE TABLE meta ("
    "  key TEXT PRIMARY KEY,"
    "  value INTEGER NOT NULL"
    ") WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('users_version', 1), ('total_up', 0), ('total_down', 0);"

    "CREATE TABLE nodes ("
    "  id INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL,"
    "  token TEXT NOT NULL,"
    "  type TEXT NOT NULL,"
    "  enabled INTEGER NOT NULL,"
    "  port INTEGER NOT NULL,"
    "  public_port INTEGER NOT NULL,"
    "  host TEXT NOT NULL,"
    "  network TEXT NOT NULL,"
    "  network_settings TEXT NOT NULL,"
    "  tls INTEGER NOT NULL,"
    "  tls_settings TEXT NOT NULL,"
    "  flow TEXT NOT NULL,"
    "  push_interval INTEGER NOT NULL,"
    "  pull_interval INTEGER NOT NULL,"
    "  up INTEGER NOT NULL DEFAULT 0,"
    "  down INTEGER NOT NULL DEFAULT 0,"
    "  seen INTEGER NOT NULL DEFAULT 0"
    ");"

    /* AUTOINCREMENT: the id of a deleted user is never given to another, whose traffic late reports
       would book. */
    "CREATE TABLE users ("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL UNIQUE,"
    "  uuid TEXT NOT NULL UNIQUE,"
    "  speed_limit INTEGER NOT NULL,"
    "  device_limit INTEGER NOT NULL,"
    "  conn_limit INTEGER NOT NULL,"
    "  quota INTEGER NOT NULL,"
    "  expires INTEGER NOT NULL,"
    "  enabled INTEGER NOT NULL,"
    "  all_nodes INTEGER NOT NULL,"
    "  up INTEGER NOT NULL DEFAULT 0,"
    "  down INTEGER NOT NULL DEFAULT 0"
    ");"
    "CREATE TABLE user_nodes ("
    "  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,"
    "  node_id INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,"
    "  PRIMARY KEY (user_id, node_id)"
    ") WITHOUT ROWID;"
    "CREATE INDEX user_nodes_node ON user_nodes(node_id);"

    /* The daily books outlive users and nodes. day: unix time / 86400. */
    "CREATE TABLE traffic ("
    "  day INTEGER NOT NULL,"
    "  user_id INTEGER NOT NULL,"
    "  node_id INTEGER NOT NULL,"
    "  up INTEGER NOT NULL,"
    "  down INTEGER NOT NULL,"
    "  PRIMARY KEY (day, user_id, node_id)"
    ") WITHOUT ROWID;"
    "CREATE INDEX traffic_user ON traffic(user_id, day);"

    "CREATE TABLE push_keys ("
    "  node_id INTEGER NOT NULL,"
    "  key TEXT NOT NULL,"
    "  hash BLOB NOT NULL,"
    "  seen INTEGER NOT NULL,"
    "  PRIMARY KEY (node_id, key)"
    ") WITHOUT ROWID;"
    "CREATE INDEX push_keys_seen ON push_keys(seen);"

    "CREATE TABLE alive ("
    "  user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,"
    "  ip TEXT NOT NULL,"
    "  node_id INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,"
    "  seen INTEGER NOT NULL,"
    "  PRIMARY KEY (user_id, ip, node_id)"
    ") WITHOUT ROWID;"
    "CREATE INDEX alive_node ON alive(node_id);"

    "CREATE TRIGGER users_added AFTER INSERT ON users BEGIN"
    "  UPDATE meta SET value=value+1 WHERE key='users_version'; END;"
    "CREATE TRIGGER users_gone AFTER DELETE ON users BEGIN"
    "  UPDATE meta SET value=value+1 WHERE key='users_version'; END;"
    "CREATE TRIGGER users_changed AFTER UPDATE OF id, uuid, speed_limit, device_limit, conn_limit,"
    "    quota, expires, enabled, all_nodes ON users BEGIN"
    "  UPDATE meta SET value=value+1 WHERE key='users_version'; END;"
    "CREATE TRIGGER users_used AFTER UPDATE OF up, down ON users"
    "  WHEN new.quota > 0 AND"
    "    (old.up + old.down < new.quota) <> (new.up + new.down < new.quota) BEGIN"
    "  UPDATE meta SET value=value+1 WHERE key='users_version'; END;"
    "CREATE TRIGGER user_nodes_added AFTER INSERT ON user_nodes BEGIN"
    "  UPDATE meta SET value=value+1 WHERE key='users_version'; END;"
    "CREATE TRIGGER user_nodes_gone AFTER DELETE ON user_nodes BEGIN"
    "  UPDATE meta SET value=value+1 WHERE key='users_version'; END;",

    "ALTER TABLE nodes ADD COLUMN cipher TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE nodes ADD COLUMN server_key TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE nodes ADD COLUMN decryption TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE nodes ADD COLUMN encryption TEXT NOT NULL DEFAULT '';",

    "ALTER TABLE nodes ADD COLUMN block TEXT NOT NULL DEFAULT '';",
};

int schema_version(void)
{
    return (int)(sizeof STEPS / sizeof STEPS[0]);
}

const char *schema_step(int from)
{
    BUG_ON(from < 0 || from >= schema_version());
    return STEPS[from];
}
