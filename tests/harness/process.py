"""Child processes: started with a captured log, awaited by event, ended by pid, read through /proc."""
import os
import re
import resource
import signal
import subprocess
import time

from . import wait

CLOCK_TICK = os.sysconf("SC_CLK_TCK")


def raise_nofile(wanted=1 << 20):
    """Raises the descriptor limit as far as this user may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Process:
    """One program. Its standard output and error go to <directory>/<name>.log."""

    def __init__(self, name, argv, directory, env=None, cwd=None):
        self.name, self.argv = name, [str(a) for a in argv]
        self.log_path = os.path.join(directory, f"{name}.log")
        self.cwd, self.env = cwd, {**os.environ, **(env or {})}
        self.start()

    # -- life

    def start(self):
        """Begins, or begins again after the end, with a log() that is empty."""
        self._log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self._child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self.cwd, env=self.env)
        self.pid = self._child.pid
        self.stopped = False             # a test has asked it to end

    def alive(self):
        return self._child.poll() is None

    def signal(self, number):
        self._child.send_signal(number)

    def wait(self, timeout=30):
        """Exit status; negative is the signal that ended it."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout} s\n{self.tail()}") from None

    def stop(self, timeout=30):
        """SIGTERM, then SIGKILL when that does not help (and then it fails)."""
        self.stopped = True
        if self.alive():
            self.signal(signal.SIGTERM)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} ignored SIGTERM for {timeout} s\n{self.tail()}") from None
        return self._child.returncode

    def kill(self):
        if self.alive():
            self.signal(signal.SIGKILL)
        return self._child.wait()

    # -- log

    def log(self):
        with open(self.log_path, "rb") as f:
            f.seek(self._log_start)
            return f.read().decode("utf-8", "replace")

    def tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])

    def wait_log(self, pattern, timeout=10, count=1):
        """Waits until the regular expression was logged `count` times; returns the last match."""
        def seen():
            found = list(re.finditer(pattern, self.log(), re.M))
            if len(found) >= count:
                return found[-1]
            assert self.alive(), f"{self.name} ended with {self._child.returncode}\n{self.tail()}"
            return None
        return wait.until(seen, timeout, lambda: f"/{pattern}/ in the log of {self.name}\n{self.tail()}")

    def wait_port(self, port, host="127.0.0.1", timeout=30):
        """Waits until a TCP connect to the port succeeds."""
        def ready():
            assert self.alive(), f"{self.name} ended with {self._child.returncode}\n{self.tail()}"
            return wait.connectable(host, port)
        wait.until(ready, timeout, lambda: f"{self.name} listens on {host}:{port}\n{self.tail()}")

    # -- /proc

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"^VmRSS:\s+(\d+)", f.read(), re.M).group(1))

    def cpu_seconds(self):
        """User and system time of all its threads, those that have ended included."""
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICK

    def wait_fds(self, at_most, timeout=20):
        wait.until(lambda: self.fd_count() <= at_most, timeout,
                   lambda: f"{self.name} back to {at_most} descriptors, has {self.fd_count()}\n{self.tail(15)}")


def run(argv, timeout=30, env=None, cwd=None, text_input=None):
    """Runs a program to its end; returns (exit status, everything it printed)."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, env={**os.environ, **(env or {})}, cwd=cwd, check=False,
                          input=text_input, stdin=None if text_input is not None else subprocess.DEVNULL,
                          text=True)
    return done.returncode, done.stdout


def now():
    return time.monotonic()
