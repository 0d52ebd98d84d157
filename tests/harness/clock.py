"""A wall clock that jumps, for one process: a few lines of C, loaded before the C library, add what a file says to the
time of day. Timers, which run on the monotonic clock, do not notice, as when an administrator sets the clock."""
import mmap
import os
import shutil
import struct
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t shift(void)
{
    static const volatile int64_t *at;
    if (at == NULL) {
        const char *path = getenv("JUMPING_CLOCK");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0)
            close(fd);
        if (p == MAP_FAILED)
            return 0;
        at = p;
    }
    return *at;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    long rc = syscall(SYS_clock_gettime, id, ts);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ts->tv_sec += shift();
    return (int)rc;
}

time_t time(time_t *at)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (at != NULL)
        *at = ts.tv_sec;
    return ts.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec ts;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}
"""


class JumpingClock:
    """`env` is what the process needs; without a C compiler it is empty, and jumps() is false."""

    def __init__(self, directory):
        self.env, self._file = {}, os.path.join(str(directory), "clock")
        library, source = (os.path.join(str(directory), f"clock.{end}") for end in ("so", "c"))
        cc = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if not cc:
            return
        with open(source, "w") as f:
            f.write(SOURCE)
        with open(self._file, "wb") as f:
            f.write(bytes(4096))
        subprocess.run([cc, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
        # AddressSanitizer wants to be the first library; ours allocates nothing.
        asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
        self.env = {"LD_PRELOAD": library, "JUMPING_CLOCK": self._file, "ASAN_OPTIONS": asan}

    def jumps(self):
        return bool(self.env)

    def set(self, seconds):
        """So far ahead of the real time (or behind it) from now on."""
        with open(self._file, "r+b") as f, mmap.mmap(f.fileno(), 4096) as m:
            m[:8] = struct.pack("=q", seconds)
