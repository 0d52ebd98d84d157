"""What the stats API costs: traffic that is counted beside traffic that is not, questions while the node relays at full
speed, a question about 100,000 counters beside Xray's, a pattern over 1,000,000."""
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import limits
import load
import rig
import visits
from harness import paths, ports, process, spec, stats, v2sp, xray
from harness.origins import Tcp as Echo
from polls import Pulse, cpu_ns

CASES = ("stats", "stats-query")
ROUNDS = 24                     # of each way of counting in a run: one differs from the next by several percent
BULK = rig.GB // 4
PARTS = 3
WAYS = {"off": None, "not listed": {"inbounds": ["other"], "outbounds": ["other"], "users": ["other"]}, "listed": stats.ALL}
RATE = 1000                     # questions a second
PAIRS = 3                       # of a while without questions and one with them
SECONDS = 3
ANSWER = 100_000                # counters of which all are asked for, beside Xray
CROWD = 1_000_000               # counters that a pattern is looked for in
TIMES = 20
TAG = "[https://p.example]-vless:1"


def run(name, servers, runs, work, results):
    origins = rig.Origins(work / f"origins-{name}")
    try:
        if name == "stats":
            for i in range(runs):
                _relay(work / f"stats-{i}", origins, results)
            return
        if "xray" in servers:
            _xray(work / "stats-xray", runs, results)
        _answer(work / "stats-answer", origins, runs, results)
        _pattern(work / "stats-pattern", origins, runs, results)
    finally:
        origins.stop()


class Node:
    """A node with `count` users (None: one), each of whom has been there once."""

    def __init__(self, directory, origins, count=None, lists=stats.ALL):
        directory.mkdir(parents=True)
        users = [(1, spec.USER)] + [(i, visits.user(i)) for i in range(2, (count or 1) + 1)]
        self.api, self.node = f"127.0.0.1:{ports.free_port()}", spec.Node(port=ports.free_port(), users=users)
        self.served = v2sp.Served(self.node, directory, push=3600, pull=3600, extra=self._extra(), top=self._top(lists)).start()
        if count:
            half = count // 2
            where = (self.node.listen, str(self.node.port), str(origins.web))
            parts = [subprocess.Popen([sys.executable, "-B", visits.__file__, *where, str(first), str(n)])
                     for first, n in ((2, half), (2 + half, count - 1 - half))]
            assert [p.wait() for p in parts] == [0, 0], "not every user could be there"

    @staticmethod
    def _extra():
        return {"Name": TAG, "HandshakesPerSource": 1_000_000}

    def _top(self, lists):
        return {"Log": {"Level": "info"}, **(stats.api(self.api, **lists) if lists else {})}

    def count(self, lists):
        """From now on this is counted."""
        self.served.reconfigure(extra=self._extra(), top=self._top(lists))
        seen = len(self.served.process.log().split("read again")) - 1
        self.served.process.signal(signal.SIGHUP)
        self.served.process.wait_log("read again", count=seen + 1)

    @property
    def pid(self):
        return self.served.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.served.process.kill()           # a last report about a crowd takes its time
        self.served.stop()


class Asker:
    """See asker.py."""

    def __init__(self, api, counter, rate):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "asker.py")
        self.child = subprocess.Popen([sys.executable, "-B", script, api, counter, str(rate)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.since()

    def since(self):
        """Asked, answered, and the worst milliseconds, since the last time."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        asked, answered, worst = self.child.stdout.readline().split()
        return int(asked), int(answered), float(worst)

    def stop(self):
        self.child.stdin.close()
        self.child.wait(20)


def _relay(directory, origins, results):
    """One process, one client, one configuration after the other, so that nothing else differs."""
    with Node(directory, origins) as n:
        client, proxy = rig.start_client(n.node, directory / "client")
        try:
            load.down(proxy, origins, rig.GB)
            costs = {way: [] for way in WAYS}
            for i in range(ROUNDS):
                for way in (list(WAYS) * 2)[i % len(WAYS):][:len(WAYS)]:
                    n.count(WAYS[way])
                    load.one(proxy, origins, BULK)
                    before = cpu_ns(n.pid)
                    moved = sum(load.one(proxy, origins, BULK) for _ in range(PARTS))
                    costs[way].append((cpu_ns(n.pid) - before) / moved)
            for way, c in costs.items():
                results.add("stats", "v2sp", f"CPU-s/GB, {way}", statistics.median(c))
                if way != "off":
                    more = statistics.median(c) / statistics.median(costs["off"]) - 1
                    results.add("stats", "v2sp", f"% more, {way}", 100 * more)
            spread = statistics.stdev(costs["off"]) / statistics.mean(costs["off"])
            results.add("stats", "v2sp", "% a round differs", 100 * spread)
            n.count(stats.ALL)
            _questions(n, proxy, origins, results)
        finally:
            client.stop()


def _questions(n, proxy, origins, results):
    """Turn and turn about without and with questions."""
    for _ in range(PAIRS):
        rates = {}
        for rate in (0, RATE):
            reader = limits.Reader(proxy, origins.web)
            asker = Asker(n.api, f"inbound>>>{TAG}>>>traffic>>>downlink", rate) if rate else None
            time.sleep(1)
            before, start = reader.moved, time.monotonic()
            if asker:
                asker.since()
            time.sleep(SECONDS)
            asked, answered, worst = asker.since() if asker else (0, 0, 0)
            seconds = time.monotonic() - start
            rates[rate] = (reader.moved - before) / seconds
            reader.over = True
            if asker:
                asker.stop()
                results.add("stats", "v2sp", f"{RATE} questions/s: answered", answered / seconds)
                results.add("stats", "v2sp", f"{RATE} questions/s: worst ms", worst)
            time.sleep(0.5)
        results.add("stats", "v2sp", "GB/s, no questions", rates[0] / rig.GB)
        results.add("stats", "v2sp", f"GB/s, {RATE} questions/s", rates[RATE] / rig.GB)


def _ask(api, pid, request, what, kind, runs, results):
    """CPU milliseconds of a question; returns the size of its answer."""
    with stats.Client(api, options=[("grpc.max_receive_message_length", -1)]) as c:
        size = len(c.call("QueryStats", request, timeout=60))
        for _ in range(runs):
            before = cpu_ns(pid)
            for _ in range(TIMES):
                c.call("QueryStats", request, timeout=60)
            results.add("stats-query", kind, what, (cpu_ns(pid) - before) / TIMES / 1e6)
        return size


def _xray(directory, runs, results):
    """Xray makes the counters of an outbound with it, so nobody has to visit for them; their names are as long as users'."""
    directory.mkdir(parents=True)
    api = f"127.0.0.1:{ports.free_port()}"
    tags = [f"{TAG}|{visits.user(i)}" for i in range(2, ANSWER // 2 + 2)]
    config = {"log": {"loglevel": "warning"}, "stats": {}, "api": {"tag": "api", "listen": api, "services": ["StatsService"]},
              "policy": {"system": {"statsOutboundUplink": True, "statsOutboundDownlink": True}},
              "outbounds": [{"protocol": "freedom", "tag": tag} for tag in tags]}
    path = directory / "config.json"
    path.write_text(json.dumps(config))
    server = process.Process("xray", [paths.peer("xray"), "run", "-c", str(path)], str(directory))
    try:
        server.wait_port(int(api.rpartition(":")[2]), timeout=120)
        _ask(api, server.pid, b"", f"CPU-ms, {ANSWER} counters", "xray", runs, results)
    finally:
        server.stop()


def _answer(directory, origins, runs, results):
    with Node(directory, origins, ANSWER // 2) as n:
        _ask(n.api, n.pid, b"", f"CPU-ms, {ANSWER} counters", "v2sp", runs, results)


def _pattern(directory, origins, runs, results):
    nowhere = stats.field(1, "nowhere")
    with Node(directory, origins, CROWD // 2) as n, Echo() as echo:
        pulse = Pulse(n.node, echo)
        try:
            for _ in range(runs):
                pulse.worst()
                time.sleep(SECONDS)
                results.add("stats-query", "v2sp", "worst ms of a byte, quiet", pulse.worst())
                _ask(n.api, n.pid, nowhere, f"CPU-ms, pattern over {CROWD}", "v2sp", 1, results)
                results.add("stats-query", "v2sp", "worst ms of a byte, meanwhile", pulse.worst())
        finally:
            pulse.stop()
