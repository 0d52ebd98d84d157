"""Devices of users: counted over the nodes of a process, when a limit changes, in what the panel hears, and between
processes through a store."""
import re
import signal
import time
import urllib.request

import pytest

from harness import admin, certs, paths, ports, process, redis, spec, v2sp, vless, wait
from harness.panel import Panel
from harness.spec import ALICE, BOB

HOMES = [f"127.78.{i}.1" for i in range(1, 5)]
# Sources on this host tell no devices apart, unless the node is told so.
LOCAL = {"DeviceCountPrivate": True}


def node_with(**limits):
    return spec.Node(port=ports.free_port(), users=[(1, ALICE)], limits={1: limits}, options=LOCAL)


def session(node, home, origin, user=ALICE):
    s = vless.Session(node, user, origin, source=(home, 0))
    try:
        s.say(3)
    except BaseException:
        s.close()
        raise
    return s


def is_refused(node, home, origin):
    try:
        session(node, home, origin).close()
        return False
    except (OSError, AssertionError):
        return True


@pytest.mark.sanitizer
def test_nodes_of_a_panel_count_together(serve, origin):
    one, two = node_with(device_limit=1), node_with(device_limit=1)
    s = serve(one)
    s.panel.add_node(2, "a-token-of-its-own", v2sp.node_object(two), v2sp.user_list(two))
    s.reconfigure(nodes=[v2sp.node_entry(one, s.panel.url, 1),
                         v2sp.node_entry(two, s.panel.url, 2, token="a-token-of-its-own")])
    s.process.signal(signal.SIGHUP)
    s.process.wait_port(two.port)
    with session(one, HOMES[0], origin) as a, session(two, HOMES[0], origin) as b:
        a.say()
        assert is_refused(two, HOMES[1], origin)
        assert is_refused(one, HOMES[1], origin)
        b.say()


@pytest.mark.parametrize("before", [3, pytest.param(0, marks=pytest.mark.sanitizer)], ids=["lowered", "new"])
def test_a_smaller_limit_ends_the_quieter_devices(serve, origin, before):
    """The idle ones at once, too. Who had no limit is counted when it comes."""
    node = node_with(device_limit=before)
    s = serve(node)
    homes = [session(node, home, origin) for home in HOMES[:3]]
    until = time.monotonic() + 1.1        # activity is known to the second
    wait.until(lambda: homes[1].say() or time.monotonic() > until, 30, "the second is the busy one")
    s.panel.set_users(1, [{"id": 1, "uuid": ALICE, "device_limit": 1}])
    assert homes[0].ended(30) and homes[2].ended(30)
    homes[1].say()
    for h in homes:
        h.close()


@pytest.mark.slow
def test_who_is_online(serve, origin):
    """A ping makes no device, a slow session does, and stays one; the panel is told who has left."""
    node = node_with()
    s = serve(node, extra={"DeviceOnlineMinTraffic": 1000})
    s.panel.wait_calls("alivelist")
    session(node, HOMES[1], origin).close()
    with session(node, HOMES[0], origin) as a:
        wait.until(lambda: s.panel.online.get(1) == {"1": [HOMES[0]]}, 30, lambda: f"alive: {s.panel.online}")
        s.panel.online.clear()
        a.say()
        wait.until(lambda: s.panel.online, 30, "another report")
        assert s.panel.online == {1: {"1": [HOMES[0]]}}
    wait.until(lambda: s.panel.online.get(1) == {"1": []}, 30, lambda: f"alive: {s.panel.online}")


# -- between processes


@pytest.fixture
def store(stage, tmp_path):
    r = redis.Redis(str(tmp_path))
    stage.at_end(r.stop)
    return r


class Pair:
    """Two processes with a node each, of one panel."""

    def __init__(self, stage, serve, limit, **top):
        panel = Panel()
        stage.at_end(panel.close)
        extra = {"DeviceGrace": "1s"}
        self.nodes = [node_with(device_limit=limit) for _ in range(2)]
        self.served = [serve(n, name=f"v2sp{i}", panel=panel, node_id=i, extra=extra, top=top)
                       for i, n in enumerate(self.nodes, 1)]

    def wait_log(self, pattern):
        for s in self.served:
            s.process.wait_log(pattern, timeout=40)


def store_at(r, **more):
    return {"DeviceStore": {"Type": "redis", "Address": f"unix:{r.path}", "Expiry": "3s", **more}}


def admitted(r, count, home):
    wait.until(lambda: len(r.devices().get(f"{home}/32", ())) == count, 20, lambda: f"{home}: {r.devices()}")


def has_place(r, node, home, origin):
    """Is a session from there served, and not ended when the store has been asked?"""
    try:
        with session(node, home, origin) as s:
            wait.until(lambda: f"{home}/32" in r.devices() or s.ended(0.05), 20, "a verdict")
            return s.ended(0.05) is None
    except (OSError, AssertionError):
        return False


@pytest.mark.sanitizer
@pytest.mark.parametrize("limit", [1, 2])
def test_processes_count_together(stage, serve, store, origin, limit):
    pair = Pair(stage, serve, limit, **store_at(store))
    pair.wait_log("DeviceStore .*connected")
    one, two = pair.nodes
    inside = [session(one, home, origin) for home in HOMES[:limit]]
    for home in HOMES[:limit]:
        admitted(store, 1, home)
    with session(two, HOMES[0], origin) as same:
        admitted(store, 2, HOMES[0])                # the same device on both
        try:
            with session(two, HOMES[3], origin) as late:
                assert late.ended(20)               # one too many: let in by what was known, then ended
        except OSError:
            pass                                    # or before it could say a word
        assert is_refused(two, HOMES[3], origin)    # now it is known
        for s in [same, *inside]:
            s.say()
    for s in inside:
        s.close()
    wait.until(lambda: has_place(store, two, HOMES[3], origin), 30, "the places are free again")


@pytest.mark.sanitizer
def test_a_store_that_goes_and_comes_back(stage, serve, store, origin):
    pair = Pair(stage, serve, 1, **store_at(store))
    pair.wait_log("DeviceStore .*connected")
    one, two = pair.nodes
    with session(one, HOMES[0], origin) as a:
        admitted(store, 1, HOMES[0])
        store.kill()
        pair.wait_log("DeviceStore .*counted without it")
        with session(two, HOMES[1], origin) as b:   # by what each knows itself
            a.say()
            b.say()
            assert is_refused(one, HOMES[2], origin)
            store.restart()
            pair.wait_log("DeviceStore .*works again")
            # One of them is one too many, whoever asks last.
            wait.until(lambda: (a.ended(0.1) is None) != (b.ended(0.1) is None), 30, "one has ended")
    for s in pair.served:
        assert s.process.log().count("counted without it") == 1


def test_a_smaller_limit_between_processes(stage, serve, store, origin):
    pair = Pair(stage, serve, 2, **store_at(store))
    pair.wait_log("DeviceStore .*connected")
    one, two = pair.nodes
    with session(one, HOMES[0], origin) as a, session(two, HOMES[1], origin) as b:
        for home in HOMES[:2]:
            admitted(store, 1, home)
        a.say()
        b.say()
        for i in (1, 2):
            pair.served[0].panel.set_users(i, [{"id": 1, "uuid": ALICE, "device_limit": 1}])
        wait.until(lambda: (a.ended(0.1) is None) != (b.ended(0.1) is None), 30, "one has ended, the other has not")


def test_the_store_counts_where_it_works(serve, store, origin):
    """Else what the panel says of devices elsewhere."""
    node = node_with(device_limit=2)
    panel = Panel()
    panel.alive = {"1": 9}
    with panel:
        s = serve(node, panel=panel, top=store_at(store))
        s.process.wait_log("DeviceStore .*connected")
        wait.until(lambda: panel.count("config") > 1, 20, "the first pull has ended")
        with session(node, HOMES[0], origin) as a:
            admitted(store, 1, HOMES[0])
            store.kill()
            s.process.wait_log("DeviceStore .*counted without it", timeout=20)
            assert is_refused(node, HOMES[1], origin)
            a.say()


def test_a_key_of_somebody_else(serve, store, origin):
    """It stays as it is; its user is counted without the store, said once, until it is gone. Others do not notice."""
    address = f"127.0.0.1:{ports.free_port()}"
    node = spec.Node(port=ports.free_port(), users=[(1, ALICE), (2, BOB)], options=LOCAL,
                     limits={1: {"device_limit": 1}, 2: {"device_limit": 1}})
    s = serve(node, top={**store_at(store), "Metrics": {"Listen": address}})
    s.process.wait_log("DeviceStore .*connected")

    def seen():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            lines = [x for x in page.read().decode().splitlines() if x.startswith("v2sp_device_store_")]
        (state,) = admin.status(s.config, "--no-rates")["device_stores"]
        return state, {x.split("{")[0]: float(x.rsplit(" ", 1)[1]) for x in lines}

    with session(node, HOMES[0], origin) as alice:
        admitted(store, 1, HOMES[0])
        (key,) = store.ask("KEYS", "v2sp:dev:*:1")
        store.ask("DEL", key)
        store.ask("SET", key, "mine")
        s.process.wait_log("DeviceStore .*" + key + " holds something else")
        assert is_refused(node, HOMES[1], origin)
        with session(node, HOMES[2], origin, BOB):
            wait.until(lambda: store.devices(user=2), 20, "the other user's device")
            state, metrics = seen()
            assert (state["state"], state["foreign_keys"], state["failed"]) == ("connected", 1, 0)
            assert state["address"] == f"unix:{store.path}" and state["answered"] > 1
            assert (metrics["v2sp_device_store_up"], metrics["v2sp_device_store_foreign_keys"]) == (1, 1)
        alice.say()
        assert store.ask("GET", key) == "mine"
        store.ask("DEL", key)
        admitted(store, 1, HOMES[0])
        s.process.wait_log("DeviceStore .*all keys hold devices again")
        store.kill()
        s.process.wait_log("DeviceStore .*counted without it until")
        state, metrics = seen()
        assert state["state"] == "down" and state["last_error"] and state["foreign_keys"] == 0
        assert metrics["v2sp_device_store_up"] == 0
    log = s.process.log()
    assert log.count("holds something else") == 1 and log.count("counted without it until") == 1


# -- over TLS


TLS_NAME = "redis.test"


@pytest.fixture
def pki(tmp_path):
    root = certs.authority(tmp_path)
    return root, certs.issue(tmp_path, root, "server", f"DNS:{TLS_NAME},IP:127.0.0.1")


def tls_store(r, **more):
    return store_at(r, **{"Address": f"127.0.0.1:{r.port}", "TLS": True, **more})


@pytest.mark.sanitizer
def test_a_store_over_tls(stage, serve, origin, tmp_path, pki):
    """With a certificate of ours, and a password that nobody else hears."""
    root, cert = pki
    ours = certs.issue(tmp_path, root, "ours", "DNS:node.test")
    r = redis.Redis(str(tmp_path), password="a-Pa55word", tls=cert, root=root)
    stage.at_end(r.stop)
    pair = Pair(stage, serve, 1, **tls_store(r, CA=root.cert, CertFile=ours.cert, KeyFile=ours.key,
                                             Password=r.password))
    pair.wait_log("DeviceStore .*connected")
    one, two = pair.nodes
    with session(one, HOMES[0], origin):
        admitted(r, 1, HOMES[0])
        with session(two, HOMES[0], origin):
            admitted(r, 2, HOMES[0])
        r.kill()
        pair.wait_log("DeviceStore .*counted without it")
        r.restart()
        pair.wait_log("DeviceStore .*works again")
        admitted(r, 1, HOMES[0])
    assert not any(r.password in s.process.log() for s in pair.served)


def test_whom_a_store_over_tls_must_be(stage, serve, origin, tmp_path, pki):
    """One clear line for each mistake; what the process sees itself counts meanwhile."""
    root, cert = pki
    r = redis.Redis(str(tmp_path), tls=cert)
    stage.at_end(r.stop)
    plain = {"DeviceStore": {"Address": f"127.0.0.1:{r.port}"}}
    node = node_with(device_limit=1)
    other = certs.authority(tmp_path, "another root").cert
    s = serve(node, top=tls_store(r, CA=other))
    assert process.run([paths.v2sp(), "check", "-c", s.config])[0] == 0
    s.process.wait_log("DeviceStore .*its certificate is refused: unable to get local issuer certificate;")
    with session(node, HOMES[0], origin):
        assert is_refused(node, HOMES[1], origin)
    for top, said in [(tls_store(r, CA=root.cert, ServerName="else.test"), "is refused: hostname mismatch;"),
                      (tls_store(r), "is refused: "),
                      (plain, "(it speaks|as one that wants) TLS;"),
                      (tls_store(r, Insecure=True), "connected"),
                      (tls_store(r, CA=root.cert, ServerName=TLS_NAME), "connected")]:
        before = len(s.process.log())
        s.reconfigure(top=top)
        s.process.signal(signal.SIGHUP)
        wait.until(lambda: re.search(f"DeviceStore 127.*{said}", s.process.log()[before:]), 30,
                   lambda: f"{said}: {s.process.log()[before:]}")
    assert s.process.log().count("Insecure: its certificate is not checked") == 1
    with session(node, HOMES[2], origin):
        admitted(r, 1, HOMES[2])
    s.reconfigure(top=tls_store(r, CA=root.cert, CertFile=root.cert, KeyFile=cert.key))
    status, out = process.run([paths.v2sp(), "check", "-c", s.config])
    assert status == 1 and "DeviceStore: the private key does not belong to the certificate" in out


def test_a_password(stage, serve, origin, tmp_path):
    right, wrong = "right-Pa55word", "wrong-Pa55word"
    r = redis.Redis(str(tmp_path), password=right)
    stage.at_end(r.stop)
    node = node_with(device_limit=1)
    s = serve(node, top=store_at(r, Password=wrong))
    s.process.wait_log("DeviceStore .*refuses")
    session(node, HOMES[0], origin).close()
    s.reconfigure(top=store_at(r, Password=right))
    s.process.signal(signal.SIGHUP)
    s.process.wait_log("DeviceStore .*connected")
    with session(node, HOMES[0], origin):
        admitted(r, 1, HOMES[0])
    assert right not in s.process.log() and wrong not in s.process.log()
