#include "control/redis/device_script.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* KEYS: the user's set. ARGV: process, limit (0: none), expiry in seconds, then the networks of the
 * process, the least quiet first. Answer: devices elsewhere, then the numbers (from 1) of the
 * networks that have no place.
 *
 * Who is in the set already goes before who is new, and a network that another process has needs no
 * place of its own. Where there are too many all the same (the limit is smaller now) the
 * quietest of this process go; the others are asked by their own. */
const char device_script_text[] =
    "local now = tonumber(redis.call('TIME')[1])\n"
    "local key, me = KEYS[1], ARGV[1]\n"
    "local limit, expiry = tonumber(ARGV[2]), tonumber(ARGV[3])\n"
    "redis.call('ZREMRANGEBYSCORE', key, '-inf', now - expiry)\n"
    "local asked, known, theirs = {}, {}, {}\n"
    "for i = 4, #ARGV do asked[ARGV[i]] = true end\n"
    "local elsewhere = 0\n"
    "for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do\n"
    "  local net, who = string.match(member, '^(.*)@(.*)$')\n"
    "  if who == me then\n"
    "    if asked[net] then known[net] = true else redis.call('ZREM', key, member) end\n"
    "  elseif net and not theirs[net] then\n"
    "    theirs[net] = true\n"
    "    if not asked[net] then elsewhere = elsewhere + 1 end\n"
    "  end\n"
    "end\n"
    "local count, out = elsewhere, {}\n"
    "for i = 4, #ARGV do\n"
    "  if known[ARGV[i]] or theirs[ARGV[i]] then count = count + 1 end\n"
    "end\n"
    "for i = 4, #ARGV do\n"
    "  if not (known[ARGV[i]] or theirs[ARGV[i]]) then\n"
    "    if limit == 0 or count < limit then count = count + 1 else out[i] = true end\n"
    "  end\n"
    "end\n"
    "for i = #ARGV, 4, -1 do\n"
    "  if limit > 0 and count > limit and not out[i] and not theirs[ARGV[i]] then\n"
    "    out[i] = true\n"
    "    count = count - 1\n"
    "  end\n"
    "end\n"
    "local answer = {elsewhere}\n"
    "for i = 4, #ARGV do\n"
    "  if out[i] then\n"
    "    redis.call('ZREM', key, ARGV[i] .. '@' .. me)\n"
    "    answer[#answer + 1] = i - 3\n"
    "  else\n"
    "    redis.call('ZADD', key, now, ARGV[i] .. '@' .. me)\n"
    "  end\n"
    "end\n"
    "redis.call('EXPIRE', key, expiry)\n"
    "return answer\n";

/* Appends an argument whose text is at @at; returns where the next may be. */
static char *add(struct device_command *c, char *at, int len)
{
    c->argv[c->argc] = at;
    c->len[c->argc++] = (size_t)len;
    return at + len + 1;
}

static void add_text(struct device_command *c, const char *text)
{
    c->argv[c->argc] = text;
    c->len[c->argc++] = strlen(text);
}

void device_script_ask(const struct device_question *q, struct device_command *out)
{
    char *at = out->text, ip[ADDR_STRLEN];
    uint32_t limit = q->limit == DEVICES_NO_LIMIT ? 0 : q->limit;

    out->argc = 0;
    add_text(out, "EVALSHA");
    add_text(out, q->sha);
    add_text(out, "1");
    at = add(
        out, at,
        snprintf(at, DEVICE_SCRIPT_KEY_MAX, "%.255s%.32s:%" PRIu64, q->prefix, q->panel, q->uid));
    add_text(out, q->process);
    at = add(out, at, snprintf(at, 16, "%" PRIu32, limit));
    at = add(out, at, snprintf(at, 16, "%" PRIu32, q->expiry_s));
    for (size_t i = 0; i < q->count && i < DEVICE_SCRIPT_DEVICES; i++) {
        const struct device_seen *d = &q->devices[i];
        at = add(out, at, snprintf(at, 80, "%s/%u", addr_ip_str(&d->ip, ip), d->bits));
    }
}

enum status device_script_read(const struct redisReply *r, size_t asked, struct device_verdict *out)
{
    out->refused = 0;
    /* Redis 7 begins with it, 5 and 6 have it behind the name and line of the script. */
    if (r->type == REDIS_REPLY_ERROR && strstr(r->str, "WRONGTYPE ") != NULL)
        return ST_E_BUSY;
    if (r->type != REDIS_REPLY_ARRAY || r->elements == 0 || r->elements > asked + 1)
        return ST_E_PROTO;
    for (size_t i = 0; i < r->elements; i++) {
        const struct redisReply *e = r->element[i];
        if (e->type != REDIS_REPLY_INTEGER || e->integer < 0 || e->integer > INT32_MAX)
            return ST_E_PROTO;
        if (i == 0)
            out->elsewhere = (uint32_t)e->integer;
        else if (e->integer == 0 || (size_t)e->integer > asked)
            return ST_E_PROTO;
        else
            out->index[out->refused++] = (uint8_t)(e->integer - 1);
    }
    return ST_OK;
}
