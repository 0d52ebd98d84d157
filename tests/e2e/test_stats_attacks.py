"""The stats API under clients that mean harm: whatever they send or do not read, others are answered."""
import random
import signal
import socket
import threading

import grpc
import pytest

from harness import ports, stats, upgrades, v2sp, vless, wait
from harness.spec import ALICE
from harness.stats import CONTINUATION, DATA, HEADERS, PING, QUERY, RST, SETTINGS, WINDOW, frame, head, message, request_head

pytestmark = pytest.mark.v2sp_only
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
ASK = request_head(QUERY)


def hpack_bomb():
    """One field of 4,000 bytes, put into the table and named 30,000 times: 120 MB once it is unpacked."""
    value = b"x" * 4000
    block = b"\x40\x01a\x7f" + bytes([(len(value) - 127) & 127 | 128, (len(value) - 127) >> 7]) + value + b"\xbe" * 30000
    pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
    return frame(HEADERS, 0, 1, pieces[0]) + b"".join(frame(CONTINUATION, 0, 1, p) for p in pieces[1:-1]) + \
        frame(CONTINUATION, 4, 1, pieces[-1])


FLOODS = {
    "rapid reset": lambda: b"".join(head(i, ASK, end=True) + frame(RST, 0, i, b"\0\0\0\x08") for i in range(1, 20000, 2)),
    "reset of calls": lambda: b"".join(head(i, ASK) + frame(DATA, 1, i, message()) + frame(RST, 0, i, b"\0\0\0\x08")
                                       for i in range(1, 20000, 2)),
    "HPACK bomb": hpack_bomb,
    "CONTINUATION without end": lambda: frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 20000,
    "SETTINGS": lambda: frame(SETTINGS, 0, 0) * 20000,
    "PING": lambda: frame(PING, 0, 0, bytes(8)) * 20000,
    "empty DATA": lambda: head(1, ASK) + frame(DATA, 0, 1) * 20000,
    "WINDOW_UPDATE over its end": lambda: frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "window below nothing": lambda: head(1, ASK) + frame(DATA, 1, 1, message()) + frame(SETTINGS, 0, 0, stats.window(0)) * 100,
    "a thousand streams at once": lambda: b"".join(head(i, ASK) for i in range(1, 2000, 2)),
    "trailers, twice": lambda: head(1, ASK) + frame(DATA, 0, 1, message()) + head(1, [("a", "b")], end=True) * 2,
    "a stream again": lambda: head(5, ASK, end=True) + head(3, ASK, end=True) + head(5, ASK, end=True),
    "DATA before its stream": lambda: frame(DATA, 1, 7, message()),
    "no path": lambda: head(1, [(":method", "POST"), (":scheme", "http")], end=True),
    "a path twice": lambda: head(1, [*ASK, (":path", QUERY)], end=True),
}


@pytest.mark.sanitizer
def test_floods(serve_api, node, origin):
    a = serve_api()
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        for name, flood in FLOODS.items():
            with stats.Raw(a.address) as raw, a.client() as c:
                try:
                    raw.send(flood())
                except (OSError, TimeoutError):
                    pass                     # the server has had enough of it
                assert c.query()[a.user(ALICE, "uplink")] == alice.up, name
    assert a.process.log().count("does not speak gRPC") <= 1


def test_answers_nobody_takes(serve_api, node, origin):
    """Four thousand calls whose clients open no window hold all memory there is for answers, and stay alive by pings. Who asks
    after them is answered."""
    a = serve_api()
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        lazy = [stats.Raw(a.address, stats.window(0)) for _ in range(40)]
        try:
            for raw in lazy:
                raw.send(b"".join(head(i, ASK) + frame(DATA, 1, i, message()) for i in range(1, 200, 2)))

            def answered():
                for raw in lazy:
                    raw.send(frame(PING, 0, 0, bytes(8)))
                with a.client() as c:
                    try:
                        return c.query()
                    except grpc.RpcError as e:
                        assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                        return None
            assert wait.until(answered, 60, "an answer")[a.user(ALICE, "uplink")] == alice.up
        finally:
            for raw in lazy:
                raw.s.close()
    assert "memory for calls is used up" not in a.process.log()


def test_questions_whose_answers_nobody_takes(serve_api):
    """A stream's questions wait for its client to take the answers; then all are answered."""
    a = serve_api()
    question, count = message(stats.field(7, "*")), 8000
    with stats.Raw(a.address, stats.window(0)) as raw:
        raw.send(head(1, request_head(REFLECTION)) + frame(DATA, 0, 1, question * 1000) * (count // 1000))
        window = 0
        for _ in range(2):                              # acknowledged before anything else is said, so twice
            raw.send(frame(PING, 0, 0, bytes(8)))
            for kind, flags, stream, payload in raw.frames():
                window += int.from_bytes(payload, "big") if (kind, stream) == (WINDOW, 1) else 0
                if (kind, flags) == (PING, 1):
                    break
        assert window < len(question) * count / 2       # what is not answered is held
        raw.send(frame(SETTINGS, 0, 0, stats.window(1 << 30)) + frame(WINDOW, 0, 0, b"\x3f\0\0\0") + frame(DATA, 1, 1))
        parts = raw.answer(1)
    answers, at, found = b"".join(p for kind, _, p in parts if kind == DATA), 0, 0
    while at < len(answers):
        at, found = at + 5 + int.from_bytes(answers[at + 1:at + 5], "big"), found + 1
    assert found == count


@pytest.mark.sanitizer
def test_watchers_whose_time_is_over(serve_api):
    """As many as there may be, 256, ended by the server: they leave nothing behind, and their places are free."""
    a = serve_api()
    watch = request_head(f"/{stats.HEALTH}/Watch", grpc_timeout="100m")
    with a.client() as c:
        for _ in range(3):
            with stats.Raw(a.address) as raw:
                for i in range(1, 2 * 90, 2):
                    raw.send(head(i, watch) + frame(DATA, 1, i, message()))
                ended = 0
                for kind, *_ in raw.frames():
                    ended += kind == RST
                    if ended == 90:
                        break
        assert next(c.watch()) == b"\x08\x01"
    a.served.expected_to_end = True
    assert a.process.stop() == 0


def test_connections_that_are_kept_busy(serve_api, node, origin):
    """All there may be, each with a call that does not end and signs of life: a new client is answered."""
    a = serve_api()
    over = threading.Event()
    lazy = [stats.Raw(a.address) for _ in range(260)]

    def stay_alive():
        while not over.wait(0.2):
            for raw in lazy:
                try:
                    raw.send(frame(PING, 0, 0, bytes(8)))
                except OSError:
                    pass                     # it had to go
    for raw in lazy:
        try:
            raw.send(head(1, ASK))
        except OSError:
            pass
    thread = threading.Thread(target=stay_alive)
    thread.start()
    try:
        with vless.Session(node, ALICE, origin) as alice, a.client() as c:
            alice.say(1000)
            stats.settled(c, a.user(ALICE, "downlink"), alice.down)
    finally:
        over.set()
        thread.join()
        for raw in lazy:
            raw.s.close()


def test_other_lists_under_a_client(serve_api, node, origin):
    """What is tracked changes; connections stay."""
    a = serve_api({"users": []})
    with a.client() as c, a.client() as watcher, vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        watching = watcher.watch()
        assert next(watching) == b"\x08\x01" and c.query() == {}
        for lists in (stats.ALL, {"users": []}, {"users": [f"{a.tag}|{ALICE}"]}):
            a.served.reconfigure(extra={"Name": a.tag}, top=stats.api(a.address, **lists))
            a.process.signal(signal.SIGHUP)
            wait.until(lambda lists=lists: bool(c.query()) == (lists["users"] != []), 15, f"{lists} to count")
        assert c.query() == {a.user(ALICE, "uplink"): alice.up, a.user(ALICE, "downlink"): alice.down}
        assert watching.is_active()


PATHS = (QUERY, f"/{stats.V2RAY}/GetStats", f"/{stats.XRAY}/GetUsersStats", f"/{stats.XRAY}/GetStatsOnlineIpList",
         f"/{stats.HEALTH}/Watch", REFLECTION, "/x/y", "z")


class Madman:
    """Writes connections that are nearly right."""

    def __init__(self, seed, names):
        self.random = random.Random(seed)
        self.messages = (b"", stats.field(3, "(a+)+$") + stats.field(4, True), stats.field(7, "*"), stats.field(4, stats.XRAY),
                         b"\xff\xff", *(stats.field(1, n) + stats.field(2, True) for n in names))

    def frame(self, known):
        r = self.random
        stream = r.choice(known) if known and r.random() < 0.7 else r.randrange(1, 4000, 2)
        body = message(r.choice(self.messages), r.choice((0, 0, 0, 0, 1)), r.choice((None, None, None, 5, 1 << 22)))
        kind = r.randrange(12)
        if kind < 4:
            known.append(stream)
            more = {"grpc_timeout": r.choice(("1m", "5S", "900m"))} if r.random() < 0.3 else {}
            asked = head(stream, request_head(r.choice(PATHS), **more), end=r.random() < 0.1)
            return asked + frame(DATA, r.randrange(2), stream, body)
        return (lambda: frame(DATA, r.randrange(2), stream, body),
                lambda: frame(RST, 0, stream, bytes(4)),
                lambda: frame(WINDOW, 0, r.choice((0, stream)), r.choice((0, 1, 70_000, (1 << 31) - 1)).to_bytes(4, "big")),
                lambda: frame(SETTINGS, 0, 0, stats.window(r.choice((0, 1, 65_535, (1 << 31) - 1)))),
                lambda: frame(PING, 0, 0, bytes(8)),
                lambda: head(stream, [("a", "b")], end=True),
                lambda: frame(DATA, 1, stream),
                lambda: frame(r.randrange(12), r.randrange(256), stream, r.randbytes(r.randrange(30))))[kind - 4]()

    def connection(self):
        r, known = self.random, []
        data = bytearray(b"".join(self.frame(known) for _ in range(r.choice((3, 10, 60)))))
        for _ in range(r.choice((0, 0, 1, 5)) if data else 0):
            data[r.randrange(len(data))] = r.randrange(256)
        return bytes(data)


@pytest.mark.sanitizer
@pytest.mark.parametrize("seed,count", [(1, 1000), pytest.param(2, 30_000, marks=pytest.mark.slow)])
def test_frames_that_are_nearly_right(serve_api, node, origin, seed, count):
    a = serve_api()
    madman, open_ones = Madman(seed, (a.user(ALICE, "uplink"), a.user(ALICE) + ">>>online")), []
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        for _ in range(count):
            raw = stats.Raw(a.address, madman.random.choice((b"", stats.window(0), stats.window(1 << 30))))
            raw.s.setblocking(False)
            try:
                raw.s.send(madman.connection())
            except OSError:
                pass
            open_ones.append(raw.s)
            if len(open_ones) > 100:
                open_ones.pop(madman.random.randrange(100)).close()
        with a.client() as c:
            assert c.query()[a.user(ALICE, "downlink")] <= alice.down
    a.served.expected_to_end = True
    assert a.process.stop() == 0             # with calls still open
    for s in open_ones:
        s.close()


@pytest.mark.slow
def test_ten_thousand_connections(serve_api, node, origin):
    """256 of them are kept."""
    a = serve_api()
    host, _, port = a.address.rpartition(":")
    many = []
    try:
        with vless.Session(node, ALICE, origin) as alice:
            alice.say(1000)
            for i in range(10_000):
                s = socket.create_connection((host, int(port)), timeout=15)
                many.append(s)
                if i >= 500:
                    many.pop(0).close()
            with a.client() as c:
                assert c.query()[a.user(ALICE, "uplink")] == alice.up
    finally:
        for s in many:
            s.close()
    assert a.process.log().count("idle ones are closed") <= 1


def test_reset_of_who_is_online(serve_api, node, origin):
    """GetUsersStats with reset, by several at a time: what they got is what was moved."""
    a = serve_api()
    got = {1: 0, 2: 0}
    with vless.Session(node, ALICE, origin) as alice, a.client() as one, a.client(service=stats.V2RAY) as two:
        for n in range(30):
            alice.say(1000 + n)
            for call in [c.start("GetUsersStats", stats.field(1, True) + stats.field(2, True)) for c in (one, two)]:
                for _, user in stats.fields(call.result()):
                    for direction, moved in stats.fields(dict(stats.fields(user))[3]):
                        got[direction] += moved
        rest = one.query(pattern=ALICE)
    assert got[1] + rest[a.user(ALICE, "uplink")] == alice.up
    assert got[2] + rest[a.user(ALICE, "downlink")] == alice.down


def test_a_node_that_comes_back_while_it_ends(serve_api, node, origin):
    """Taken out of the configuration and put back while a session of it goes on: each counter and each series is there once,
    and goes on."""
    a = serve_api()
    with a.client() as c, vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        stats.settled(c, a.node("inbound", "downlink"), alice.down)
        other = v2sp.node_entry(node.with_(port=ports.free_port()), a.panel.url, 2, Name="in-2")
        a.served.reconfigure(nodes=[other], top=stats.api(a.address, **stats.ALL))
        a.process.signal(signal.SIGHUP)
        a.process.wait_log("no longer configured: ends")
        a.served.reconfigure(extra={"Name": "in-1"}, top=stats.api(a.address, **stats.ALL))
        a.process.signal(signal.SIGHUP)
        wait.until(lambda: not vless.refused(node, ALICE, origin), 30, "the node is back")
        alice.say(10)
        assert c.get(a.node("inbound", "uplink")) >= 1005
        assert c.query(pattern="inbound")       # none twice


def test_an_upgrade_under_clients(serve_api, node, origin):
    """The new process answers at the same address, its counters begin at 0; clients of the old one hear goodbye."""
    upgrades.adopt_orphans()
    a = serve_api()
    with vless.Session(node, ALICE, origin) as alice, a.client() as c:
        alice.say(1000)
        stats.settled(c, a.user(ALICE, "downlink"), alice.down)
        with stats.Raw(a.address) as raw, a.client() as watcher:
            watching = watcher.watch(stats.field(1, stats.V2RAY))
            assert next(watching) == b"\x08\x01"
            raw.ask(1)
            raw.answer(1)
            upgrades.upgrade(a.served)
            assert stats.GOAWAY in [kind for kind, *_ in raw.frames()]
            assert list(watching) == [b"\x08\x02"]
        wait.until(lambda: not c.query(), 30, "the new process")
        with vless.Session(node, ALICE, origin) as again:
            again.say(10)
            stats.settled(c, a.user(ALICE, "downlink"), again.down)
            assert c.get(a.user(ALICE, "uplink")) == again.up
    upgrades.wait_all_left(a.served)
