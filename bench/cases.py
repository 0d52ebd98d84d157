"""The measurements. Each takes a running server and returns one number; servers take turns, so that a machine that gets
slower or faster in between treats all alike."""
import os
import resource
import subprocess
import sys
import time

import load
import rig
from harness import certs, spec

NAMES = (*rig.SHAPES, "rss")
IDLE = (3000, 9000)             # the second is less where the descriptor limit is low: a session needs up to three
BULK = 2 * rig.GB
REQUESTS = 4000
USERS = 100_000
# The Go servers' flow breaks some of its own downloads (one flag for both directions decides on splicing). Such a run
# is done again, whole and measured anew; nothing of a broken one is counted, and no number is mended. Requests go in
# batches, so that one broken among thousands does not repeat them all. v2sp is never given a second run.
BATCH = 250
AGAIN = 40
WINDOW = 4                      # seconds in which the least RSS counts: garbage collectors settle


def run(name, servers, runs, only, work, results):
    cert = certs.make(work)
    origins = rig.Origins(work / f"origins-{name}", cert if rig.is_vision(name) else None)
    try:
        if name == "rss":
            _rss(servers, runs, work, results, cert)
            return
        for i in range(runs):
            for kind in servers:
                _through_client(name, kind, i, only, work, results, cert, origins)
        if not only or "idle" in only:
            for i in range(runs):
                for kind in servers:
                    _idle(name, kind, i, work, results, cert, origins)
    finally:
        origins.stop()


def _cpu(server, f):
    """CPU-seconds of a run that worked, and what f returned."""
    again = AGAIN if server.node.flow and server.kind != "v2sp" else 0
    while True:
        before = server.process.cpu_seconds()
        try:
            moved = f()
            return (server.process.cpu_seconds() - before), moved
        except OSError:
            if again == 0:
                raise
            again -= 1
            server.broken += 1


def _through_client(name, kind, i, only, work, results, cert, origins):
    directory = work / f"{name}-{kind}-{i}"
    node = rig.node(name, cert, target=origins.web)
    server = rig.Server(kind, node, directory)
    client, proxy = rig.start_client(node, directory / "client")
    try:
        _cpu(server, lambda: load.requests(proxy, origins, 50))            # warm: code, DNS, pools
        for what, f in (("down", load.down), ("up", load.up)):
            if only and what not in only:
                continue
            _cpu(server, lambda f=f: f(proxy, origins, rig.GB // 10))
            cpu, moved = _cpu(server, lambda f=f: f(proxy, origins, BULK))
            results.add(name, kind, f"{what} CPU-s/GB", cpu / (moved / rig.GB))
        if not only or "connection" in only:
            size = BATCH if node.flow else REQUESTS
            cpu = sum(_cpu(server, lambda: load.requests(proxy, origins, size))[0] for _ in range(REQUESTS // size))
            results.add(name, kind, "CPU-ms/connection", cpu * 1000 / REQUESTS)
    except OSError as e:
        results.failed(name, kind, f"run {i + 1}", str(e))
    finally:
        if server.broken:
            results.failed(name, kind, f"run {i + 1}", f"{server.broken} broken runs were repeated")
        client.stop()
        server.stop()


def _least_rss(process):
    end, least = time.monotonic() + WINDOW, process.rss_kib()
    while time.monotonic() < end:
        time.sleep(0.1)
        least = min(least, process.rss_kib())
    return least


def _idle(name, kind, i, work, results, cert, origins):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    counts = (IDLE[0], min(IDLE[1], (limit - 500) // 3))
    if rig.is_vision(name):
        counts = (min(IDLE[0], (limit - 500) // 6),)     # Go keeps the pipes of a raw session, waiting or not
    for count in counts:
        node = rig.node(name, cert, target=origins.web)
        directory = work / f"{name}-idle{count}-{kind}-{i}"
        server = rig.Server(kind, node, directory)
        idler = client = None
        try:
            base = _least_rss(server.process)
            shape = {"vless-raw": "raw", "vless-tls": "tls", "vless-ws-tls": "ws-tls"}.get(name, "socks")
            where = (node.listen, str(node.port), str(count), str(origins.sink), shape, spec.USER)
            if shape == "socks":
                client, proxy = rig.start_client(node, directory / "client")
                where = (proxy[0], str(proxy[1]), str(count), str(origins.web), shape, "-")
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
