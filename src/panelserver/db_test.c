#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "panelserver/report.h"
#include "panelserver/test_db.h"

static int open_db(void **state)
{
    *state = test_db_open();
    return 0;
}

static int close_db(void **state)
{
    db_close(*state);
    return 0;
}

struct ids {
    int64_t id[8];
    size_t count;
};

static bool collect(void *ctx, const struct db_user *u)
{
    struct ids *ids = ctx;
    ids->id[ids->count++] = u->id;
    return ids->count < 8;
}

static struct ids listed(struct db *db, int64_t node, int64_t now, int64_t *next)
{
    struct ids ids = {.count = 0};
    int64_t ignored;
    assert_int_equal(db_user_list(db, node, now, collect, &ids, next != NULL ? next : &ignored),
                     ST_OK);
    return ids;
}

static struct db_push_result push(struct db *db, int64_t node, const char *key, int64_t user,
                                  int64_t up, int64_t down, int64_t now)
{
    struct report_push_entry e = {user, up, down};
    struct report_push p = {&e, 1, 1};
    uint8_t hash[DB_KEY_HASH] = {(uint8_t)user, (uint8_t)up, (uint8_t)down};
    struct db_push_result r;
    assert_int_equal(db_traffic_push(db, node, key, hash, &p, now, &r), ST_OK);
    return r;
}

static struct db_user user(struct db *db, int64_t id)
{
    struct db_user u;
    assert_int_equal(db_user_get(db, id, &u), ST_OK);
    return u;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void a_node_comes_back_as_it_was_put(void **state)
{
    struct db *db = *state;
    struct db_node n, back;
    db_node_init(&n);
    strcpy(n.name, "Zürich \"1\"");
    strcpy(n.host, "n1.example.com");
    strcpy(n.network, "ws");
    strcpy(n.network_settings, "{ \"path\" : \"/x?ed=2048\" }");
    n.port = 8443;
    n.public_port = 443;
    n.tls = DB_TLS_TLS;
    assert_int_equal(db_node_add(db, &n), ST_OK);
    assert_int_equal(strlen(n.token), 43);
    assert_int_equal(db_node_get(db, n.id, &back), ST_OK);
    assert_string_equal(back.name, n.name);
    assert_string_equal(back.token, n.token);
    assert_string_equal(back.network_settings, "{\"path\":\"/x?ed=2048\"}");
    assert_int_equal(back.public_port, 443);
    assert_int_equal(back.push_interval, 60);
    back.enabled = false;
    assert_int_equal(db_node_update(db, &back), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &back), ST_OK);
    assert_false(back.enabled);
    assert_int_equal(db_node_del(db, n.id), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &back), ST_E_NOTFOUND);
    assert_int_equal(db_node_del(db, n.id), ST_E_NOTFOUND);
}

static void unusable_nodes_are_refused_with_the_member_named(void **state)
{
    struct db *db = *state;
    struct db_node n;
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        db_node_init(&n);                                                                          \
        n.port = 443;                                                                              \
        change;                                                                                    \
        assert_int_equal(db_node_add(db, &n), ST_E_CONFIG);                                        \
        assert_non_null(strstr(db_error(db), word));                                               \
    } while (0)
    REFUSED(n.port = 0, "port");
    REFUSED(strcpy(n.type, "vles"), "vles");
    REFUSED(strcpy(n.network, "tcp ws"), "network");
    REFUSED(strcpy(n.token, "short"), "token");
    REFUSED(strcpy(n.token, "with a blank in it"), "token");
    REFUSED(strcpy(n.network_settings, "[1]"), "network settings");
    REFUSED(strcpy(n.tls_settings, "{'a':1}"), "TLS settings");
    REFUSED(strcpy(n.host, "no host/here"), "host");
    REFUSED(strcpy(n.flow, "vision"), "flow");
    REFUSED(n.push_interval = 1, "interval");
    REFUSED(n.tls = 3, "tls");
    REFUSED(n.id = -4, "id");
    REFUSED(strcpy(n.cipher, "aes-128-gcm"), "Shadowsocks");
    REFUSED(strcpy(n.decryption, "x"), "encryption");
    REFUSED((strcpy(n.type, "vmess"), strcpy(n.flow, "xtls-rprx-vision")), "flow");
    REFUSED(strcpy(n.type, "shadowsocks"), "cipher");
    REFUSED((strcpy(n.type, "shadowsocks"), strcpy(n.cipher, "rc4")), "rc4");
    REFUSED((strcpy(n.type, "shadowsocks"), strcpy(n.cipher, "2022-blake3-aes-128-gcm")), "16");
    REFUSED((strcpy(n.type, "shadowsocks"), strcpy(n.cipher, "none"), n.tls = 1), "TLS");
#undef REFUSED
    db_node_init(&n);
    n.id = test_db_node(db, TEST_DB_TOKEN);
    n.port = 1;
    assert_int_equal(db_node_add(db, &n), ST_E_BUSY);
    assert_non_null(strstr(db_error(db), "already"));
}

static void what_one_protocol_has_is_kept(void **state)
{
    struct db *db = *state;
    struct db_node n, back;
    db_node_init(&n);
    n.port = 8388;
    strcpy(n.type, "shadowsocks");
    strcpy(n.cipher, "chacha20-poly1305");
    assert_int_equal(db_node_add(db, &n), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &back), ST_OK);
    assert_string_equal(back.cipher, "chacha20-ietf-poly1305");
    strcpy(back.cipher, "2022-blake3-aes-128-gcm");
    strcpy(back.server_key, "8JCsPssfgS8tiRwiMlhARg==");
    assert_int_equal(db_node_update(db, &back), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &back), ST_OK);
    assert_string_equal(back.server_key, "8JCsPssfgS8tiRwiMlhARg==");
    db_node_init(&n);
    n.port = 443;
    strcpy(n.decryption, "mlkem768x25519plus.native.600s.A");
    strcpy(n.encryption, "mlkem768x25519plus.native.0rtt.B");
    assert_int_equal(db_node_add(db, &n), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &back), ST_OK);
    assert_string_equal(back.decryption, n.decryption);
    assert_string_equal(back.encryption, n.encryption);
}

static void json_members_are_set_and_removed(void **state)
{
    struct db *db = *state;
    char json[64] = "";
    assert_int_equal(db_json_set(db, json, sizeof json, "path", "/a\"b"), ST_OK);
    assert_string_equal(json, "{\"path\":\"/a\\\"b\"}");
    assert_int_equal(db_json_set(db, json, sizeof json, "a.b", "c"), ST_OK);
    assert_non_null(strstr(json, "\"a.b\":\"c\""));
    assert_int_equal(db_json_set(db, json, sizeof json, "path", NULL), ST_OK);
    assert_string_equal(json, "{\"a.b\":\"c\"}");
    char long_value[80];
    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    assert_int_equal(db_json_set(db, json, sizeof json, "z", long_value), ST_E_LIMIT);
    strcpy(json, "[]");
    assert_int_equal(db_json_set(db, json, sizeof json, "z", "1"), ST_E_CONFIG);
}

/* ---- users ----------------------------------------------------------------------------------- */

static void users_are_found_by_id_name_and_uuid(void **state)
{
    struct db *db = *state;
    struct db_user u, found;
    db_user_init(&u);
    strcpy(u.name, "anna");
    strcpy(u.uuid, "B831381D63244D53AD4F8CDA48B30811");
    assert_int_equal(db_user_add(db, &u), ST_OK);
    assert_string_equal(u.uuid, "b831381d-6324-4d53-ad4f-8cda48b30811");
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)u.id);
    const char *const words[] = {id, "anna", u.uuid, "B831381D-6324-4D53-AD4F-8CDA48B30811"};
    for (size_t i = 0; i < 4; i++) {
        memset(&found, 0, sizeof found);
        assert_int_equal(db_user_find(db, words[i], &found), ST_OK);
        assert_int_equal(found.id, u.id);
    }
    assert_int_equal(db_user_find(db, "ann", &found), ST_E_NOTFOUND);
    assert_int_equal(db_user_find(db, "99", &found), ST_E_NOTFOUND);
}

static void a_taken_name_or_uuid_is_told(void **state)
{
    struct db *db = *state;
    struct db_user u;
    struct db_user first = user(db, test_db_user(db, "anna", 0, 0));
    db_user_init(&u);
    strcpy(u.name, "anna");
    assert_int_equal(db_user_add(db, &u), ST_E_BUSY);
    assert_non_null(strstr(db_error(db), "\"anna\" already"));
    strcpy(u.name, "bert");
    strcpy(u.uuid, first.uuid);
    assert_int_equal(db_user_add(db, &u), ST_E_BUSY);
    assert_non_null(strstr(db_error(db), "uuid"));
    strcpy(u.name, "123");
    u.uuid[0] = '\0';
    assert_int_equal(db_user_add(db, &u), ST_E_CONFIG);
}

static void a_deleted_users_id_is_never_given_again(void **state)
{
    struct db *db = *state;
    int64_t id = test_db_user(db, "anna", 0, 0);
    assert_int_equal(db_user_del(db, id), ST_OK);
    assert_true(test_db_user(db, "bert", 0, 0) > id);
}

static void the_list_leaves_out_who_may_not_be_served(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN), next;
    int64_t good = test_db_user(db, "good", 0, 0);
    int64_t off = test_db_user(db, "off", 0, 0);
    test_db_user(db, "expired", 0, TEST_DB_NOW);
    int64_t soon = test_db_user(db, "soon", 0, TEST_DB_NOW + 60);
    int64_t quota = test_db_user(db, "quota", 1000, 0);
    struct db_user u = user(db, off);
    u.enabled = false;
    assert_int_equal(db_user_update(db, &u), ST_OK);
    push(db, node, NULL, quota, 400, 599, TEST_DB_NOW);

    struct ids ids = listed(db, node, TEST_DB_NOW, &next);
    assert_int_equal(ids.count, 3);
    assert_int_equal(ids.id[0], good);
    assert_int_equal(ids.id[1], soon);
    assert_int_equal(ids.id[2], quota);
    assert_int_equal(next, TEST_DB_NOW + 60);
    assert_int_equal(db_user_state(&u, TEST_DB_NOW), DB_USER_DISABLED);

    push(db, node, NULL, quota, 0, 1, TEST_DB_NOW);
    assert_int_equal(listed(db, node, TEST_DB_NOW + 60, NULL).count, 1);
    u = user(db, quota);
    assert_int_equal(db_user_state(&u, TEST_DB_NOW), DB_USER_OVER_QUOTA);

    assert_int_equal(db_user_reset(db, quota), ST_OK);
    assert_int_equal(listed(db, node, TEST_DB_NOW + 60, NULL).count, 2);
}

static void a_tied_user_is_on_its_nodes_only(void **state)
{
    struct db *db = *state;
    int64_t one = test_db_node(db, TEST_DB_TOKEN), two = test_db_node(db, "node-two-secret-token");
    int64_t id = test_db_user(db, "anna", 0, 0), nodes[4];
    size_t count;
    assert_int_equal(db_user_set_nodes(db, id, &two, 1), ST_OK);
    assert_int_equal(listed(db, one, TEST_DB_NOW, NULL).count, 0);
    assert_int_equal(listed(db, two, TEST_DB_NOW, NULL).count, 1);
    int64_t missing[] = {one, 77};
    assert_int_equal(db_user_set_nodes(db, id, missing, 2), ST_E_NOTFOUND);
    assert_int_equal(db_user_nodes(db, id, nodes, 4, &count), ST_OK);
    assert_int_equal(count, 1); /* as before: all or nothing */
    assert_int_equal(nodes[0], two);
}

static void the_version_moves_with_the_lists_and_not_with_mere_traffic(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN), before, after;
    int64_t id = test_db_user(db, "anna", 1000, 0);
    assert_int_equal(db_users_version(db, &before), ST_OK);
    push(db, node, NULL, id, 10, 10, TEST_DB_NOW);
    assert_int_equal(db_users_version(db, &after), ST_OK);
    assert_true(after == before);
    push(db, node, NULL, id, 980, 0, TEST_DB_NOW); /* crosses the quota */
    assert_int_equal(db_users_version(db, &after), ST_OK);
    assert_true(after != before);
    before = after;
    assert_int_equal(db_user_reset(db, 0), ST_OK);
    assert_int_equal(db_users_version(db, &after), ST_OK);
    assert_true(after != before);
    before = after;
    struct db_user u = user(db, id);
    u.speed_limit = 5;
    assert_int_equal(db_user_update(db, &u), ST_OK);
    assert_int_equal(db_users_version(db, &after), ST_OK);
    assert_true(after != before);
}

/* ---- traffic --------------------------------------------------------------------------------- */

static void a_key_is_booked_once(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN),
            other = test_db_node(db, "node-two-secret-token");
    int64_t id = test_db_user(db, "anna", 0, 0);
    assert_false(push(db, node, "k1", id, 5, 7, TEST_DB_NOW).replayed);
    assert_true(push(db, node, "k1", id, 5, 7, TEST_DB_NOW + 9).replayed);
    assert_false(push(db, node, "k2", id, 5, 7, TEST_DB_NOW).replayed);
    assert_false(push(db, other, "k1", id, 5, 7, TEST_DB_NOW).replayed); /* keys are a node's own */
    struct db_user u = user(db, id);
    assert_int_equal(u.up, 15);
    assert_int_equal(u.down, 21);

    struct report_push_entry e = {id, 6, 7};
    struct report_push p = {&e, 1, 1};
    uint8_t hash[DB_KEY_HASH] = {0xff};
    struct db_push_result r;
    assert_int_equal(db_traffic_push(db, node, "k1", hash, &p, TEST_DB_NOW, &r), ST_E_REFUSED);
    assert_int_equal(user(db, id).up, 15);
}

static void unknown_users_are_counted_and_left_alone(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN), id = test_db_user(db, "anna", 0, 0);
    struct report_push_entry e[] = {{id + 5, 100, 100}, {id, 1, 2}};
    struct report_push p = {e, 2, 2};
    uint8_t hash[DB_KEY_HASH] = {1};
    struct db_push_result r;
    struct db_totals t;
    assert_int_equal(db_traffic_push(db, node, "k", hash, &p, TEST_DB_NOW, &r), ST_OK);
    assert_int_equal(r.unknown, 1);
    assert_int_equal(r.up, 1);
    assert_int_equal(db_totals(db, TEST_DB_NOW, &t), ST_OK);
    assert_int_equal(t.ever_up, 1);
    assert_int_equal(t.ever_down, 2);
    assert_int_equal(t.today_down, 2);
    assert_int_equal(t.users, 1);
}

static void large_numbers_stay_whole(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN), id = test_db_user(db, "anna", 0, 0);
    for (int i = 0; i < 5; i++)
        push(db, node, NULL, id, REPORT_BYTES_MAX, 1, TEST_DB_NOW);
    assert_true(user(db, id).up == 5 * (uint64_t)REPORT_BYTES_MAX);
    assert_int_equal(user(db, id).down, 5);
}

static bool count_day(void *ctx, int64_t day, uint64_t up, uint64_t down)
{
    (void)day;
    uint64_t *sum = ctx;
    *sum += up * 1000 + down;
    return true;
}

static void the_daily_books_outlive_reset_and_deletion(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN), id = test_db_user(db, "anna", 0, 0);
    uint64_t sum = 0;
    push(db, node, NULL, id, 1, 2, TEST_DB_NOW);
    push(db, node, NULL, id, 1, 2, TEST_DB_NOW);
    push(db, node, NULL, id, 1, 2, TEST_DB_NOW + 86400);
    assert_int_equal(db_user_reset(db, id), ST_OK);
    assert_int_equal(user(db, id).up, 0);
    assert_int_equal(db_user_del(db, id), ST_OK);
    assert_int_equal(db_traffic_days(db, id, 10, count_day, &sum), ST_OK);
    assert_int_equal(sum, 3006);
    sum = 0;
    assert_int_equal(db_traffic_days(db, 0, 1, count_day, &sum), ST_OK);
    assert_int_equal(sum, 1002);
}

/* ---- alive ----------------------------------------------------------------------------------- */

struct online {
    int64_t user, devices;
    size_t count;
};

static bool last_online(void *ctx, int64_t user_id, int64_t devices)
{
    struct online *o = ctx;
    o->user = user_id;
    o->devices = devices;
    o->count++;
    return true;
}

static void alive(struct db *db, int64_t node, const char *body, int64_t now)
{
    struct report_alive a;
    struct report_error err;
    uint64_t unknown;
    assert_int_equal(report_parse_alive(body, strlen(body), &a, &err), ST_OK);
    assert_int_equal(db_alive_put(db, node, &a, now, &unknown), ST_OK);
    report_alive_fini(&a);
}

static struct online online(struct db *db, int64_t now)
{
    struct online o = {0};
    assert_int_equal(db_alive_each(db, now, last_online, &o), ST_OK);
    return o;
}

static void devices_are_distinct_addresses_over_all_nodes(void **state)
{
    struct db *db = *state;
    int64_t one = test_db_node(db, TEST_DB_TOKEN), two = test_db_node(db, "node-two-secret-token");
    test_db_user(db, "anna", 0, 0); /* id 1 */
    alive(db, one, "{\"1\":[\"1.1.1.1\",\"1.1.1.1\",\"2.2.2.2\"],\"99\":[\"3.3.3.3\"]}",
          TEST_DB_NOW);
    alive(db, two, "{\"1\":[\"2.2.2.2\",\"::1\"]}", TEST_DB_NOW + 10);
    struct online o = online(db, TEST_DB_NOW + 20);
    assert_int_equal(o.count, 1);
    assert_int_equal(o.devices, 3);
    /* A node's later word replaces its earlier one, for the users it names. */
    alive(db, one, "{\"1\":[\"4.4.4.4\"]}", TEST_DB_NOW + 30);
    assert_int_equal(online(db, TEST_DB_NOW + 30).devices, 3);
    alive(db, one, "{\"1\":[]}", TEST_DB_NOW + 40);
    assert_int_equal(online(db, TEST_DB_NOW + 40).devices, 2);
    alive(db, one, "{}", TEST_DB_NOW + 50);
    assert_int_equal(online(db, TEST_DB_NOW + 50).devices, 2);
}

static void alive_entries_last_five_minutes(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN);
    test_db_user(db, "anna", 0, 0);
    alive(db, node, "{\"1\":[\"1.1.1.1\"]}", TEST_DB_NOW);
    assert_int_equal(online(db, TEST_DB_NOW + 299).count, 1);
    assert_int_equal(online(db, TEST_DB_NOW + 300).count, 0);
    assert_int_equal(db_traffic_prune(db, TEST_DB_NOW + 300), ST_OK);
    assert_int_equal(online(db, TEST_DB_NOW + 1).count, 0);
}

static void keys_are_forgotten_when_old(void **state)
{
    struct db *db = *state;
    int64_t node = test_db_node(db, TEST_DB_TOKEN), id = test_db_user(db, "anna", 0, 0);
    push(db, node, "k", id, 1, 1, TEST_DB_NOW);
    assert_int_equal(db_traffic_prune(db, TEST_DB_NOW + DB_KEY_TTL_S - 1), ST_OK);
    assert_true(push(db, node, "k", id, 1, 1, TEST_DB_NOW + DB_KEY_TTL_S - 1).replayed);
    assert_int_equal(db_traffic_prune(db, TEST_DB_NOW + DB_KEY_TTL_S), ST_OK);
    assert_false(push(db, node, "k", id, 1, 1, TEST_DB_NOW + DB_KEY_TTL_S).replayed);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void two_handles_see_each_others_writes_and_the_file_is_private(void **state)
{
    (void)state;
    char path[] = "/tmp/v2sp-db-test-XXXXXX", error[DB_ERROR_MAX], other_file[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    struct db *a, *b;
    assert_int_equal(db_open(path, 0, &a, error), ST_E_NOTFOUND);
    assert_non_null(strstr(error, "v2sp panel init"));
    assert_int_equal(db_open(path, DB_CREATE, &a, error), ST_OK);
    assert_int_equal(db_open(path, 0, &b, error), ST_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int64_t v1, v2;
    assert_int_equal(db_users_version(a, &v1), ST_OK);
    test_db_user(b, "anna", 0, 0);
    assert_int_equal(db_users_version(a, &v2), ST_OK);
    assert_true(v1 != v2);
    db_close(a);
    db_close(b);
    unlink(path);
    for (int i = 0; i < 2; i++) {
        snprintf(other_file, sizeof other_file, "%s-%s", path, i == 0 ? "wal" : "shm");
        unlink(other_file);
    }
}

static void a_file_that_is_no_database_is_told(void **state)
{
    (void)state;
    char path[] = "/tmp/v2sp-db-test-XXXXXX", error[DB_ERROR_MAX];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(write(fd, "this is not a database\n", 23), 23);
    close(fd);
    struct db *db;
    assert_true(db_open(path, DB_CREATE, &db, error) < 0);
    assert_null(db);
    assert_non_null(strstr(error, path));
    unlink(path);
}

/* Opens @path after running @sql on it with SQLite alone. */
static enum status open_after(const char *path, const char *sql, char *error)
{
    sqlite3 *raw;
    struct db *db;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
    enum status st = db_open(path, DB_CREATE, &db, error);
    db_close(db);
    return st;
}

/* A database of the first version, with a node in it, gets what came later. */
static void an_older_database_is_brought_up_to_date(void **state)
{
    (void)state;
    char path[] = "/tmp/v2sp-db-test-XXXXXX", error[DB_ERROR_MAX] = "";
    struct db_node n, got;
    struct db *db;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(db_open(path, DB_CREATE, &db, error), ST_OK);
    db_node_init(&n);
    n.port = 443;
    assert_int_equal(db_node_add(db, &n), ST_OK);
    db_close(db);
    if (open_after(path,
                   "ALTER TABLE nodes DROP COLUMN cipher; ALTER TABLE nodes DROP COLUMN server_key;"
                   "ALTER TABLE nodes DROP COLUMN decryption; ALTER TABLE nodes DROP COLUMN "
                   "encryption; ALTER TABLE nodes DROP COLUMN block; PRAGMA user_version=1",
                   error) != ST_OK)
        fail_msg("%s", error);
    assert_int_equal(db_open(path, 0, &db, error), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &got), ST_OK);
    assert_string_equal(got.token, n.token);
    assert_string_equal(got.cipher, "");
    assert_string_equal(got.block, "");
    strcpy(got.block, "domain:a.example");
    assert_int_equal(db_node_update(db, &got), ST_OK);
    assert_int_equal(db_node_get(db, n.id, &got), ST_OK);
    assert_string_equal(got.block, "domain:a.example");
    db_close(db);
    unlink(path);
}

static void other_databases_and_newer_ones_are_left_alone(void **state)
{
    (void)state;
    char path[] = "/tmp/v2sp-db-test-XXXXXX", error[DB_ERROR_MAX];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(open_after(path, "CREATE TABLE cake (a)", error), ST_E_PROTO);
    assert_non_null(strstr(error, "not a panel's"));
    assert_int_equal(open_after(path, "DROP TABLE cake", error), ST_OK);
    assert_int_equal(open_after(path, "PRAGMA user_version=99", error), ST_E_UNSUPPORTED);
    assert_non_null(strstr(error, "newer"));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_comes_back_as_it_was_put, open_db, close_db),
        cmocka_unit_test_setup_teardown(unusable_nodes_are_refused_with_the_member_named, open_db,
                                        close_db),
        cmocka_unit_test_setup_teardown(what_one_protocol_has_is_kept, open_db, close_db),
        cmocka_unit_test_setup_teardown(json_members_are_set_and_removed, open_db, close_db),
        cmocka_unit_test_setup_teardown(users_are_found_by_id_name_and_uuid, open_db, close_db),
        cmocka_unit_test_setup_teardown(a_taken_name_or_uuid_is_told, open_db, close_db),
        cmocka_unit_test_setup_teardown(a_deleted_users_id_is_never_given_again, open_db, close_db),
        cmocka_unit_test_setup_teardown(the_list_leaves_out_who_may_not_be_served, open_db,
                                        close_db),
        cmocka_unit_test_setup_teardown(a_tied_user_is_on_its_nodes_only, open_db, close_db),
        cmocka_unit_test_setup_teardown(the_version_moves_with_the_lists_and_not_with_mere_traffic,
                                        open_db, close_db),
        cmocka_unit_test_setup_teardown(a_key_is_booked_once, open_db, close_db),
        cmocka_unit_test_setup_teardown(unknown_users_are_counted_and_left_alone, open_db,
                                        close_db),
        cmocka_unit_test_setup_teardown(large_numbers_stay_whole, open_db, close_db),
        cmocka_unit_test_setup_teardown(the_daily_books_outlive_reset_and_deletion, open_db,
                                        close_db),
        cmocka_unit_test_setup_teardown(devices_are_distinct_addresses_over_all_nodes, open_db,
                                        close_db),
        cmocka_unit_test_setup_teardown(alive_entries_last_five_minutes, open_db, close_db),
        cmocka_unit_test_setup_teardown(keys_are_forgotten_when_old, open_db, close_db),
        cmocka_unit_test(two_handles_see_each_others_writes_and_the_file_is_private),
        cmocka_unit_test(a_file_that_is_no_database_is_told),
        cmocka_unit_test(an_older_database_is_brought_up_to_date),
        cmocka_unit_test(other_databases_and_newer_ones_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
