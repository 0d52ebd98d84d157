/* Field numbers: google/protobuf/descriptor.proto and grpc/reflection/v1/reflection.proto. */
#include "control/server/grpc_reflection.h"

#include <stdio.h>
#include <string.h>

#include "codec/protobuf.h"
#include "control/server/grpc_server.h"

#define PART_MAX 1024u
#define FILE_MAX 8192u

enum type { T_BOOL = 8, T_INT64 = 3, T_UINT32 = 13, T_UINT64 = 4, T_STRING = 9, T_MESSAGE = 11 };

struct field_row {
    const char *name;
    uint8_t type, repeated;
    const char *of; /* of T_MESSAGE */
};

struct message_row {
    const char *name;
    struct field_row fields[10]; /* numbered from 1; without a name: a gap */
    const char *map;             /* name of its one nested map entry, string to int64 */
};

static const struct message_row messages[] = {
    {"GetStatsRequest", {{"name", T_STRING, 0, NULL}, {"reset", T_BOOL, 0, NULL}}, NULL},
    {"Stat", {{"name", T_STRING, 0, NULL}, {"value", T_INT64, 0, NULL}}, NULL},
    {"GetStatsResponse", {{"stat", T_MESSAGE, 0, "Stat"}}, NULL},
    {"QueryStatsRequest",
     {{"pattern", T_STRING, 0, NULL},
      {"reset", T_BOOL, 0, NULL},
      {"patterns", T_STRING, 1, NULL},
      {"regexp", T_BOOL, 0, NULL}},
     NULL},
    {"QueryStatsResponse", {{"stat", T_MESSAGE, 1, "Stat"}}, NULL},
    {"SysStatsRequest", {{NULL, 0, 0, NULL}}, NULL},
    {"SysStatsResponse",
     {{"NumGoroutine", T_UINT32, 0, NULL},
      {"NumGC", T_UINT32, 0, NULL},
      {"Alloc", T_UINT64, 0, NULL},
      {"TotalAlloc", T_UINT64, 0, NULL},
      {"Sys", T_UINT64, 0, NULL},
      {"Mallocs", T_UINT64, 0, NULL},
      {"Frees", T_UINT64, 0, NULL},
      {"LiveObjects", T_UINT64, 0, NULL},
      {"PauseTotalNs", T_UINT64, 0, NULL},
      {"Uptime", T_UINT32, 0, NULL}},
     NULL},
    {"GetStatsOnlineIpListResponse",
     {{"name", T_STRING, 0, NULL}, {"ips", T_MESSAGE, 1, "GetStatsOnlineIpListResponse.IpsEntry"}},
     "IpsEntry"},
    {"GetAllOnlineUsersRequest", {{NULL, 0, 0, NULL}}, NULL},
    {"GetAllOnlineUsersResponse", {{"users", T_STRING, 1, NULL}}, NULL},
    {"GetUsersStatsRequest",
     {{"include_traffic", T_BOOL, 0, NULL}, {"reset", T_BOOL, 0, NULL}},
     NULL},
    {"OnlineIPEntry", {{"ip", T_STRING, 0, NULL}, {"last_seen", T_INT64, 0, NULL}}, NULL},
    {"TrafficUserStat", {{"uplink", T_INT64, 0, NULL}, {"downlink", T_INT64, 0, NULL}}, NULL},
    {"UserStat",
     {{"email", T_STRING, 0, NULL},
      {"ips", T_MESSAGE, 1, "OnlineIPEntry"},
      {"traffic", T_MESSAGE, 0, "TrafficUserStat"}},
     NULL},
    {"GetUsersStatsResponse", {{"users", T_MESSAGE, 1, "UserStat"}}, NULL},
};

static const struct {
    const char *name, *in, *out;
} methods[] = {
    {"GetStats", "GetStatsRequest", "GetStatsResponse"},
    {"GetStatsOnline", "GetStatsRequest", "GetStatsResponse"},
    {"QueryStats", "QueryStatsRequest", "QueryStatsResponse"},
    {"GetSysStats", "SysStatsRequest", "SysStatsResponse"},
    {"GetStatsOnlineIpList", "GetStatsRequest", "GetStatsOnlineIpListResponse"},
    {"GetAllOnlineUsers", "GetAllOnlineUsersRequest", "GetAllOnlineUsersResponse"},
    {"GetUsersStats", "GetUsersStatsRequest", "GetUsersStatsResponse"},
};

static const char *const packages[] = {"xray.app.stats.command", "v2ray.core.app.stats.command"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void put_text(struct protobuf_writer *w, uint32_t number, const char *text)
{
    protobuf_put_bytes(w, number, text, strlen(text));
}

static void put_type(struct protobuf_writer *w, uint32_t number, const char *package,
                     const char *name)
{
    char full[160];
    int n = snprintf(full, sizeof(full), ".%s.%s", package, name);
    protobuf_put_bytes(w, number, full, (size_t)n);
}

static void put_field(struct protobuf_writer *to, const char *package, const struct field_row *f,
                      uint32_t number)
{
    uint8_t buf[256];
    struct protobuf_writer w = {.p = buf, .cap = sizeof(buf)};

    put_text(&w, 1, f->name);
    protobuf_put_number(&w, 3, number);
    protobuf_put_number(&w, 4, f->repeated ? 3 : 1);
    protobuf_put_number(&w, 5, f->type);
    if (f->of != NULL)
        put_type(&w, 6, package, f->of);
    protobuf_put_bytes(to, 2, buf, w.len);
}

static void put_map_entry(struct protobuf_writer *to, const char *package, const char *name)
{
    static const struct field_row key = {"key", T_STRING, 0, NULL},
                                  value = {"value", T_INT64, 0, NULL};
    uint8_t buf[PART_MAX];
    struct protobuf_writer w = {.p = buf, .cap = sizeof(buf)};

    put_text(&w, 1, name);
    put_field(&w, package, &key, 1);
    put_field(&w, package, &value, 2);
    protobuf_put_bytes(&w, 7, "\x38\x01", 2); /* map_entry */
    protobuf_put_bytes(to, 3, buf, w.len);
}

static void put_message(struct protobuf_writer *to, const char *package,
                        const struct message_row *m)
{
    uint8_t buf[PART_MAX];
    struct protobuf_writer w = {.p = buf, .cap = sizeof(buf)};

    put_text(&w, 1, m->name);
    for (uint32_t i = 0; i < COUNT(m->fields) && m->fields[i].name != NULL; i++)
        put_field(&w, package, &m->fields[i], i + 1);
    if (m->map != NULL)
        put_map_entry(&w, package, m->map);
    BUG_ON(w.full);
    protobuf_put_bytes(to, 4, buf, w.len);
}

/* A FileDescriptorProto that describes all of the package. */
static void put_file(struct protobuf_writer *w, const char *package)
{
    uint8_t service[PART_MAX * 2], method[PART_MAX];
    char name[96];
    struct protobuf_writer s = {.p = service, .cap = sizeof(service)};

    snprintf(name, sizeof(name), "%s.proto", package);
    put_text(w, 1, name);
    put_text(w, 2, package);
    for (size_t i = 0; i < COUNT(messages); i++)
        put_message(w, package, &messages[i]);
    put_text(&s, 1, "StatsService");
    for (size_t i = 0; i < COUNT(methods); i++) {
        struct protobuf_writer m = {.p = method, .cap = sizeof(method)};
        put_text(&m, 1, methods[i].name);
        put_type(&m, 2, package, methods[i].in);
        put_type(&m, 3, package, methods[i].out);
        protobuf_put_bytes(&s, 2, method, m.len);
    }
    protobuf_put_bytes(w, 6, service, s.len);
    put_text(w, 12, "proto3");
    BUG_ON(w->full || s.full);
}

static void put_services(struct protobuf_writer *w)
{
    for (size_t i = 0; i < COUNT(packages); i++) {
        uint8_t buf[128];
        char name[96];
        struct protobuf_writer s = {.p = buf, .cap = sizeof(buf)};
        snprintf(name, sizeof(name), "%s.StatsService", packages[i]);
        put_text(&s, 1, name);
        protobuf_put_bytes(w, 1, buf, s.len);
    }
}

/* Writes the answer to the one question @f; returns the number of its field in the response. */
static uint32_t put_answer(struct protobuf_writer *w, const struct protobuf_field *f)
{
    uint8_t file[FILE_MAX];

    if (f->number == 7) {
        put_services(w);
        return 6;
    }
    for (size_t i = 0; i < COUNT(packages) && (f->number == 3 || f->number == 4); i++) {
        size_t n = strlen(packages[i]);
        /* The file is called as the package, and all symbols begin so. */
        if (f->len <= n || memcmp(f->data, packages[i], n) != 0 || f->data[n] != '.')
            continue;
        struct protobuf_writer d = {.p = file, .cap = sizeof(file)};
        put_file(&d, packages[i]);
        protobuf_put_bytes(w, 1, file, d.len);
        return 4;
    }
    protobuf_put_number(w, 1, GRPC_NOT_FOUND);
    put_text(w, 2, "proto: not found");
    return 7;
}

void grpc_reflection_answer(void *arg, struct grpc_call *call, const uint8_t *message, size_t len)
{
    uint8_t part[FILE_MAX + 64], whole[FILE_MAX + 2048];
    struct protobuf_reader r = {message, message + len};
    struct protobuf_field f, asked = {0};
    struct protobuf_writer w = {.p = whole, .cap = sizeof(whole)};
    struct protobuf_writer p = {.p = part, .cap = sizeof(part)};
    enum status st;

    (void)arg;
    while ((st = protobuf_next(&r, &f)) == ST_OK)
        if (f.number >= 3 && f.number <= 7 && f.type == PROTOBUF_BYTES)
            asked = f;
    if (st != ST_EOF || len > 1024) {
        grpc_call_fail(call, GRPC_INVALID_ARGUMENT, "no ServerReflectionRequest");
        return;
    }
    uint32_t number = put_answer(&p, &asked);
    protobuf_put_bytes(&w, 2, message, len);
    protobuf_put_bytes(&w, number, part, p.len);
    BUG_ON(w.full || p.full);
    grpc_call_send(call, whole, w.len);
}
