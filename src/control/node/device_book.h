/* control/node/device_book.h - the devices of users, counted over all nodes of the process that
 * belong to one panel: the same ApiHost. Its nodes have tokens of their own often enough, so a
 * token makes no other panel. Control thread; inside control only. */
#ifndef CONTROL_NODE_DEVICE_BOOK_H
#define CONTROL_NODE_DEVICE_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "policy/user_devices.h"

struct device_book;
struct device_ask;  /* device_sync.c */
struct device_sync; /* device_sync.h */
struct node;
struct node_env;

#define DEVICE_PANEL_ID 17 /* hexadecimal, with its NUL */

/* A user of a panel who has a device limit somewhere; many, so the members are in an order without
 * holes. */
struct device_user {
    struct user_devices devices;     /* first */
    struct device_user *next;        /* in the panel's table */
    struct list lowered;             /* linked while the limit is smaller than those in may know */
    uint32_t lowered_to, lowered_by; /* the limit; number of the node */
    uint32_t panel_says;             /* devices elsewhere by the panel's alivelist ... */
    uint32_t store_says;             /* ... and by the store */
    int64_t panel_said_s;            /* when the panel did, monotonic */
    /* device_sync.h */
    struct list due;           /* linked while the store is to be asked */
    uint64_t due_ms;           /* when */
    struct device_ask *asking; /* NULL: it is not being asked */
    struct message changed;    /* from a worker to the control thread ... */
    atomic_flag queued;        /* ... on its way */
    bool poked;                /* there is news since the store was asked */
    bool set_aside;            /* his key in the store holds something else */
};

/* The nodes and users of one panel; lives as long as either. */
struct device_panel {
    struct device_book *book;
    struct list link;  /* in the book */
    struct list nodes; /* node.panel_link */
    struct list lowered;
    struct timer end; /* armed: sessions of devices without a place are to end */
    unsigned refs;
    struct device_user **table;
    size_t size, count;
    struct user_devices_owner owner;
    struct device_sync *sync; /* NULL: there is no store */
    _Atomic bool watched;     /* = there is one, for the workers */
    char id[DEVICE_PANEL_ID]; /* the same in every process with this ApiHost */
    char host[];              /* normalised */
};

static inline struct device_panel *device_user_panel(const struct device_user *u)
{
    return LIST_ENTRY(u->devices.owner, struct device_panel, owner);
}

/* NULL: no memory. @env's loop and plane are used. */
struct device_book *device_book_new(struct node_env *env);
/* All nodes and users are gone. NULL is fine. */
void device_book_free(struct device_book *b);
/* Calls @fn for each panel. */
void device_book_each(const struct device_book *b,
                      void (*fn)(void *arg, const struct device_panel *p), void *arg);
/* NULL: no panel has this device_panel_number. */
struct device_panel *device_book_find(const struct device_book *b, uint64_t number);
/* Calls @fn for each panel of the configuration that has a store. */
void device_book_each_store(const struct device_book *b,
                            void (*fn)(void *arg, const struct device_panel *p), void *arg);
/* The configuration has changed: the store of a panel is that of its first node that has one. */
void device_book_follow(struct device_book *b);

/* Its id as a number: two processes mean the same panel by it. */
uint64_t device_panel_number(const struct device_panel *p);
/* Enters @n into the panel of its ApiHost. False: no memory. */
bool device_panel_join(struct device_book *b, struct node *n);
void device_panel_leave(struct node *n); /* harmless without one */

/* The devices of @uid, made if need be, with a reference for user_devices_unref. NULL: no
 * memory. */
struct user_devices *device_panel_take(struct device_panel *p, uint64_t uid);
/* NULL: no node of the panel has a device limit for him. */
struct device_user *device_panel_find(const struct device_panel *p, uint64_t uid);
/* A user of node @node_no may have @limit devices from now on and may have more. */
void device_panel_lowered(struct device_panel *p, struct user_devices *ud, uint32_t limit,
                          uint32_t node_no);
/* What lies over the limits that @n has lowered loses its place. */
void device_panel_trim(struct node *n);

/* Stores what counts as elsewhere of @u now. */
void device_user_weigh(struct device_user *u);
/* In a moment, ends the sessions of devices without a place, on all nodes of @p. */
void device_panel_end(struct device_panel *p);
/* All users of @p, in no order. */
void device_panel_each(struct device_panel *p, void (*fn)(struct device_user *));
struct node_env *device_panel_env(const struct device_panel *p);
uint32_t device_panel_now_s(const struct device_panel *p); /* as the workers count */

#endif
