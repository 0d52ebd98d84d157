"""What it costs a node of 100,000 users to ask its panel, with and without news, and what a session notices of it."""
import os
import subprocess
import sys
import time

from harness import origins, ports, spec, v2sp, wait

CASES = {"polls": "vless", "vmess-polls": "vmess"}
USERS = 100_000
CHANGES = (100, 10_000)
QUIET_POLLS = 4


def crowd(generation=0, changed=0):
    """The first `changed` of the users have another uuid in each generation; the one who is connected never has."""
    others = [{"id": i, "uuid": f"{i:08x}-{generation if i <= changed + 1 else 0:04x}-4000-8000-"
                                f"{i * 2654435761 % (1 << 48):012x}"} for i in range(2, USERS + 1)]
    return [{"id": 1, "uuid": spec.USER}, *others]


def cpu_ns(pid):
    """CPU time of all threads; finer than the clock ticks of /proc/PID/stat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total


class Pulse:
    """See pulse.py."""

    def __init__(self, node, echo):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pulse.py")
        self.child = subprocess.Popen([sys.executable, "-B", script, node.listen, str(node.port), str(echo.port), spec.USER,
                                       node.protocol], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.worst()

    def worst(self):
        """Milliseconds of the longest echo since the last call."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return float(self.child.stdout.readline())

    def stop(self):
        self.child.stdin.close()
        self.child.wait(10)


def run(case, runs, work, results):
    for i in range(runs):
        node = spec.Node(port=ports.free_port(), protocol=CASES[case])
        directory = work / f"{case}-{i}"
        directory.mkdir()
        with origins.Tcp() as echo:
            served = v2sp.Served(node, directory, push=60, pull=5, top={"Log": {"Level": "warning"}})
            served.panel.set_users(1, crowd())
            served.start()
            try:
                _measure(case, served, echo, results)
            finally:
                served.stop()


def _after(panel, code, n, f=lambda: None):
    """f, then n more answers of that kind, and a moment for what the node does with the last one."""
    before = panel.count("user", code)
    f()
    wait.until(lambda: panel.count("user", code) >= before + n, 30 + 6 * n, f"{n} answers {code}")
    time.sleep(1)


def _measure(case, served, echo, results):
    panel, pid = served.panel, served.process.pid
    _after(panel, 304, 1)
    before = cpu_ns(pid)
    _after(panel, 304, QUIET_POLLS)
    results.add(case, "v2sp", "CPU-ms/poll unchanged", (cpu_ns(pid) - before) / QUIET_POLLS / 1e6)
    pulse = Pulse(served.node, echo)
    try:
        pulse.worst()
        _after(panel, 304, 1)
        results.add(case, "v2sp", "worst ms, unchanged", pulse.worst())
        for n in CHANGES:
            _after(panel, 304, 1)
            pulse.worst()
            _after(panel, 200, 1, lambda n=n: panel.set_users(1, crowd(n % 65521, n)))
            results.add(case, "v2sp", f"worst ms, {n} changed", pulse.worst())
    finally:
        pulse.stop()
    for n in CHANGES:
        _after(panel, 304, 1)
        before = cpu_ns(pid)
        _after(panel, 200, 1, lambda n=n: panel.set_users(1, crowd(n % 65521 + 1, n)))
        results.add(case, "v2sp", f"CPU-ms, {n} changed", (cpu_ns(pid) - before) / 1e6)


