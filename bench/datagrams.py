"""CPU-seconds a million datagrams, both ways counted: the real client's SOCKS associations, a window of datagrams in each, and an
echo behind the server."""
import os
import subprocess
import sys
import threading
import time

import rig
from harness import singbox, socks5, spec

SHAPES = {"udp-vless": "vless-raw", "udp-ss2022": "ss2022", "udp-ss-aead": "ss-aead"}
ASSOCIATIONS = 8
WINDOW = 16
SIZE = 1200
SECONDS = 5


def _association(proxy, target, stop, counts, i):
    data = bytes(SIZE)
    with socks5.Udp(proxy, timeout=1) as u:
        on_way = 0
        while not stop.is_set():
            while on_way < WINDOW:
                u.sendto(data, target)
                on_way += 1
            try:
                u.recvfrom()
                counts[i] += 2
                on_way -= 1
            except TimeoutError:
                on_way = 0               # lost ones are not counted


def _move(proxy, target, seconds):
    stop, counts = threading.Event(), [0] * ASSOCIATIONS
    threads = [threading.Thread(target=_association, args=(proxy, target, stop, counts, i)) for i in range(ASSOCIATIONS)]
    for t in threads:
        t.start()
    time.sleep(seconds)
    stop.set()
    for t in threads:
        t.join()
    return sum(counts)


def _measure(name, kind, directory, cert, target, results):
    node = rig.node(SHAPES[name], cert)
    server = rig.Server(kind, node, directory)
    client = None
    try:

        client, proxy = singbox.start_client(node, spec.Client(), directory, loglevel="error")
        _move(proxy, target, 1)
        before = server.process.cpu_seconds()
        moved = _move(proxy, target, SECONDS)
        results.add(name, kind, "CPU-s/1e6 datagrams", (server.process.cpu_seconds() - before) * 1e6 / moved)
    except (OSError, AssertionError, ZeroDivisionError) as e:
        results.failed(name, kind, "datagrams", str(e) or type(e).__name__)
    finally:
        if client:
            client.stop()
        server.stop()


def run(name, servers, runs, work, results, cert):
    echo = subprocess.Popen([sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)), "echo.py")],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        target = ("127.0.0.1", int(echo.stdout.readline()))
        for i in range(runs):
            for kind in servers:
                _measure(name, kind, work / f"{name}-{kind}-{i}", cert, target, results)
    finally:
        echo.stdin.close()
        echo.wait(10)
