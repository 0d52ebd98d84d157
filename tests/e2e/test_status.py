"""v2sp status and v2sp top: what the running program says of itself, through its socket."""
import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import termios
import time

import pytest

from harness import admin, paths, v2sp, vless, wait
from harness import panel as behaviours
from harness.spec import ALICE

pytestmark = pytest.mark.v2sp_only
COLOR = re.compile(r"\x1b\[[0-9;]*m")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def named(serve, node):
    def start(**more):
        return serve(node, extra={"Name": "in-1", **more.pop("extra", {})}, **more)
    return start


def only(document, key="nodes"):
    assert len(document[key]) == 1, document[key]
    return document[key][0]


def seen(served, condition, what, *more):
    """The document, as soon as condition(document) is true."""
    def look():
        document = admin.status(served.config, *more)
        return document if condition(document) else None
    return wait.until(look, 20, what)


def pull_is_done(document):
    return document["nodes"][0]["panel"]["answered"] > 0


@pytest.mark.sanitizer
def test_what_is_said(named, node, origin):
    s = named()
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(10_000)
        d = seen(s, lambda d: pull_is_done(d) and d["users"], "a user online", "--no-rates")
        n, u = only(d), only(d, "users")
        assert (n["tag"], n["state"], n["serving"], n["problem"]) == ("in-1", "running", True, "")
        assert (n["protocol"], n["port"], n["listen"]) == ("vless", node.port, [f"127.0.0.1:{node.port}"])
        assert (n["users"], n["users_online"]) == (2, 1)
        assert (n["connections"]["open"], n["bytes"]) == (1, {"up": alice.up, "down": alice.down})
        assert (u["uid"], u["node"], u["connections"]) == (1, "in-1", 1)
        assert u["bytes"] == {"up": alice.up, "down": alice.down}
        assert d["process"]["pid"] == s.process.pid and d["process"]["rss"] > 1 << 20
        assert sum(w["sessions"] for w in d["workers"]) == 1
        assert 0 < n["panel"]["next_poll_ms"] <= 6000 and n["panel"]["poll_error"] == ""
        admin.command("spool", "replay", "--node", "in-1", "-c", s.config)
        s.panel.wait_sum(1, alice.up, alice.down)
        d = seen(s, lambda d: only(d)["panel"]["acknowledged"]["down"] == alice.down, "what the panel took", "--no-rates")
        assert only(d)["panel"]["reported"] > 0


def test_rates(named, node, origin):
    """A second of traffic shows as about what it was; who does nothing has none."""
    s = named()
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, ALICE, origin):
        def fast(d):
            return d["users"] and d["users"][0]["rate"]["down"] > 1000
        asking = subprocess.Popen([paths.v2sp(), "status", "-c", s.config, "--json"], stdout=subprocess.PIPE, text=True)
        while asking.poll() is None:
            alice.say(50_000)
        text = asking.communicate()[0]
        assert '"rate"' in text
        d = seen(s, lambda d: alice.say(50_000) or fast(d), "a rate")
        assert d["window_ms"] >= 400
        u, n = only(d, "users"), only(d)
        assert u["connections"] == 2 and n["rate"]["down"] > 1000


def test_exit_status(named, node, tmp_path):
    s = named()
    assert admin.command("status", "-c", s.config, "--no-rates").returncode == 0
    other = admin.command("status", "-c", s.config, "--no-rates", "--node", "in-2")
    assert other.returncode == 1 and 'no node has the tag "in-2"' in other.stderr
    assert admin.command("status", "--nonsense").returncode == 2
    assert admin.command("status", "--users", "many").returncode == 2
    away = admin.command("status", "--socket", tmp_path / "nobody.sock")
    assert away.returncode == 1 and "v2sp does not run" in away.stderr
    s.stop()
    assert admin.command("status", "-c", s.config).returncode == 1
    assert not os.path.exists(admin.socket_path(s))


def test_a_node_that_does_not_serve(named, node):
    """Its port is somebody else's: said, and told by the exit status."""
    with socket.create_server((node.listen, node.port)):
        s = named(wait_port=False)
        wait.until(lambda: os.path.exists(admin.socket_path(s)), 30, "the socket")
        d = seen(s, lambda d: only(d)["problem"], "a problem", "--no-rates")
        assert (only(d)["state"], only(d)["serving"]) == ("waiting", False)
        shown = admin.command("status", "-c", s.config, "--no-rates")
        assert shown.returncode == 3
        assert re.search(r"^in-1 .* waiting .*\n  ! .*in use", shown.stdout, re.M), shown.stdout


def test_the_words_of_the_panel(named):
    s = named()
    s.panel.behave("config", behaviours.status(403, b'{"message":"node \\u001b[2J disabled"}'), times=None)
    d = seen(s, lambda d: only(d)["panel"]["poll_error"], "an error", "--no-rates")
    assert "disabled" in only(d)["panel"]["poll_error"] and only(d)["serving"]
    shown = admin.command("status", "-c", s.config, "--no-rates")
    assert shown.returncode == 0 and "\x1b" not in shown.stdout
    assert "disabled" in shown.stdout, shown.stdout


def test_for_people(named, node, origin):
    """100 columns, no escape sequence into a file."""
    s = named()
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(10_000)
        seen(s, lambda d: pull_is_done(d) and d["users"], "a user online", "--no-rates")
        text = admin.command("status", "-c", s.config).stdout
        assert max(len(line) for line in text.splitlines()) <= 100, text
        assert "\x1b" not in text
        assert re.search(r"^in-1 +vless/tcp +%d running " % node.port, text, re.M), text
        assert re.search(r"^1 +in-1 ", text, re.M), text


def test_socket_is_private_and_replaced(named):
    """After kill -9 the old file is in the way of nobody; nobody else may use it."""
    s = named()
    path = admin.socket_path(s)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    old = os.stat(path).st_ino
    s.restart(kill=True)
    wait.until(lambda: os.stat(path).st_ino != old, 30, "a new socket")
    seen(s, pull_is_done, "an answer", "--no-rates")


def test_two_on_one_socket(named):
    """The second leaves the first its socket, says so, and takes it over when the first has ended."""
    s = named()
    second = v2sp.start(s.directory, s.config, name="second")
    try:
        second.wait_log("control.sock: another process serves it")
        assert admin.status(s.config, "--no-rates")["process"]["pid"] == s.process.pid
        assert s.process.stop() == 0
        second.wait_log("control.sock: served by us now")
        assert admin.status(s.config, "--no-rates")["process"]["pid"] == second.pid
    finally:
        second.stop()


@pytest.mark.sanitizer
def test_clients_that_dawdle(named):
    """Silent, half-way and broken ones are many and do not keep others from an answer."""
    s = named()
    path = admin.socket_path(s)
    streams = [admin.connect(path) for _ in range(40)]
    for i, stream in enumerate(streams):
        try:
            stream.sendall((b"", b"GET /sta", b"\x16\x03\x01 nonsense\r\n\r\n", b"GET /status HTTP/1.1\r\n" * 400)[i % 4])
        except OSError as e:
            assert e.errno in (errno.EPIPE, errno.ECONNRESET)
    assert admin.request(path, "GET", "/status?rates=no")[0] == 200
    assert admin.request(path, "POST", "/status")[0] == 405
    assert admin.request(path, "GET", "/other")[0] == 404
    assert admin.request(path, "GET", "/status?users=-1")[0] == 400
    assert admin.request(path, "POST", "/spool/drop", b"x" * 70_000)[0] == 413
    for stream in streams:
        stream.close()
    assert s.process.alive()


@pytest.mark.slow
def test_a_hundred_thousand_users(named, node, origin):
    """Who is idle costs next to nothing, and the answer is no longer for him: 1.2 ms where this was measured."""
    node.users = [(i, f"{i:08x}-0000-4000-8000-000000000000") for i in range(1, 100_001)]
    s = named(push=300, pull=300)
    seen(s, lambda d: only(d)["users"] == 100_000, "all users", "--no-rates")
    with vless.Session(node, node.users[77][1], origin) as one:
        one.say(1000)
        path = admin.socket_path(s)
        admin.request(path, "GET", "/status")

        def spent():
            """Nanoseconds of the control thread, which is the first of the process."""
            with open(f"/proc/{s.process.pid}/task/{s.process.pid}/schedstat") as f:
                return int(f.read().split()[0])
        costs = []
        for _ in range(10):
            before = spent()
            code, body = admin.request(path, "GET", "/status?rates=no")
            costs.append(spent() - before)
            assert code == 200 and len(body) < 20_000
        assert sorted(costs)[5] < 10_000_000, costs


class Screen:
    """A program on a terminal of ours."""

    def __init__(self, argv, columns=80, lines=24):
        self.master, slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.text = ""

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait(self, pattern, timeout=20):
        """Reads until the pattern was written; the text up to its end, which is not read again."""
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.text, re.S)
            if found:
                taken, self.text = self.text[:found.end()], self.text[found.end():]
                return taken
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"never {pattern!r}: {self.text[-2000:]!r}"
            try:
                self.text = COLOR.sub("", self.text + os.read(self.master, 65536).decode("utf-8", "replace"))
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self.text!r}") from None

    def press(self, key):
        os.write(self.master, key.encode())

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def screen():
    opened = []

    def start(*argv, **size):
        opened.append(Screen([paths.v2sp(), *map(str, argv)], **size))
        return opened[-1]
    yield start
    for s in opened:
        s.close()


def test_top_on_a_terminal(named, node, origin, screen):
    s = named()
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        t = screen("top", "-c", s.config)
        t.wait(r"in-1 +vless/tcp +%d running.*1 +in-1 .*s sort: rate   n node: all" % node.port)
        assert not t.is_restored()
        t.press("s")
        t.wait("s sort: down")
        t.press("n")
        t.wait("n node: in-1")
        frame = t.wait(r"\x1b\[H.*\x1b\[J")
        lines = ESCAPE.sub("", frame.rpartition("\x1b[H")[2]).split("\n")
        assert len(lines) <= 24
        t.resize(120, 40)
        t.wait(r"SINCE.*DEVICES")
        t.press("q")
        t.wait(r"\x1b\[\?1049l")
        assert t.child.wait(10) == 0
        assert t.is_restored()


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_top_gives_the_terminal_back(named, screen, signo):
    s = named()
    t = screen("top", "-c", s.config, "-d", 60)
    t.wait("q quit")
    t.child.send_signal(signo)
    t.wait(r"\x1b\[\?1049l")
    t.child.wait(10)
    assert t.is_restored()


def test_top_in_a_script(named, tmp_path):
    s = named()
    done = admin.command("top", "-c", s.config, "-n", 2, "-d", 1)
    assert done.returncode == 0 and "\x1b" not in done.stdout
    assert done.stdout.count("PROTOCOL") == 2
    assert admin.command("top", "-n", 1, "--socket", tmp_path / "nobody.sock").returncode == 1
