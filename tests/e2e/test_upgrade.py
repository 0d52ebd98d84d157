"""Reload and upgrade under load: nobody is dropped, no byte is wrong, every byte is reported once."""
import contextlib
import json
import os
import resource
import signal
import socket
import threading
import time

import pytest

from harness import (admin, crowd, flows, muxcool, origins, paths, ports, process, shadowsocks, socks5, spec, tally,
                     upgrades, v2sp, vless, wait)
from harness.spec import ALICE, BOB


@pytest.fixture(autouse=True)
def orphans():
    upgrades.adopt_orphans()


RELOADS = [{"LimitConfig": {"SpeedLimit": 900}}, {"DrainTimeout": 31}, {"ApiKey": "test-token-0123456789", "Timeout": 6},
           {"ReportMinTraffic": 1, "HandshakesPerSource": 500}, {}]


def reload(s, number):
    """Changes an option or two of the node and waits until that acts."""
    s.reconfigure(extra=RELOADS[number % len(RELOADS)], top={"Log": {"Level": ("info", "debug")[number % 2]}})
    seen = len(s.process.log().split("read again")) - 1
    s.process.signal(signal.SIGHUP)
    s.process.wait_log(r"read again: 1 nodes", count=seen + 1)


@pytest.mark.sanitizer
def test_nobody_notices_reloads_and_upgrades(serve, stage, node, origin):
    """200 connections, some of them a real client's, through 20 reloads and 5 upgrades: none fails, no byte is wrong, and
    afterwards the panel has been told every byte once."""
    s = serve(node)
    proxy = stage.client("xray", node, spec.Client(user=BOB))
    with crowd.Crowd.plain(180, node, ALICE, origin) as alice, crowd.Crowd.proxied(20, proxy, origin) as bob:
        alice.wait_all_present()
        bob.wait_all_present()
        for i in range(20):
            reload(s, i)
            if i % 4 == 3:
                upgrades.upgrade(s)
                alice.wait_sessions(20)
    assert len(upgrades.ended(s)) == 5
    upgrades.wait_all_left(s)
    s.panel.wait_sum(1, alice.up, alice.down)
    s.panel.wait_sum(2, bob.up, bob.down)
    assert s.panel.raw == s.panel.total, "a report was sent twice"


def command(s, *args):
    """`v2sp upgrade` against a running service: (exit status, what it printed)."""
    return process.run([paths.v2sp(), "upgrade", *args, "-c", s.config], timeout=60)


def hanging(s):
    """A program that passes for v2sp, and never gets ready."""
    path = os.path.join(s.directory, "hangs")
    with open(path, "w") as f:
        f.write("#!/bin/sh\n[ $1 = check ] || exec sleep 1000\n")
    os.chmod(path, 0o755)
    return path


def test_the_command(serve, node, origin):
    """`v2sp upgrade FILE`: that file serves afterwards."""
    s = serve(node)
    copy = os.path.join(s.directory, "v2sp-new")
    os.symlink(paths.v2sp(), copy)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        status, text = command(s, copy)
        assert status == 0 and "serves now" in text, text
        upgrades.follow(s)
        alice.say()
        assert not vless.refused(node, BOB, origin)
        assert os.readlink(f"/proc/{s.process.pid}/exe") == os.path.realpath(copy)
    upgrades.wait_all_left(s)
    s.panel.wait_sum(1, alice.up, alice.down)


def test_the_command_checks_what_runs(serve, node, origin):
    """Not the default file, nor the one that was named: those may be good where the one that runs is not."""
    s = serve(node)

    def upgrade(*args):
        return process.run([paths.v2sp(), "upgrade", "--socket", admin.socket_path(s), *args], timeout=60)

    wait.until(lambda: os.path.exists(admin.socket_path(s)), 30, "the socket")
    with open(s.config) as f:
        good = f.read()
    other = os.path.join(s.directory, "other.json")
    for path, text in ((other, good), (s.config, "{")):
        with open(path, "w") as f:
            f.write(text)
    status, text = upgrade("-c", other)
    assert status == 1 and f"check -c {s.config} failed" in text, text
    with open(s.config, "w") as f:
        f.write(good)
    status, text = upgrade()
    assert status == 0 and "serves now" in text, text
    upgrades.follow(s)
    assert not vless.refused(node, BOB, origin)


@pytest.mark.skipif(os.geteuid() != 0, reason="of two users one must be root")
def test_the_command_starts_no_file_for_another_user(serve, node):
    """The service runs without rights and root upgrades it: what it names as its program root must not start."""
    s = serve(node)
    named, started, path = (os.path.join(s.directory, name) for name in ("named", "started", "fake.sock"))
    with open(named, "w") as f:
        f.write(f"#!/bin/sh\ntouch {started}\n")
    os.chmod(named, 0o755)
    told = json.dumps({"directory": "/", "config": s.config, "binary": named})

    def answer(listener):
        for end, text in ((b"\r\n\r\n", told), (b"}", '{"text": "done"}')):
            with listener.accept()[0] as c:
                asked = piece = c.recv(65536)
                while piece and not asked.endswith(end):
                    piece = c.recv(65536)
                    asked += piece
                c.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.seteuid(65534)        # what the kernel tells of who listens
        try:
            listener.listen()
        finally:
            os.seteuid(0)
        fake = threading.Thread(target=answer, args=(listener,), daemon=True)
        fake.start()
        status, text = process.run([paths.v2sp(), "upgrade", "--socket", path], timeout=60)
        assert status == 0 and "done" in text, text
        fake.join()
    assert not os.path.exists(started)


def test_without_descriptors_nothing_is_handed_over(serve, node, origin):
    """A socket that cannot be copied would be closed, with what waits in its queue: there is no upgrade."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        before = resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, (4, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        s.process.signal(signal.SIGUSR2)
        s.process.wait_log("upgrade failed.*not all listening sockets")
        resource.prlimit(s.process.pid, resource.RLIMIT_NOFILE, before)
        alice.say()
        assert not vless.refused(node, BOB, origin)
        upgrades.upgrade(s)
        alice.say()


def test_a_port_does_not_move_during_an_upgrade(serve, node):
    """It did when the panel said so just then: the old process listened on the new port, the new one could not, and the
    upgrade failed. Now the panel is asked afterwards."""
    s = serve(node)
    hangs = hanging(s)
    s.panel.wait_calls("alivelist")
    moved = node.with_(port=ports.free_port())
    s.panel.nodes[1].config = v2sp.node_object(moved)
    upgrade = threading.Thread(target=command, args=(s, hangs, "--timeout", "7"))     # a pull is due in five seconds
    upgrade.start()
    s.process.wait_port(moved.port, timeout=40)
    assert "upgrade failed" in s.process.log(), "the port has moved before"
    upgrade.join()


def test_an_upgrade_that_fails_changes_nothing(serve, node, origin):
    """A program that ends, one that hangs (a second upgrade is refused meanwhile), one that is none, a wrong configuration:
    the old process goes on, says why, and the next upgrade succeeds."""
    s = serve(node)
    hangs = hanging(s)
    none = os.path.join(s.directory, "none")
    with open(none, "w") as f:
        f.write("no program")
    os.chmod(none, 0o755)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        for args, why in ((["/bin/false"], "check"), ([none], "cannot start"), ([s.directory + "/missing"], "No such file"),
                          (["/bin/true"], "ended with status 0"), ([hangs, "--timeout", "3"], "not ready in time")):
            second = threading.Thread(target=lambda: (s.process.wait_log(f"{hangs} is started"),
                                                      s.process.signal(signal.SIGUSR2)))
            if hangs in args:
                second.start()
            status, text = command(s, *args)
            assert status == 1 and why in text, text
            alice.say()
            assert not vless.refused(node, BOB, origin)
        second.join()
        s.process.wait_log("no upgrade: an upgrade is under way already|no upgrade: the process of the last")
        with open(s.config) as f:
            good = f.read()
        with open(s.config, "w") as f:
            f.write("{")
        wait_failed_ended(s)
        s.process.signal(signal.SIGUSR2)
        s.process.wait_log(r"upgrade failed.*config\.json:1")
        with open(s.config, "w") as f:
            f.write(good)
        alice.say()
        wait_failed_ended(s)
        upgrades.upgrade(s)
        alice.say()
        assert not vless.refused(node, BOB, origin)
    upgrades.wait_all_left(s)
    s.panel.wait_sum(1, alice.up, alice.down)


def test_a_long_download_goes_on(serve, node):
    """Through an upgrade in its middle, byte by byte, in the process that began it."""
    size = 40_000_000
    node.limits = {1: {"speed_limit": 100}}
    s = serve(node)
    with origins.Tcp() as origin, vless.connect((node.listen, node.port)) as c:
        ask = f"SOURCE {size} 7\n".encode()
        stream = vless.Stream(c, ALICE, origin.host, origin.port, first=ask)
        begin = stream.read(size // 20)
        old = upgrades.upgrade(s)
        assert old.alive()
        rest = stream.read(size - len(begin))
        assert begin + rest == b"".join(origins.stream(size, 7))
    upgrades.wait_all_left(s)
    s.panel.wait_sum(1, len(ask), size)


@pytest.mark.parametrize("who", ["old", "new"])
def test_kill_9_loses_nothing(serve, node, origin, who):
    """The old process is killed while it drains, or the new one after it has taken over: the sums are whole."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say(10_000)
        old = upgrades.upgrade(s)
        alice.say(10_000)
        with vless.Session(node, BOB, origin) as late:
            late.say(5_000)
            bob.say(7_000)
            if who == "old":
                old.stopped = True
                old.kill()
                assert alice.ended(20) is not None
                late.say(5_000)
        if who == "new":
            s.process.kill()
            alice.say(1_000)         # the old one goes on with what it has
            alice.close()
            bob.close()
            assert old.wait(40) == 1, "the service has failed"
            s.start()
    s.panel.wait_sum(1, alice.up, alice.down)
    s.panel.wait_sum(2, bob.up + late.up, bob.down + late.down)
    assert s.panel.raw == s.panel.total


def test_a_removed_user_is_cut_in_the_old_process_too(serve, node, origin):
    """The newest process asks the panel; the sessions the oldest one has left end all the same, by way of one that has none
    itself. The others do not notice."""
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say()
        bob.say()
        old = upgrades.upgrade(s)
        upgrades.upgrade(s)
        s.panel.set_users(1, [u for u in v2sp.user_list(node) if u["id"] != 2])
        assert bob.ended(30) is not None
        assert old.alive()
        alice.say()
    s.panel.wait_sum(2, bob.up, bob.down)


def test_native_udp_moves_at_once(serve, stage):
    """Shadowsocks: the next datagram of a session is the new process's, answers come back, sums are whole. (Once: clients
    of the 2022 editions take no more than one new session of the server within a minute.)"""
    node = spec.Node(port=ports.free_port(), protocol="shadowsocks", settings=shadowsocks.node("2022-blake3-aes-128-gcm"),
                     users=[(1, ALICE), (2, BOB)])
    s = serve(node)
    wait.until(lambda: wait.udp_bound(node.port), 30, "the UDP port")
    proxy = stage.client("xray", node, spec.Client(user=ALICE))
    moved = 0
    with origins.UdpEcho() as o, socks5.Udp(proxy) as u:
        for number in range(20):
            data = os.urandom(1 + 40 * number)
            u.sendto(data, o.address)
            assert u.recvfrom() == (data, o.address)
            moved += len(data)
            if number == 10:
                upgrades.upgrade(s)
        assert len(o.peers) == 2, "a port for each process"
    upgrades.wait_all_left(s)
    s.panel.wait_sum(1, moved, moved)


def test_a_carrier_goes_on_taking_streams(serve, node):
    """In the process that has it: its client opens them nowhere else. Every byte is reported."""
    s = serve(node)
    target, up, down = tally.Target(), 0, 0
    mux = flows.Mux(flows.RAW, (node.listen, node.port), ALICE)

    def visit():
        nonlocal up, down
        flow = flows.Tcp(target, None, lambda _: mux.stream(muxcool.TCP, target.address))
        assert flow.exchange(5_000, 70_000), "the stream was refused"
        flow.close()
        up, down = up + flow.sent, down + flow.received

    visit()
    old = upgrades.upgrade(s)
    visit()
    assert old.alive()
    visit()
    mux.carrier.socket.close()
    upgrades.wait_all_left(s)
    s.panel.wait_sum(1, up, down)
    target.stop()


def child_of(proc):
    with open(f"/proc/{proc.pid}/task/{proc.pid}/children") as f:
        return int(f.read() or 0)


def wait_failed_ended(s):
    wait.until(lambda: not child_of(s.process), 20, "the failed process to end")


class Systemd:
    """Starts `s` as systemd does, with a socket that hears what it is told."""

    def __init__(self, s, *args):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.path.join(s.directory, "notify"))
        s.process = process.Process("v2sp", [paths.v2sp(), "run", "-c", s.config, *args], s.directory,
                                    env={"NOTIFY_SOCKET": self._socket.getsockname()})
        s.process.wait_port(s.node.port)
        assert self.hear() == serves(s.process)

    def hear(self):
        self._socket.settimeout(20)
        return self._socket.recv(1000).decode().split()

    def hears_nothing(self):
        self._socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            self._socket.recv(1000)


def serves(proc):
    return ["READY=1", f"MAINPID={proc.pid}"]


def test_systemd_hears_nothing_of_an_upgrade_that_fails(stage, node):
    """The new process is never ready, reads its configuration again, and is told to stop. That the service stops, or has
    another main process, would end it."""
    s = v2sp.Served(node, stage.subdirectory("v2sp"))
    stage.watch_served(s)
    systemd = Systemd(s, "--watch=false")
    with socket.create_server((node.listen, 0)) as stranger:
        s.reconfigure(extra={"Port": stranger.getsockname()[1]})
        s.process.signal(signal.SIGUSR2)
        s.process.wait_log("is in use by another program")
        new = child_of(s.process)
        os.kill(new, signal.SIGHUP)
        s.process.wait_log("read again: 1 nodes")
        os.kill(new, signal.SIGTERM)
        s.process.wait_log("upgrade failed.*ended with status 0")
    systemd.hears_nothing()


def test_systemd_is_told_when_the_new_process_crashes(stage, node, origin):
    """It is the child of the old one, so systemd does not see its end: the old one is the main process again, and fails."""
    s = v2sp.Served(node, stage.subdirectory("v2sp"))
    s.expected_to_end = True
    stage.watch_served(s)
    systemd = Systemd(s)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        old = upgrades.upgrade(s)
        assert systemd.hear() == serves(s.process)
        s.process.kill()
        assert systemd.hear() == serves(old)
        assert old.wait() == 1


def test_a_service_that_stops_is_not_upgraded(serve, node, origin):
    """While its last sessions end: a new process would serve on."""
    s = serve(node, top={"DrainTimeout": 60})
    with vless.Session(node, ALICE, origin) as alice:
        alice.say()
        s.process.stopped = True
        s.process.signal(signal.SIGTERM)
        s.process.wait_log("stopping: no new connections")
        s.process.signal(signal.SIGUSR2)
        s.process.wait_log("no upgrade: this process is stopping")
        alice.say()
    assert s.process.wait() == 0


def test_a_service_that_stops_ends_the_new_process_too(serve, node):
    """One that is not ready yet."""
    s = serve(node)
    hangs = hanging(s)
    upgrade = threading.Thread(target=command, args=(s, hangs))
    upgrade.start()
    s.process.wait_log("hangs is started")
    new = wait.until(lambda: child_of(s.process), 30, "the new process")
    s.process.stopped = True
    s.process.signal(signal.SIGTERM)
    assert s.process.wait() == 0
    upgrade.join()
    assert "upgrade failed: " in s.process.log()
    assert not os.path.exists(f"/proc/{new}")


def test_process_1_is_not_upgraded(serve, node):
    """All of a container ends with it."""
    as_root = [] if os.geteuid() == 0 else ["-r"]
    s = serve(node, wrapper=("unshare", *as_root, "-pf"))
    status, text = command(s, paths.v2sp())
    assert status == 1 and "process 1 of a container" in text, text
    assert wait.connectable(node.listen, node.port)
    s.process.stopped = True
    os.kill(child_of(s.process), signal.SIGTERM)
    assert s.process.wait() == 0


def test_pid_file_and_ports_of_the_control_plane(stage, node):
    """They are the new process's as soon as it serves."""
    port = ports.free_port()
    s = v2sp.Served(node, stage.subdirectory("v2sp"), top={"Metrics": {"Listen": f"127.0.0.1:{port}"}})
    stage.watch_served(s)
    pid_file = os.path.join(s.directory, "v2sp.pid")
    systemd = Systemd(s, "--pid-file", pid_file)
    with open(pid_file) as f:
        assert int(f.read()) == s.process.pid
    upgrades.upgrade(s)
    assert systemd.hear() == serves(s.process)

    def in_file():
        with open(pid_file) as f:
            return int(f.read())
    wait.until(lambda: in_file() == s.process.pid, 30, "the new number")
    wait.until(lambda: wait.connectable("127.0.0.1", port), 30, "the page")
    upgrades.wait_all_left(s)
    assert in_file() == s.process.pid
    s.stop()
    assert not os.path.exists(pid_file)


def test_what_the_old_process_knows_of_users_goes_on(serve, node, origin):
    """A dynamic limit holds in the process that takes over, and after a crash, for the rest of its time; who was told
    online in the old one, and is not there in the new one, is taken back."""
    dynamic = {"Periodic": 60, "Traffic": "1m", "SpeedLimit": 4, "ExpireTime": "10m"}
    s = serve(node, extra={"LimitConfig": {"EnableDynamicSpeedLimit": True, "DynamicSpeedLimitConfig": dynamic}})

    def held():
        with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
            alice.say()
            bob.say()
            wait.until(lambda: admin.command("status", "-c", s.config, "--no-rates").returncode == 0, 30, "the socket")
            users = {u["uid"]: u for u in admin.status(s.config, "--no-rates")["users"]}
            return users.get(1, {}).get("dynamic_mbps"), users.get(2, {}).get("dynamic_mbps")

    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1_500_000)
        s.process.wait_log("user=1.*: dynamic speed limit: .*: held to 4 Mbit/s for 600 s", timeout=30)
        wait.until(lambda: s.panel.online.get(1) == {"1": ["127.0.0.1"]}, 30, lambda: f"alive: {s.panel.online}")
        upgrades.upgrade(s)
        s.process.wait_log("dynamic speed limits of 1 user go on from the last process")
    upgrades.wait_all_left(s)
    wait.until(lambda: s.panel.online.get(1) == {"1": []}, 30, lambda: f"alive: {s.panel.online}")
    assert held() == (4, 0)
    s.restart(kill=True)
    assert held() == (4, 0)


def test_who_is_only_in_the_old_process_is_online(serve, node, origin):
    """In the panel and in `status`, as long as he is there; then he is taken back once. Who is in both is there once."""
    s = serve(node, extra={"DrainTimeout": 600})
    here = ["127.0.0.1"]

    def told(online):
        wait.until(lambda: s.panel.online.get(1) == online, 30, lambda: f"alive: {s.panel.online}, not {online}")

    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say()
        bob.say()
        old = upgrades.upgrade(s)
        with vless.Session(node, BOB, origin) as late:
            late.say()
            told({"1": here, "2": here})
            seen = s.panel.count("alive")
            wait.until(lambda: s.panel.count("alive") > seen + 1 and alice.say() is None, 30, "two more reports")
            assert s.panel.online[1] == {"1": here, "2": here}
            v = admin.status(s.config, "--no-rates")
            assert v["nodes"][0]["users_online"] == 2
            assert {u["uid"]: (u["connections"], u["draining"]) for u in v["users"]} == {1: (0, 1), 2: (1, 1)}
            alice.close()
            told({"2": here})
            assert s.panel.onlines.count({"1": [], "2": here}) == 1
            assert old.alive()
            bob.say()
            old.stopped = True
            old.kill()
            s.process.wait_log("the earlier process has ended")
            late.say()
            assert [u["draining"] for u in admin.status(s.config, "--no-rates")["users"]] == [0]
        wait.until(lambda: {"2": []} in s.panel.onlines, 30, "bob to be taken back")


def test_two_processes_have_one_limit_of_connections(serve, node, origin):
    """What begins in the new process takes the places of what the old one has, the oldest first; the rest lives."""
    node.limits = {1: {"conn_limit": 3}}
    s = serve(node, extra={"DrainTimeout": 600})

    def connections():
        users = admin.status(s.config, "--no-rates")["users"]
        return next((u["connections"] for u in users if u["uid"] == 1), 0)

    with contextlib.ExitStack() as stack:
        def begin():
            session = stack.enter_context(vless.Session(node, ALICE, origin))
            session.say()
            return session

        first, second, third = begin(), begin(), begin()
        old = upgrades.upgrade(s)
        wait.until(lambda: admin.command("status", "-c", s.config, "--no-rates").returncode == 0, 10, "the socket")
        fourth = begin()
        assert first.ended(30) is not None
        for session in second, third, fourth:
            session.say()
        fourth.close()
        wait.until(lambda: connections() == 0, 30, "the end of the fourth")
        fifth = begin()               # the place is free
        sixth = begin()
        assert second.ended(30) is not None
        seventh = begin()
        assert third.ended(30) is not None
        for session in fifth, sixth, seventh:
            session.say()
        assert connections() == 3
        old.wait(30)                  # it has none left
        for session in fifth, sixth, seventh:
            session.say()
    upgrades.wait_all_left(s)


class Download(threading.Thread):
    """Reads from the origin until `stop`; `got` bytes so far."""

    def __init__(self, node, user, origin):
        super().__init__(daemon=True)
        self.connection = vless.connect((node.listen, node.port))
        self.stream = vless.Stream(self.connection, user, origin.host, origin.port, first=b"SOURCE 4000000000 1\n")
        self.got, self.failed = 0, None
        self.start()

    def run(self):
        try:
            while data := self.stream.recv():
                self.got += len(data)
        except OSError as e:
            self.failed = e

    def stop(self):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.join()
        self.connection.close()


@pytest.mark.parametrize("other", [ALICE, BOB], ids=["user", "total"])
def test_two_processes_have_one_limit_of_speed(serve, node, other):
    """Of a user who moves bytes through both, or of a node: together they are no faster than one."""
    rate = 40
    node.limits = {1: {"speed_limit": rate}} if other is ALICE else {}
    limits = {} if other is ALICE else {"LimitConfig": {"NodeTotalSpeedLimit": rate}}
    s = serve(node, extra={"DrainTimeout": 600, **limits})
    with origins.Tcp() as origin, contextlib.ExitStack() as stack:
        first = Download(node, ALICE, origin)
        stack.callback(first.stop)
        wait.until(lambda: first.got > 0, 20, "the first download")
        old = upgrades.upgrade(s)
        second = Download(node, other, origin)
        stack.callback(second.stop)
        wait.until(lambda: second.got > 1_000_000, 30, "the second download")
        both = first.got, second.got

        def mbits():
            begin, before = time.monotonic(), first.got + second.got
            wait.until(lambda: first.got + second.got > before + 12_000_000, 60, "both")
            return (first.got + second.got - before) * 8 / (time.monotonic() - begin) / 1_000_000

        # What waited in the sockets while this machine did something else comes faster, once.
        seen = []
        assert any(seen.append(mbits()) or seen[-1] < rate * 1.35 for _ in range(5)), f"Mbit/s: {seen}"
        assert first.got > both[0] and second.got > both[1], "both go on"
        assert old.alive() and first.failed is None and second.failed is None
        old.stopped = True
        old.kill()
        at = second.got
        wait.until(lambda: second.got > at + 5_000_000, 30, "the second one to go on alone")


def test_two_processes_have_one_device_limit(serve, node, origin):
    """A device that the old process still serves has its place in the new one, until it is gone."""
    node.limits = {1: {"device_limit": 1}}
    s = serve(node, extra={"DeviceCountPrivate": True, "DeviceGrace": "1s"})

    def comes_in(home):
        try:
            with vless.Session(node, ALICE, origin, source=(home, 0)) as other:
                other.say()
                return True
        except (OSError, AssertionError):
            return False

    with vless.Session(node, ALICE, origin, source=("127.78.1.1", 0)) as alice:
        alice.say()
        old = upgrades.upgrade(s)
        # Where this took more than ten seconds alice was a quiet device until the next list.
        wait.until(lambda: alice.say() or not comes_in("127.78.2.1"), 30, "the limit")
        assert comes_in("127.78.1.1"), "it is the same device"
        assert old.alive()
        alice.say()
    wait.until(lambda: comes_in("127.78.2.1"), 30, "the place is free")
    upgrades.wait_all_left(s)


def test_a_device_that_lost_its_place_ends_in_the_old_process(serve, node, origin):
    """Another one has come in through the new process; the panel hears of one."""
    node.limits = {1: {"device_limit": 1}}
    s = serve(node, extra={"DeviceCountPrivate": True, "DeviceOverflow": "kick-oldest", "DrainTimeout": 600})
    with vless.Session(node, ALICE, origin, source=("127.78.1.1", 0)) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say()
        bob.say()
        old = upgrades.upgrade(s)
        with vless.Session(node, ALICE, origin, source=("127.78.2.1", 0)) as other:
            other.say()
            assert alice.ended(30) is not None
            other.say()
            wait.until(lambda: s.panel.online.get(1) == {"1": ["127.78.2.1"], "2": ["127.0.0.1"]}, 30,
                       lambda: f"alive: {s.panel.online}")
        assert old.alive()
        bob.say()


def test_devices_the_old_process_has_reported_are_our_own(serve, node, origin):
    """The panel counts what this node has told it before the upgrade, or before a crash: not devices elsewhere."""
    node.limits = {1: {"device_limit": 1}}
    node.options = {"DeviceCountPrivate": True}
    s = serve(node)
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        wait.until(lambda: s.panel.online.get(1, {}).get("1"), 30, "alice to be reported")
        s.panel.alive = {"1": 1}
        asked = s.panel.count("alivelist")
        upgrades.upgrade(s)
        wait.until(lambda: s.panel.count("alivelist") > asked, 20, "the new process to ask")
        assert not vless.refused(node, ALICE, origin)
        alice.say(1000)
    upgrades.wait_all_left(s)
    s.restart(kill=True)
    s.panel.wait_calls("alivelist")
    assert not vless.refused(node, ALICE, origin)
