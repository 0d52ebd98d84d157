/* session/workers_state.h - the set of workers inside: what the files of this module share. */
#ifndef SESSION_WORKERS_STATE_H
#define SESSION_WORKERS_STATE_H

#include "session/workers.h"

struct mailbox;

struct workers {
    struct workers_conf conf;
    struct mailbox *to_control;
    struct worker *list[WORKERS_MAX];
    unsigned made, running;
    struct xudp_table *xudp;
    /* workers that still have a removed node; control thread only */
    unsigned gone_pending[VIEW_NODES_MAX];
    _Atomic bool uncounted_said; /* that sources of private networks are no devices */
};

/* workers_stats.c: three calls of struct plane, @self a struct workers. */
void workers_plane_stats(void *self, uint32_t node_no, struct plane_stats *out);
void workers_plane_worker(void *self, unsigned no, struct plane_worker *out);
void workers_plane_causes(void *self, uint32_t node_no,
                          void (*fn)(void *arg, const char *text, uint64_t count), void *arg);

/* workers_ask.c: the calls of struct plane that all workers have to answer; @self likewise. */
void workers_plane_collect_alive(void *self, uint32_t node_no);
void workers_plane_collect_online(void *self, uint32_t node_no, const struct user_rt *u,
                                  void (*done)(void *arg, const struct plane_online *list,
                                               size_t n),
                                  void *arg);
void workers_plane_count_devices(void *self, uint32_t node_no);
void workers_plane_end_devices(void *self, uint32_t node_no);

#endif
