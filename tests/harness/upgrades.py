"""Programs that replace themselves: following a v2sp.Served through its processes."""
import ctypes
import os
import signal

from . import process, wait

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """From now on a process whose parent ends becomes a child of this one, so that its end can be seen."""
    assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


class Adopted(process.Process):
    """The process that serves in the place of another, in whose log it writes."""

    def __init__(self, before, pid):
        self.name, self.argv, self.env, self.cwd = before.name, before.argv, before.env, before.cwd
        self.log_path, self._log_start = before.log_path, before._log_start
        self.pid, self.stopped, self.returncode = pid, False, None

    def _poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            except ChildProcessError:        # its parent has not ended yet
                try:
                    # Its first thread may be gone before the others: only with them its parent is told.
                    with open(f"/proc/{self.pid}/stat") as f:
                        if f.read().rpartition(")")[2].split()[0] == "Z" and self._threads() == 1:
                            return -1
                except OSError:
                    self.returncode = 0
        return self.returncode

    def _threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def alive(self):
        return self._poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=30):
        wait.until(lambda: not self.alive(), timeout, lambda: f"{self.name} to end\n{self.tail()}")
        return self.returncode

    def stop(self, timeout=30):
        self.stopped = True
        if self.alive():
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        if self.alive():
            self.signal(signal.SIGKILL)
        return self.wait()


def follow(served, count=None, timeout=30):
    """Waits until another process serves in the place of `served.process`, which becomes that one. Returns the old one."""
    count = count if count is not None else len(ended(served)) + 1
    found = served.process.wait_log(r"upgrade: process (\d+) serves now", timeout, count)
    old = served.process
    # Until then the old one may take a few more.
    wait.until(lambda: old.log().count("connections are taken by this process now") >= count, timeout,
               lambda: f"the new process to begin\n{old.tail()}")
    served.process = Adopted(old, int(found.group(1)))
    ended(served).append(old)
    return old


def ended(served):
    """The earlier processes of `served`."""
    if not hasattr(served, "earlier"):
        served.earlier = []
    return served.earlier


def upgrade(served, timeout=30):
    """SIGUSR2, and waits until the new process serves. Returns the old one."""
    served.process.signal(signal.SIGUSR2)
    return follow(served, timeout=timeout)


def wait_all_left(served, timeout=40):
    """Waits until no earlier process is left; they end with status 0, or with 1 if what served in their place was killed,
    unless a test has killed them. (None: that of a process whose parent is one of them is not for us.)"""
    for p in ended(served):
        status = p.wait(timeout)
        good = (0, None, 1) if getattr(p, "forsaken", False) else (0, None)
        assert status in good or p.stopped, f"an earlier process ended with {status}\n{p.tail()}"
