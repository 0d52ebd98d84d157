"""How close a limited user comes to his limit: the average of ten seconds over many connections, at many rates."""
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

    def __init__(self, proxy, web):
        super().__init__(daemon=True)
        self.proxy, self.web, self.moved, self.over = proxy, web, 0, False
        self.start()

    def run(self):
        scratch = bytearray(1 << 20)
        while not self.over:
            try:
                with socks5.connect(self.proxy, "127.0.0.1", self.web) as s:
                    # Asked for in advance: at the end of a connection the client waits for a second.
                    s.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
                    while not self.over:
                        n = s.recv_into(scratch, len(scratch), socket.MSG_TRUNC)
                        if n == 0:
                            break
                        self.moved += n
            except OSError:
                pass


def measure(proxy, web, connections):
    """Bytes a second over SECONDS, after one second in which what a rested user has saved is gone."""
    readers = [Reader(proxy, web) for _ in range(connections)]
    try:
        time.sleep(2)
        start, before = time.monotonic(), sum(r.moved for r in readers)
        time.sleep(SECONDS)
        return (sum(r.moved for r in readers) - before) / (time.monotonic() - start)
    finally:
        for r in readers:
            r.over = True


def run(runs, work, results):
    origins = rig.Origins(work / "origins-limits")
    try:
        for i in range(runs):
            for mbps in RATES:
                node = spec.Node(port=ports.free_port(), limits={1: {"speed_limit": mbps}})
                directory = work / f"limits-{i}-{mbps}"
                directory.mkdir()
                with v2sp.Served(node, directory, push=60, pull=60, top={"Log": {"Level": "warning"}}):
                    for n in CONNECTIONS:
                        _one(node, directory / str(n), origins.web, mbps, n, results)
    finally:
        origins.stop()


def _one(node, directory, web, mbps, connections, results):
    directory.mkdir()
    client, proxy = xray.start_client(node, spec.Client(), directory, loglevel="error")
    try:
        rate = measure(proxy, web, connections)
        results.add("limits", "v2sp", f"% of {mbps} Mbit/s, {connections}", 100 * rate / (mbps * MBIT))
    finally:
        client.stop()
