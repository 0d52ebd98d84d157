"""How close a limited user comes to his limit: the average of ten seconds over many connections, at many rates. Then how
a total of the node is kept and shared, how soon a changed limit counts, and what a limit costs."""
import glob
import signal
import socket
import threading
import time

import rig
from harness import ports, socks5, spec, v2sp, xray

RATES = (1, 10, 100, 1000)      # Mbit/s
CONNECTIONS = (1, 8, 64)
SECONDS = 10
MBIT = 125_000


class Reader(threading.Thread):
    """Downloads the big file again and again until told to stop; `moved` grows."""

    def __init__(self, proxy, web, path="/big"):
        super().__init__(daemon=True)
        self.proxy, self.web, self.path, self.moved, self.over = proxy, web, path, 0, False
        self.start()

    def run(self):
        scratch = bytearray(1 << 20)
        while not self.over:
            try:
                with socks5.connect(self.proxy, "127.0.0.1", self.web) as s:
                    # Asked for in advance: at the end of a connection the client waits for a second.
                    s.sendall(f"GET {self.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 20)
                    while not self.over:
                        n = s.recv_into(scratch, len(scratch), socket.MSG_TRUNC)
                        if n == 0:
                            break
                        self.moved += n
            except OSError:
                pass


def measure(loads, web):
    """Bytes a second over SECONDS, after a while in which what a rested user has saved is gone: one number for each of
    `loads`, which are a proxy and how many connections go through it."""
    loads = [[Reader(proxy, web) for _ in range(n)] for proxy, n in loads]

    def moved():
        return [sum(r.moved for r in load) for load in loads]

    try:
        time.sleep(2)
        start, before = time.monotonic(), moved()
        time.sleep(SECONDS)
        seconds = time.monotonic() - start
        return [(m - b) / seconds for m, b in zip(moved(), before)]
    finally:
        for r in sum(loads, []):
            r.over = True


def run(runs, work, results):
    origins = rig.Origins(work / "origins-limits")
    try:
        for i in range(runs):
            _users(work / f"limits-{i}", origins, results)
            _totals(work / f"totals-{i}", origins, results)
            _changes(work / f"changes-{i}", origins, results)
            _costs(work / f"costs-{i}", origins, results)
    finally:
        origins.stop()


class Rig:
    """A node in `directory` and one client for each of its users; `panel` is the node's."""

    def __init__(self, directory, **node):
        directory.mkdir(parents=True)
        self.node = spec.Node(port=ports.free_port(), **node)
        self.served = v2sp.Served(self.node, directory, push=60, pull=60, top={"Log": {"Level": "warning"}}).start()
        self.clients, self.proxies = [], []
        for uid, user in self.node.users:
            (directory / str(uid)).mkdir()
            client, proxy = xray.start_client(self.node, spec.Client(user=user), directory / str(uid), loglevel="error")
            self.clients.append(client)
            self.proxies.append(proxy)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for c in self.clients:
            c.stop()
        self.served.stop()


def _users(directory, origins, results):
    for mbps in RATES:
        for n in CONNECTIONS:
            with Rig(directory / f"{mbps}-{n}", limits={1: {"speed_limit": mbps}}) as r:
                rate = sum(measure([(r.proxies[0], n)], origins.web))
                results.add("limits", "v2sp", f"% of {mbps} Mbit/s, {n}", 100 * rate / (mbps * MBIT))


def _totals(directory, origins, results):
    """Two users, one with 64 connections, one with one; the second's part of what they have together should be a
    half."""
    for mbps in RATES[1:]:
        with Rig(directory / str(mbps), users=[(1, spec.USER), (2, spec.BOB)],
                 options={"NodeTotalSpeedLimit": mbps}) as r:
            many, one = measure(zip(r.proxies, (64, 1)), origins.web)
            results.add("limits", "v2sp", f"% of a node's {mbps} Mbit/s", 100 * (many + one) / (mbps * MBIT))
            results.add("limits", "v2sp", f"% of it the one of 65 has, {mbps}", 100 * one / (many + one))


def _moves_at(reader, least, most, seconds=5):
    """Seconds until the end of the first tenth of a second in which the reader's rate is between the two."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        at, before = time.monotonic(), reader.moved
        time.sleep(0.1)
        if least <= (reader.moved - before) / (time.monotonic() - at) <= most:
            return time.monotonic() - start
    return seconds


def _changes(directory, origins, results):
    """From the SIGHUP on, so the time to read the file is in it; a spliced download that goes on all the time."""
    limits = {"unlimited to 20": 20, "20 to unlimited": 0}
    with Rig(directory) as r:
        reader = Reader(r.proxies[0], origins.web)
        time.sleep(2)
        for what, mbps in limits.items():
            r.served.reconfigure(extra={"LimitConfig": {"NodeTotalSpeedLimit": mbps}})
            r.served.process.signal(signal.SIGHUP)
            seconds = _moves_at(reader, 0, 25 * MBIT) if mbps else _moves_at(reader, 200 * MBIT, 1e12)
            results.add("limits", "v2sp", f"s from {what} Mbit/s", seconds)
            time.sleep(1)
        reader.over = True


def _cpu(pid):
    return sum(int(open(t).read().split()[0]) for t in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1e9


def _costs(directory, origins, results):
    """CPU time of the server alone, and of client, server and web server together: without a limit and as fast as it
    goes, with a limit of 1000 Mbit/s, and without one where the web server sends no faster than that. In the last two
    the socket to the client is empty when bytes come, so the kernel sends them in the server's time; at full speed it
    sends when the client says that it has read, in the client's time."""
    for what, mbps, path in (("unlimited", 0, "/big"), ("limited to 1000", 1000, "/big"),
                             ("unlimited, of a site's 1000", 0, "/steady")):
        with Rig(directory / what.replace(" ", "-"), limits={1: {"speed_limit": mbps}}) as r:
            nginx = origins.nginx.process.pid
            workers = open(f"/proc/{nginx}/task/{nginx}/children").read().split()
            pids = [r.served.process.pid, r.clients[0].pid, *workers]
            reader = Reader(r.proxies[0], origins.web, path)
            time.sleep(2)
            before, moved = [_cpu(p) for p in pids], reader.moved
            time.sleep(SECONDS / 2)
            cpu = [_cpu(p) - b for p, b in zip(pids, before)]
            gb = (reader.moved - moved) / rig.GB
            reader.over = True
            results.add("limits", "v2sp", f"CPU-s/GB {what}", cpu[0] / gb)
            results.add("limits", "v2sp", f"CPU-s/GB of all {what}", sum(cpu) / gb)
