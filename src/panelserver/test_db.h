/* panelserver/test_db.h - what the unit tests of this folder share: an empty database in memory
 * with a node and users. */
#ifndef PANELSERVER_TEST_DB_H
#define PANELSERVER_TEST_DB_H

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "panelserver/db.h"
#include "panelserver/db_node.h"
#include "panelserver/db_traffic.h"
#include "panelserver/db_user.h"

#define TEST_DB_TOKEN "node-one-secret-token"
#define TEST_DB_NOW   INT64_C(1800000000)

static inline struct db *test_db_open(void)
{
    char error[DB_ERROR_MAX];
    struct db *db;
    enum status st = db_open(":memory:", DB_CREATE, &db, error);
    if (st != ST_OK)
        fprintf(stderr, "test_db: %s\n", error);
    assert(st == ST_OK);
    return db;
}

static inline int64_t test_db_node(struct db *db, const char *token)
{
    struct db_node n;
    db_node_init(&n);
    snprintf(n.token, sizeof n.token, "%s", token);
    n.port = 443;
    enum status st = db_node_add(db, &n);
    if (st != ST_OK)
        fprintf(stderr, "test_db: %s\n", db_error(db));
    assert(st == ST_OK);
    return n.id;
}

static inline int64_t test_db_user(struct db *db, const char *name, int64_t quota, int64_t expires)
{
    struct db_user u;
    db_user_init(&u);
    snprintf(u.name, sizeof u.name, "%s", name);
    u.quota = quota;
    u.expires = expires;
    enum status st = db_user_add(db, &u);
    if (st != ST_OK)
        fprintf(stderr, "test_db: %s\n", db_error(db));
    assert(st == ST_OK);
    return u.id;
}

#endif
