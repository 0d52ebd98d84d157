/* control/redis/device_script.h - what a store of devices (DeviceStore) is asked, and how its
 * answer is read. Pure.
 *
 * A user of a panel is a sorted set "<Prefix><panel>:<uid>" with a member "<network>@<process>" for
 * each of his devices in each process, its score the time it was last said, in seconds by the clock
 * of the store. One script does it all at once, so the order in which two processes ask decides
 * which of them has the last place. */
#ifndef CONTROL_REDIS_DEVICE_SCRIPT_H
#define CONTROL_REDIS_DEVICE_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "policy/devices.h"

#define DEVICE_SCRIPT_DEVICES 64 /* of a user in one process; more of them are not told */
#define DEVICE_SCRIPT_ARGS    (7 + DEVICE_SCRIPT_DEVICES)
#define DEVICE_SCRIPT_KEY_MAX 320

struct redisReply;

/* Lua, for Redis 5 and newer. */
extern const char device_script_text[];

struct device_question {
    const char *sha;     /* as SCRIPT LOAD has answered */
    const char *prefix;  /* of the key, at most 255 bytes */
    const char *panel;   /* in hexadecimal */
    const char *process; /* in hexadecimal, of this one */
    uint64_t uid;
    uint32_t limit; /* DEVICES_NO_LIMIT: none */
    uint32_t expiry_s;
    const struct device_seen *devices; /* the least quiet first */
    size_t count;                      /* <= DEVICE_SCRIPT_DEVICES */
};

/* A command, its arguments in @text. */
struct device_command {
    const char *argv[DEVICE_SCRIPT_ARGS];
    size_t len[DEVICE_SCRIPT_ARGS];
    int argc;
    char text[DEVICE_SCRIPT_KEY_MAX + 32 + 80 * DEVICE_SCRIPT_DEVICES];
};

/* Makes the EVALSHA that asks @q. @out borrows the texts of @q. */
void device_script_ask(const struct device_question *q, struct device_command *out);

struct device_verdict {
    uint32_t elsewhere; /* devices of his in other processes that are none of those asked about */
    size_t refused;     /* how many have no place */
    uint8_t index[DEVICE_SCRIPT_DEVICES]; /* which, in the order they were asked about */
};

/* @asked: how many devices it was asked about. ST_OK; ST_E_BUSY: the key holds something of
 * somebody else, only this user is concerned; ST_E_PROTO: this is no answer to it. */
NODISCARD enum status device_script_read(const struct redisReply *r, size_t asked,
                                         struct device_verdict *out);

#endif
