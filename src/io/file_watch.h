/* io/file_watch.h - tells when files change that are replaced as editors, Kubernetes and certbot do
 * it: by renaming, or by turning a symbolic link. Watches directories, never the files themselves
 * (inotify(7) follows an inode, and a file that is replaced is another one): that of each file, and
 * that of each link on the way to it. Single-threaded. */
#ifndef IO_FILE_WATCH_H
#define IO_FILE_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct file_watch;
struct loop;

/* @changed is called @settle_ms after the last change of a row, but at the latest after five times
 * that: what writes several files is to be done. NULL with errno set: no inotify, or no memory. */
struct file_watch *file_watch_new(struct loop *l, uint32_t settle_ms, void (*changed)(void *arg),
                                  void *arg);
void file_watch_free(struct file_watch *w); /* NULL is fine */
/* Watches these paths (copied) and no others; they need not exist. A name may be a pattern
 * (glob(7)), a directory may not. What happens to paths watched before and after is never missed.
 * ST_OK; ST_E_IO: not all directories can be watched, *@err the first errno; ST_E_NOMEM: as
 * before. */
NODISCARD enum status file_watch_set(struct file_watch *w, const char *const *paths, size_t count,
                                     int *err);
/* Directories that are watched. */
size_t file_watch_count(const struct file_watch *w);

#endif
