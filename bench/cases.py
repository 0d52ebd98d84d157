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
WINDOW = 4                      # seconds in which the least RSS counts: garbage collectors settle


def run(name, servers, runs, only, work, results):
    cert = certs.make(work)
    origins = rig.Origins(work / f"origins-{name}")
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
    before = server.process.cpu_seconds()
    moved = f()
    return (server.process.cpu_seconds() - before), moved


def _through_client(name, kind, i, only, work, results, cert, origins):
    directory = work / f"{name}-{kind}-{i}"
    node = rig.node(name, cert)
    server = rig.Server(kind, node, directory)
    client, proxy = rig.start_client(node, directory / "client")
    try:
        load.requests(proxy, origins, 50)            # warm: code, DNS, pools
        for what, f in (("down", load.down), ("up", load.up)):
            if only and what not in only:
                continue
            f(proxy, origins, rig.GB // 10)
            cpu, moved = _cpu(server, lambda f=f: f(proxy, origins, BULK))
            results.add(name, kind, f"{what} CPU-s/GB", cpu / (moved / rig.GB))
        if not only or "connection" in only:
            cpu, _ = _cpu(server, lambda: load.requests(proxy, origins, REQUESTS))
            results.add(name, kind, "CPU-ms/connection", cpu * 1000 / REQUESTS)
    finally:
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
    for count in (IDLE[0], min(IDLE[1], (limit - 500) // 3)):
        node = rig.node(name, cert)
        server = rig.Server(kind, node, work / f"{name}-idle{count}-{kind}-{i}")
        idler = None
        try:
            base = _least_rss(server.process)
            shape = {"vless-raw": "raw", "vless-tls": "tls", "vless-ws-tls": "ws-tls"}[name]
            idler = subprocess.Popen(
                [sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "idle.py"), node.listen,
                 str(node.port), str(count), str(origins.sink), shape, spec.USER],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if idler.stdout.readline() != "open\n":
                results.failed(name, kind, f"KiB/idle ({count})", "not all connections opened")
                continue
            results.add(name, kind, f"KiB/idle ({count})", (_least_rss(server.process) - base) / count)
        finally:
            if idler:
                idler.stdin.close()
                idler.wait(60)
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
