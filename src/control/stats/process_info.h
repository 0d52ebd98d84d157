/* control/stats/process_info.h - what the kernel and the allocator say about this process. */
#ifndef CONTROL_STATS_PROCESS_INFO_H
#define CONTROL_STATS_PROCESS_INFO_H

#include <stdint.h>

struct process_info {
    uint64_t resident; /* bytes of memory that are really there */
    uint64_t heap;     /* bytes handed out by malloc at the moment; buffers of workers are not */
    uint64_t threads, fds, fds_max;
    uint64_t cpu_us;   /* used since start, all threads */
    uint64_t uptime_s; /* since the process started */
    int64_t start_s;   /* unix time of that */
};

/* What cannot be found out is 0. */
void process_info_read(struct process_info *out);

#endif
