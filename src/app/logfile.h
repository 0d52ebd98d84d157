/* app/logfile.h - where log lines end up: standard error, or a file with its own rotation.
 *
 * Any thread may write at any time, without a lock: each line is one write(2) on a descriptor whose
 * number never changes; another file is put under it with dup3(2). A line that cannot be written at
 * once is dropped and counted, never waited for, but for a regular file on a slow disk. Lines that
 * the file refuses (disk full) go to standard error instead, and one line there says why. The
 * process must ignore SIGPIPE. Rotation renames FILE to FILE.20261121T115407Z (UTC) and removes
 * what is too many or too old. */
#ifndef APP_LOGFILE_H
#define APP_LOGFILE_H

#include <stdint.h>

#include "base/log.h"
#include "base/status.h"

struct logfile;

struct logfile_conf {
    const char *path;      /* "" = standard error; copied */
    uint32_t max_size_mb;  /* rotate when larger; 0 = never */
    uint32_t max_backups;  /* rotated files to keep; 0 = all */
    uint32_t max_age_days; /* remove rotated files that are older; 0 = never */
};

/* Begins with standard error. NULL: no memory or no descriptor. */
struct logfile *logfile_new(void);
void logfile_free(struct logfile *f); /* nobody may write any more; NULL is fine */
/* Takes effect at once, at start and at each reload. The file is appended to, made with mode 0640,
 * its directory with 0750. ST_OK; ST_E_IO with the errno in @why: then everything stays as it was;
 * ST_E_NOMEM. One thread at a time. */
NODISCARD enum status logfile_configure(struct logfile *f, const struct logfile_conf *conf,
                                        struct why *why);
/* Opens the path anew, after somebody else has renamed the file (SIGUSR1). Same answers and rules
 * as logfile_configure. */
NODISCARD enum status logfile_reopen(struct logfile *f, struct why *why);
struct log_sink *logfile_sink(struct logfile *f); /* lives as long as @f */
/* Lines that reached neither file nor standard error since start. */
uint64_t logfile_lost(const struct logfile *f);

#endif
