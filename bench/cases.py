"""The measurements. Each takes a running server and returns one number; servers take turns, so that a machine that gets
slower or faster in between treats all alike."""
import os
import resource
import subprocess
import sys
import time

import counting
import crowd
import datagrams
import floor
import limits
import load
import polls
import rig
import vmess_users
from harness import certs, spec, xray

NAMES = (*rig.SHAPES, "rss", "limits", *polls.CASES, "ss-users", "vmess-users", *counting.CASES, *datagrams.SHAPES)
IDLE = (3000, 9000)             # less where the descriptor limit is low: a session needs two, see _counts()
BULK = 2 * rig.GB
VISION_ONLY = (("up padded", load.up_padded),)
REQUESTS = 4000
USERS = 100_000
# The Go servers' flow breaks some of its own downloads (one flag for both directions decides on splicing), and what is
# left of a broken session may burn CPU for ever. Such a run is done again, whole, with new processes; nothing of a
# broken one is counted, and no number is mended. Requests go in batches, so that one broken among thousands does not
# repeat them all. v2sp gets no second run after an error. The client's own flaw is repeated for all three: about every
# sixth gigabyte of Vision uploads it hangs itself, whatever server it talks to (see xray.hung, which looks at its stack).
BATCH = 500
AGAIN = 40
WINDOW = 4                      # seconds in which the least RSS counts: garbage collectors settle


def run(name, servers, runs, only, work, results):
    if name == "limits":
        limits.run(runs, work, results)
        return
    if name in polls.CASES:
        polls.run(name, runs, work, results)
        return
    if name in counting.CASES:
        counting.run(name, servers, runs, work, results)
        return
    if name == "vmess-users":
        vmess_users.run(servers, runs, work, results)
        return
    cert = certs.make(work)
    origins = rig.Origins(work / f"origins-{name}", cert if rig.is_vision(name) else None)
    try:
        if name == "rss":
            _rss(servers, runs, work, results, cert)
            return
        if name in datagrams.SHAPES:
            datagrams.run(name, servers, runs, work, results, cert)
            return
        if name == "ss-users":
            crowd.run(servers, runs, work, results, origins)
            return
        for i in range(runs):
            for kind in servers:
                _through_client(name, kind, i, only, work, results, cert, origins)
            _floor(name, i, only, work, results, origins)
        if not only or "idle" in only:
            for i in range(runs):
                for kind in servers:
                    _idle(name, kind, i, work, results, cert, origins)
    finally:
        origins.stop()


class _Path:
    """A server and the real client that goes through it; both are replaced after a run that broke."""

    def __init__(self, name, kind, directory, cert, origins):
        self.name, self.kind, self.directory, self.cert, self.origins = name, kind, directory, cert, origins
        self.vision = rig.is_vision(name)
        self.broken = -1
        self._start()

    def _start(self):
        self.broken += 1
        directory = self.directory / str(self.broken)
        node = rig.node(self.name, self.cert, target=self.origins.web)
        self.server = rig.Server(self.kind, node, directory)
        self.client, self.proxy = rig.start_client(node, directory / "client")

    def stop(self):
        self.client.stop()
        self.server.stop()

    def cpu(self, f, warm):
        """CPU-seconds of the server in a run of f that worked, behind one of `warm`; and what f returned."""
        while True:
            try:
                warm(self.proxy)
                before = self.server.process.cpu_seconds()
                moved = f(self.proxy)
                return self.server.process.cpu_seconds() - before, moved
            except (OSError, AssertionError):
                if not self.vision or self.broken == AGAIN or not (self.kind != "v2sp" or xray.hung(self.proxy)):
                    raise
                self.stop()
                self._start()


def _through_client(name, kind, i, only, work, results, cert, origins):
    path = _Path(name, kind, work / f"{name}-{kind}-{i}", cert, origins)
    try:
        for what, f in (("down", load.down), ("up", load.up), *VISION_ONLY * path.vision):
            if only and what.split()[0] not in only:
                continue
            cpu, moved = path.cpu(lambda proxy, f=f: f(proxy, origins, BULK),
                                  lambda proxy, f=f: f(proxy, origins, rig.GB // 10))
            results.add(name, kind, f"{what} CPU-s/GB", cpu / (moved / rig.GB))
        if not only or "connection" in only:
            size = BATCH if path.vision else REQUESTS
            cpu = sum(path.cpu(lambda proxy: load.requests(proxy, origins, size),
                               lambda proxy: load.requests(proxy, origins, 50))[0] for _ in range(REQUESTS // size))
            results.add(name, kind, "CPU-ms/connection", cpu * 1000 / REQUESTS)
    except (OSError, AssertionError) as e:
        results.failed(name, kind, f"run {i + 1}", str(e) or type(e).__name__)
    finally:
        if path.broken:
            results.failed(name, kind, f"run {i + 1}", f"{path.broken} broken runs were repeated")
        path.stop()


def _floor(name, i, only, work, results, origins):
    rows = [r for r in floor.rows(name) if not only or r in only]
    if not rows:
        return
    path = floor.Path(work / f"{name}-floor-{i}", origins)
    try:
        for what in rows:
            results.add(name, floor.NAME, f"{what} CPU-s/GB", path.cost(getattr(load, what), BULK))
    except (OSError, AssertionError) as e:
        results.failed(name, floor.NAME, f"run {i + 1}", str(e) or type(e).__name__)
    finally:
        path.stop()


def _least_rss(process):
    end, least = time.monotonic() + WINDOW, process.rss_kib()
    while time.monotonic() < end:
        time.sleep(0.1)
        least = min(least, process.rss_kib())
    return least


def _counts(name, kind):
    """How many connections to leave idle. Each takes two descriptors, of the server and of the client in front of it;
    but Go keeps the pipes of a session that it splices, waiting or not."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500
    if rig.is_vision(name):
        return [min(IDLE[0], most // 6)]
    counts = [min(n, most // 2) for n in IDLE]
    return [n for n in counts if kind != "sing-box" or name != "vless-raw" or n <= most // 4]


def _idle(name, kind, i, work, results, cert, origins):
    for count in _counts(name, kind):
        node = rig.node(name, cert, target=origins.web)
        directory = work / f"{name}-idle{count}-{kind}-{i}"
        server = rig.Server(kind, node, directory)
        idler = client = None
        try:
            base = _least_rss(server.process)
            through_client = "socks-tls" if rig.is_vision(name) else "socks"
            shape = {"vless-raw": "raw", "vless-tls": "tls", "vless-ws-tls": "ws-tls"}.get(name, through_client)
            where = (node.listen, str(node.port), str(count), str(origins.sink), shape, spec.USER)
            if shape == through_client:
                client, proxy = rig.start_client(node, directory / "client")
                port = origins.web if rig.is_vision(name) else origins.sink
                where = (proxy[0], str(proxy[1]), str(count), str(port), shape, "-")
            idler = subprocess.Popen(
                [sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "idle.py"), *where],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if idler.stdout.readline() != "open\n":
                results.failed(name, kind, f"KiB/idle ({count})", "not all connections opened")
                continue
            results.add(name, kind, f"KiB/idle ({count})", (_least_rss(server.process) - base) / count)
        finally:
            if idler:
                idler.stdin.close()
                idler.wait(60)
            if client:
                client.stop()
            server.stop()


def _rss(servers, runs, work, results, cert):
    crowd = [(i, f"{i:08x}-0000-4000-8000-{i * 2654435761 % (1 << 48):012x}") for i in range(1, USERS + 1)]
    for i in range(runs):
        for kind in servers:
            for what, users in (("at start", None), (f"{USERS} users", crowd)):
                node = rig.node("vless-raw", cert, users)
                server = rig.Server(kind, node, work / f"rss-{what.split()[0]}-{kind}-{i}")
                try:
                    results.add("rss", kind, f"MiB {what}", _least_rss(server.process) / 1024)
                finally:
                    server.stop()
