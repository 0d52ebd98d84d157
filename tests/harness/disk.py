"""A small disk of our own, in a mount namespace that a waiting process keeps: it outlives what runs on it."""
import errno
import os
import subprocess

MOUNT = 'mount -t tmpfs -o size=%s none "$1" && echo mounted && exec sleep infinity'


class NoDisk(Exception):
    """No mount namespaces here."""


class SmallDisk:
    """`enter` comes before the command of a process that shall see the disk in `directory`."""

    def __init__(self, directory, size):
        root = os.geteuid() == 0
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "-m" if root else "-rm", "sh", "-c", MOUNT % size, "sh", self.directory],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self._holder.stdout.readline() != b"mounted\n":
            self.stop()
            raise NoDisk
        self.enter = ["nsenter", *([] if root else ["-U", "--preserve-credentials"]), "-m", "-t", str(self._holder.pid)]
        self.seen = f"/proc/{self._holder.pid}/root{self.directory}"        # the same, from here
        self.full = False

    def fill(self):
        with open(os.path.join(self.seen, "filler"), "ab", buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        f.write(bytes(size))
                except OSError as e:
                    assert e.errno == errno.ENOSPC
        self.full = True

    def free(self):
        if self.full:
            os.unlink(os.path.join(self.seen, "filler"))
        self.full = False

    def stop(self):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()
