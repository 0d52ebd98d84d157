/* control/node/rule_lists.h - the block rules that nodes have, compiled: one list for all nodes
 * whose panel says the same, or that name the same file. Control thread.
 *
 * A list is not made again as long as somebody holds it and its source is what it was. */
#ifndef CONTROL_NODE_RULE_LISTS_H
#define CONTROL_NODE_RULE_LISTS_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/list.h"
#include "policy/audit_list.h"

#define RULE_LIST_FILE_MAX (16u * 1024 * 1024) /* bytes */
#define RULE_LIST_NOTES    8                   /* bad rules that are named */
#define RULE_LIST_NOTE_MAX 240

struct arena;
struct json_t;
struct rule_lists;

/* Says whether a file is still the one that was read. */
struct rule_stamp {
    uint64_t device, inode;
    int64_t size;
    struct timespec changed;
};

struct rule_list {
    struct list link;
    unsigned refs;
    struct arena *arena;
    struct audit_list *list; /* NULL: no rule in it */
    uint8_t digest[32];      /* of a panel's */
    const char *path;        /* of a file; NULL: a panel's */
    struct rule_stamp stamp;
    char notes[RULE_LIST_NOTES][RULE_LIST_NOTE_MAX]; /* what is wrong with it, for the log */
    unsigned note_count;
    size_t more; /* rules that are skipped without a note */
};

/* NULL: no memory. */
struct rule_lists *rule_lists_new(void);
/* Lists that are held still live on. NULL is fine. */
void rule_lists_free(struct rule_lists *s);
/* The list of a panel's @routes (NULL: none). *@out has a reference of its own; NULL: they say
 * nothing about blocking. ST_OK; ST_E_NOMEM; ST_E_CRYPTO. */
NODISCARD enum status rule_lists_panel(struct rule_lists *s, const struct json_t *routes,
                                       struct rule_list **out);
/* The list in the file @path, one rule a line. *@out has a reference of its own. ST_OK; ST_E_IO: it
 * cannot be read (*@error is the errno; EFBIG over RULE_LIST_FILE_MAX); ST_E_NOMEM. */
NODISCARD enum status rule_lists_file(struct rule_lists *s, const char *path,
                                      struct rule_list **out, int *error);
struct rule_list *rule_list_ref(struct rule_list *l); /* NULL is fine */
void rule_list_unref(struct rule_list *l);            /* NULL is fine */
uint32_t rule_list_count(const struct rule_list *l);  /* rules in use; 0 for NULL */
/* The file is there and not what was read. */
bool rule_list_is_stale(const struct rule_list *l);

#endif
