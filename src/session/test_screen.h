/* session/test_screen.h - a data plane under block rules, for tests: a bench
 * (session/test_plane.h) whose node blocks blocked.example, localhost, BitTorrent and
 * 127.66.0.0/16 (rules 1 to 4), a target for datagrams, a name server, the last line about a block.
 * Nothing depends on time: where a wait must not end it is an hour. */
#ifndef SESSION_TEST_SCREEN_H
#define SESSION_TEST_SCREEN_H

#include <pthread.h>

#include "policy/audit_hits.h"
#include "policy/audit_list.h"
#include "session/test_plane.h"

#define TEST_SCREEN_HOUR (3600u * 1000)

struct test_screen {
    struct bench *b;
    struct arena *arena;
    struct audit_list *list[2];
    struct audit audit[2];
    struct audit_hits *hits;
    int udp; /* a target */
    uint16_t udp_port;
    int dns; /* the name server */
    char name_servers[32];
    struct log_sink sink, access;
    pthread_mutex_t lock;
    char line[512];    /* the last one about a block */
    char visits[512];  /* the access log */
    unsigned failures; /* lines about failed sessions */
};

int test_screen_setup(void **state);
int test_screen_teardown(void **state);
/* Rules for later: set @no (1; 0 are the node's), each line an item of a list. */
const struct audit *test_screen_rules(struct test_screen *s, unsigned no, const char *const *lines,
                                      size_t n);
/* Changes how long first bytes are waited for. */
void test_screen_sniff_for(struct test_screen *s, uint32_t first_ms, uint32_t whole_ms);

/* ---- what is seen ---- */

/* Nobody has asked for a name. All sessions have ended before. */
void test_screen_no_lookup(struct test_screen *s);
/* Answers what is asked for both families of a name: with these IPv4 addresses, and none of
 * IPv6. */
void test_screen_answer(struct test_screen *s, const char (*ips)[4], size_t n);
/* Nobody has connected to the test's target. All sessions have ended before. */
void test_screen_no_dial(struct test_screen *s);
/* @fd is ended as if its target could not be reached: nothing comes but the two bytes that VLESS
 * answers with; so often has a rule been hit, nothing was counted, and this was said last. */
void test_screen_blocked(struct test_screen *s, int fd, unsigned hits, const char *line);
/* These bytes come next. */
void test_screen_bytes(int fd, const void *data, size_t n);
/* So does the End of a stream whose target has failed. */
void test_screen_failed_end(int fd, uint16_t id);

/* ---- what is said ---- */

/* A VLESS request for a name; command 1 TCP, 2 UDP. Returns its size. */
size_t test_screen_header(struct test_screen *s, const char *name, uint8_t cmd, uint16_t port,
                          uint8_t *out);
/* Asks for the test's target by its address; accepts there. */
int test_screen_ask(struct test_screen *s);
int test_screen_accept(struct test_screen *s);
/* A carrier, nothing sent but the request; a stream in it, with its first data or NULL. */
int test_screen_carrier(struct test_screen *s);
void test_screen_new_stream(int fd, uint16_t id, uint8_t network, const char *ip, uint16_t port,
                            const void *data, size_t n);

#endif
