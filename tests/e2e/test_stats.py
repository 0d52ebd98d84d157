"""The stats API with the clients people have: Python's grpcio, `xray api`, and frames by hand for what clients do not
send."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import grpc
import pytest

from harness import panel as behaviours
from harness import origins, paths, ports, process, stats, v2sp, vless, wait
from harness.spec import ALICE, BOB
from harness.stats import ALL, QUERY, api, settled

pytestmark = pytest.mark.v2sp_only


@pytest.mark.sanitizer
def test_counters_appear_and_reset(serve_api, node, origin):
    a = serve_api()
    with a.client() as c, a.client(service=stats.V2RAY) as old:
        assert c.query() == {}
        assert c.error("GetStats", stats.field(1, a.user(ALICE, "uplink"))) == \
            (grpc.StatusCode.NOT_FOUND, f"{a.user(ALICE, 'uplink')} not found.")
        with vless.Session(node, ALICE, origin) as alice:
            alice.say(1000)
            settled(c, a.user(ALICE, "downlink"), alice.down)
            everything = {f(k, d): n for d, n in (("uplink", alice.up), ("downlink", alice.down))
                          for f, k in ((a.user, ALICE), (a.node, "inbound"), (a.node, "outbound"))}
            assert c.query() == old.query() == everything
            assert old.get(a.user(ALICE, "uplink")) == alice.up

            assert c.get(a.user(ALICE, "uplink"), reset=True) == alice.up
            assert c.get(a.user(ALICE, "uplink")) == 0
            assert c.get(a.user(ALICE, "downlink")) == alice.down
            assert c.query(pattern="user>>>", reset=True)[a.user(ALICE, "downlink")] == alice.down
            assert c.query(pattern="user>>>") == {a.user(ALICE, "uplink"): 0, a.user(ALICE, "downlink"): 0}
            assert c.get(a.node("inbound", "uplink")) == alice.up
            before = alice.up
            alice.say(10)
            settled(c, a.user(ALICE, "uplink"), alice.up - before)
    # The panel was not cheated.
    a.panel.wait_sum(1, alice.up, alice.down)


def test_patterns(serve_api, node, origin):
    a = serve_api()
    with a.client() as c, vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say(100)
        bob.say(100)
        settled(c, a.user(BOB, "downlink"), bob.down)
        settled(c, a.user(ALICE, "downlink"), alice.down)
        names = {a.user(u, d) for u in (ALICE, BOB) for d in ("uplink", "downlink")}
        nodes = {a.node(k, d) for k in ("inbound", "outbound") for d in ("uplink", "downlink")}
        assert set(c.query()) == names | nodes
        assert set(c.query(pattern="user>>>")) == names
        assert set(c.query(patterns=[ALICE, BOB])) == names
        assert set(c.query(pattern=BOB, patterns=[ALICE])) == names
        assert set(c.query(pattern="uplink")) == {n for n in names | nodes if n.endswith("uplink")}
        assert set(c.query(pattern=">>>down")) == {n for n in names | nodes if n.endswith("downlink")}
        assert set(c.query(pattern=f"{ALICE}>>>traffic>>>up")) == {a.user(ALICE, "uplink")}
        assert c.query(pattern="USER") == c.query(pattern="^user") == {}
        assert set(c.query(patterns=["^user.*link$"], regexp=True)) == names
        assert set(c.query(patterns=["^user.*up", "^in.*(down|side)"], regexp=True)) == \
            {n for n in names if n.endswith("uplink")} | {a.node("inbound", "downlink")}

        code, text = c.error("QueryStats", stats.field(3, "user(") + stats.field(4, True) + stats.field(2, True))
        assert code == grpc.StatusCode.INVALID_ARGUMENT and "offset 5" in text
        code, text = c.error("QueryStats", stats.field(3, "^(([^Z]+)+)+(!|~)$") + stats.field(4, True) + stats.field(2, True))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert c.get(a.user(ALICE, "uplink")) == alice.up


def test_only_what_is_listed(serve_api, node, origin):
    a = serve_api({"inbounds": ["other"], "outbounds": ["direct"], "users": [f"in-1|{BOB}", "in-1|nobody"]})
    with a.client() as c, vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        alice.say(1000)
        bob.say(10)
        up, down = alice.up + bob.up, alice.down + bob.down
        settled(c, "outbound>>>direct>>>traffic>>>downlink", down)
        assert c.query() == {"outbound>>>direct>>>traffic>>>uplink": up, "outbound>>>direct>>>traffic>>>downlink": down,
                             a.user(BOB, "uplink"): bob.up, a.user(BOB, "downlink"): bob.down}
        assert c.error("GetStats", stats.field(1, a.user(ALICE, "uplink")))[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.sanitizer
def test_all_resets_are_all_bytes(serve_api, node, origin):
    """Several clients reset while two users are busy: nobody gets a byte twice, and none is lost."""
    a = serve_api()
    over, got, lock = threading.Event(), {}, threading.Lock()

    def take(client, **how):
        for name, n in client.query(reset=True, **how).items():
            with lock:
                got[name] = got.get(name, 0) + n

    def keep_taking():
        with a.client() as c:
            while not over.is_set():
                take(c, pattern="user>>>")
                take(c, patterns=["^inbound"], regexp=True)
    threads = [threading.Thread(target=keep_taking) for _ in range(4)]
    with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
        for t in threads:
            t.start()
        for n in range(60):
            alice.say(50_000 + n)
            bob.say(3 * n + 1)
        over.set()
        for t in threads:
            t.join()
        with a.client() as c:
            def complete():
                take(c)
                return got[a.user(ALICE, "downlink")] == alice.down and got[a.user(BOB, "downlink")] == bob.down
            wait.until(complete, 15, "all bytes were taken")
    assert (got[a.user(ALICE, "uplink")], got[a.user(BOB, "uplink")]) == (alice.up, bob.up)
    assert got[a.node("inbound", "uplink")] == alice.up + bob.up
    assert got[a.node("inbound", "downlink")] == alice.down + bob.down
    a.panel.wait_sum(1, alice.up, alice.down)


def test_a_removed_user_leaves_his_counter(serve_api, node, origin):
    a = serve_api(push=1, pull=1)
    with a.client() as c:
        with vless.Session(node, ALICE, origin) as alice, vless.Session(node, BOB, origin) as bob:
            alice.say(1000)
            bob.say(1)
            settled(c, a.user(ALICE, "downlink"), alice.down)
            a.panel.set_users(1, [{"id": 2, "uuid": BOB}])
            assert alice.ended(30)
        assert c.get(a.user(ALICE, "uplink")) == alice.up
        a.panel.set_users(1, [{"id": 1, "uuid": ALICE}, {"id": 2, "uuid": BOB}])

        def served():
            try:
                with vless.Session(node, ALICE, origin) as again:
                    again.say(5)
                    return again
            except (OSError, EOFError, AssertionError):
                return None
        again = wait.until(served, 30, "he is back")
        settled(c, a.user(ALICE, "downlink"), alice.down + again.down)
        assert c.query(pattern=ALICE, reset=True)[a.user(ALICE, "uplink")] == alice.up + again.up


def test_who_is_online(serve_api, node, origin):
    a = serve_api()

    def session(source):
        raw = vless.connect((node.listen, node.port), source=(source, 0))
        s = vless.Stream(raw, ALICE, origin.host, origin.port, first=b"ECHO\n")
        s.send(b"x")
        assert s.read(1) == b"x"
        return s
    name = a.user(ALICE) + ">>>online"
    with a.client() as c, a.client(service=stats.V2RAY) as old:
        assert c.error("GetStatsOnline", stats.field(1, name)) == (grpc.StatusCode.NOT_FOUND, f"{name} not found.")
        with session("127.0.0.2"), session("127.0.0.2"), session("127.0.0.3"), session("127.0.0.1"):
            assert stats.stat(dict(stats.fields(c.call("GetStatsOnline", stats.field(1, name))))[1]) == (name, 2)
            found = stats.fields(old.call("GetStatsOnlineIpList", stats.field(1, name)))
            assert found[0] == (1, name.encode())
            seen = dict(stats.stat(entry) for number, entry in found[1:])
            assert set(seen) == {"127.0.0.2", "127.0.0.3"} and all(abs(t - time.time()) < 30 for t in seen.values())
            assert stats.xray_api("statsonline", a.address, "-email", f"in-1|{ALICE}")[1]["stat"]["value"] == 2
            assert set(stats.xray_api("statsonlineiplist", a.address, "-email", f"in-1|{ALICE}")[1]["ips"]) == set(seen)
            assert stats.fields(c.call("GetAllOnlineUsers")) == [(1, name.encode())]
            users = stats.fields(c.call("GetUsersStats", stats.field(1, True) + stats.field(2, True)))
            assert len(users) == 1 and dict(stats.fields(users[0][1]))[1] == f"in-1|{ALICE}".encode()
            assert dict(stats.fields(dict(stats.fields(users[0][1]))[3])) == {1: 24, 2: 4}
            assert c.get(a.user(ALICE, "uplink")) == 0
        wait.until(lambda: stats.stat(dict(stats.fields(c.call("GetStatsOnline", stats.field(1, name))))[1]) == (name, 0), 15,
                   "he has gone")
        assert c.call("GetAllOnlineUsers") == b""
        # A traffic counter and who is online are two things.
        assert c.error("GetStats", stats.field(1, name))[0] == grpc.StatusCode.NOT_FOUND
        assert c.error("GetStatsOnline", stats.field(1, a.user(ALICE, "uplink")))[0] == grpc.StatusCode.NOT_FOUND


def test_xray_command_line(serve_api, node, origin):
    a = serve_api()
    with vless.Session(node, ALICE, origin) as alice, a.client() as c:
        alice.say(1000)
        settled(c, a.user(ALICE, "downlink"), alice.down)
        name = a.user(ALICE, "downlink")
        assert stats.xray_api("stats", a.address, "-name", name) == (0, {"stat": {"name": name, "value": alice.down}})
        rc, out = stats.xray_api("statsquery", a.address, "-pattern", "inbound")
        assert rc == 0 and {s["name"]: s["value"] for s in out["stat"]} == \
            {a.node("inbound", "uplink"): alice.up, a.node("inbound", "downlink"): alice.down}
        rc, out = stats.xray_api("statssys", a.address)
        assert rc == 0 and out["Sys"] > 1 << 20 and out["NumGoroutine"] >= 2
        assert stats.xray_api("stats", a.address, "-name", name, "-reset")[1]["stat"]["value"] == alice.down
        assert stats.xray_api("stats", a.address, "-name", name) == (0, {"stat": {"name": name}})
        rc, out = stats.xray_api("stats", a.address, "-name", "nope é%\n")
        assert rc == 1 and "code = NotFound desc = nope é%\n not found." in out


def test_a_client_of_grpc_go(serve_api, node, origin):
    """Several connections with several calls each read and reset at a time; one connection watches the health."""
    a = serve_api()
    with stats.GrpcGo(a.address, "watch") as watching:
        watching.ready()
        with vless.Session(node, ALICE, origin) as alice:
            alice.say(100_000)
            with a.client() as c:
                settled(c, a.user(ALICE, "downlink"), alice.down)
                args = ["-pattern", a.user(ALICE), "-reset", "-clients", "4", "-calls", "8", "-times", "5"]
                sums = stats.grpc_go(a.address, "query", *args)
                assert sums == {a.user(ALICE, "uplink"): alice.up, a.user(ALICE, "downlink"): alice.down}
                assert stats.grpc_go(a.address, "query", "-service", stats.V2RAY) == c.query()
        assert stats.grpc_go(a.address, "failures") == [
            ["NotFound", "none not found."],
            ["Unimplemented", f"unknown method GetNothing for service {stats.XRAY}"],
            ["Unimplemented", 'grpc: Decompressor is not installed for grpc-encoding "gzip"'],
            ["DeadlineExceeded", "context deadline exceeded"],
        ]
        a.served.expected_to_end = True
        assert a.process.stop() == 0
        *_, state, after = watching.states()
        assert state == "READY" != after


def test_errors_of_real_clients(serve_api):
    a = serve_api()
    with a.client() as c:
        assert c.error("Nope") == (grpc.StatusCode.UNIMPLEMENTED, f"unknown method Nope for service {stats.XRAY}")
        assert c.error("GetStats", service="no.Such") == (grpc.StatusCode.UNIMPLEMENTED, "unknown service no.Such")
        code, text = c.error("GetStats", b"\x0a\xff")
        assert code == grpc.StatusCode.INTERNAL and text.startswith("grpc: error unmarshalling request:")
        assert c.error("GetStats", stats.field(1, b"\xff")) == \
            (grpc.StatusCode.INTERNAL, "grpc: error unmarshalling request: string field contains invalid UTF-8")
        code, text = c.error("QueryStats", b"", compression=grpc.Compression.Gzip)
        assert (code, text) == (grpc.StatusCode.UNIMPLEMENTED, 'grpc: Decompressor is not installed for grpc-encoding "gzip"')
        code, text = c.error("GetStats", stats.field(1, "x" * 5_000_000))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text
        code, text = c.error("GetStats", stats.field(1, "x" * 300_000))
        assert code == grpc.StatusCode.NOT_FOUND
        assert c.call("Check", service=stats.HEALTH) == b"\x08\x01"
        assert c.call("Check", stats.field(1, stats.XRAY), service=stats.HEALTH) == b"\x08\x01"
        assert c.error("Check", stats.field(1, "x"), service=stats.HEALTH)[0] == grpc.StatusCode.NOT_FOUND


def test_reflection(serve_api):
    """As grpcurl asks: which services there are, and the file that describes one."""
    a = serve_api()
    with a.client() as c:
        for version in ("v1", "v1alpha"):
            def ask(*questions, version=version):
                call = c.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
                return [dict(stats.fields(answer)) for answer in call(iter(questions), timeout=20, wait_for_ready=True)]
            names, = ask(stats.field(7, "*"))
            assert [dict(stats.fields(n))[1].decode() for _, n in stats.fields(names[6])] == [stats.XRAY, stats.V2RAY]
            found, unknown = ask(stats.field(4, stats.V2RAY), stats.field(4, "no.Such"))
            assert dict(stats.fields(unknown[7])) == {1: 5, 2: b"proto: not found"}
            file = stats.fields(dict(stats.fields(found[4]))[1])
            assert dict(file)[2] == b"v2ray.core.app.stats.command" and dict(file)[12] == b"proto3"
            service = stats.fields(dict(file)[6])
            assert [dict(stats.fields(m))[1] for n, m in service if n == 2][:2] == [b"GetStats", b"GetStatsOnline"]


GRPC = ("-H", "content-type: application/grpc")
BY_HAND = {      # path, what curl is told, body: HTTP status, gRPC status, text
    "GET": (QUERY, (*GRPC, "-X", "GET"), b"", 405, 13, 'Received a HEADERS frame with :method "GET" which should be POST'),
    "content-type": (QUERY, ("-H", "content-type: application/json"), b"", 415, 3,
                     'invalid gRPC request content-type "application/json"'),
    "no-content-type": (QUERY, ("-H", "content-type:"), b"", 415, 3, 'invalid gRPC request content-type ""'),
    "timeout-unit": (QUERY, (*GRPC, "-H", "grpc-timeout: 5X"), b"", 400, 13, "malformed grpc-timeout: "),
    "timeout-zero": (QUERY, (*GRPC, "-H", "grpc-timeout: 0n"), b"", 400, 13, "malformed grpc-timeout: timeout must be positive"),
    "no-method": ("/nopath", GRPC, b"", 200, 12, 'malformed method name: "/nopath"'),
    "gzip": (QUERY, (*GRPC, "-H", "grpc-encoding: gzip"), b"", 200, 12,
             'grpc: Decompressor is not installed for grpc-encoding "gzip"'),
    "flag-1": (QUERY, GRPC, stats.message(flag=1), 200, 13, "grpc: compressed flag set with identity or empty encoding"),
    "flag-2": (QUERY, GRPC, stats.message(flag=2), 200, 13, "grpc: received unexpected payload format 2"),
    "no-message": (QUERY, GRPC, b"", 200, 2, "EOF"),
    "half-a-message": (QUERY, GRPC, stats.message(length=9), 200, 2, "unexpected EOF"),
    "too-large": (QUERY, GRPC, stats.message(length=5242880), 200, 8,
                  "grpc: received message larger than max (5242880 vs. 4194304)"),
}


def test_errors_of_strange_clients(serve_api):
    """Word for word what grpc-go answers."""
    a = serve_api()
    for name, (path, options, body, http, code, text) in BY_HAND.items():
        done = subprocess.run(["curl", "-s", "-m", "10", "-D", "-", "-o", "/dev/null", "--http2-prior-knowledge", "-H", "te: trailers",
                               *options, "--data-binary", "@-", f"http://{a.address}{path}"], input=body, capture_output=True,
                              check=False)
        lines = [line.rstrip() for line in done.stdout.decode().split("\n")]
        assert done.stdout, (name, done)
        assert lines[0].split()[1] == str(http), (name, lines)
        assert f"grpc-status: {code}" in lines, (name, lines)
        assert any(line.startswith(f"grpc-message: {text}") for line in lines), (name, lines)


def test_more_than_one_message(serve_api):
    """What follows the one message of a call is not minded, and one connection carries many calls."""
    a = serve_api()
    with stats.Raw(a.address) as raw:
        for stream in range(1, 400, 2):
            raw.send(stats.head(stream, stats.request_head(QUERY)) +
                     stats.frame(stats.DATA, 0, stream, stats.message() + b"more"))
            answer = raw.answer(stream)
            assert [k for k, _, _ in answer] == [stats.HEADERS, stats.DATA, stats.HEADERS] and answer[1][2] == stats.message()


def test_garbage_and_silence(serve_api, node, origin):
    a = serve_api()
    host, _, port = a.address.rpartition(":")
    for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(600), bytes(100_000)):
        with socket.create_connection((host, int(port)), timeout=15) as s:
            try:
                s.sendall(garbage)
                while s.recv(1 << 16):
                    pass
            except ConnectionError:
                pass
    # More connections than are allowed: the new ones live, the API answers, and one line says it.
    many = [socket.create_connection((host, int(port)), timeout=15) for _ in range(600)]
    try:
        with a.client() as c, vless.Session(node, ALICE, origin) as alice:
            alice.say(10)
            settled(c, a.user(ALICE, "downlink"), alice.down)
    finally:
        for s in many:
            s.close()
    log = a.process.log()
    assert log.count("does not speak gRPC") == 1 and log.count("connections: idle ones are closed") == 1


def test_an_address_that_is_taken(serve, node, origin, address):
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))):
        s = serve(node, top=api(address, **ALL))
        with vless.Session(node, ALICE, origin) as alice:
            alice.say(10)
        wait.until(lambda: f"{address}: cannot bind the address" in s.process.log(), 30, "the error")
    wait.until(lambda: f"v2ray_api: listening on {address}" in s.process.log(), 30, "another try")
    with stats.Client(address) as c:
        assert c.query()


def test_reload(serve_api, node, origin, address):
    a = serve_api({"users": []})
    other = f"127.0.0.1:{ports.free_port()}"
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        with a.client() as c:
            assert c.query() == {}
        a.served.reconfigure(extra={"Name": "in-1"}, top=api(other, **ALL))
        a.process.signal(signal.SIGHUP)
        with stats.Client(other) as c:
            settled(c, a.user(ALICE, "downlink"), alice.down)
        assert not wait.connectable(*address.split(":"))
        a.served.reconfigure(extra={"Name": "in-1"})
        a.process.signal(signal.SIGHUP)
        host, port = other.split(":")
        wait.until(lambda: not wait.connectable(host, int(port)), 15, "the API is off")


@pytest.mark.sanitizer
def test_goodbye(serve_api, node, origin):
    """GOAWAY when the process ends; a call that is open then is answered."""
    a = serve_api()
    with stats.Raw(a.address) as raw, vless.Session(node, ALICE, origin) as alice:
        alice.say(1)
        raw.send(stats.head(1, stats.request_head(QUERY)) + stats.frame(stats.DATA, 1, 1, stats.message()))
        raw.answer(1)
        a.served.expected_to_end = True
        assert a.process.stop() == 0
        assert stats.GOAWAY in [kind for kind, *_ in raw.frames()]


def test_watching_the_health(serve_api):
    s = serve_api()
    with s.client() as c:
        whole, service, unknown = (c.watch(stats.field(1, name)) for name in ("", stats.V2RAY, "none"))
        assert (next(whole), next(service), next(unknown)) == (b"\x08\x01", b"\x08\x01", b"\x08\x03")
        unknown.cancel()
        assert c.call("Check", service=stats.HEALTH) == b"\x08\x01"
        s.served.expected_to_end = True
        s.process.signal(signal.SIGTERM)
        assert list(whole) == list(service) == [b"\x08\x02"]


def test_check_of_the_configuration(tmp_path, node, serve, address):
    """`v2sp check` names what is wrong; a public address is a warning."""
    def check(top):
        path = v2sp.write_config(str(tmp_path), [v2sp.node_entry(node, "http://127.0.0.1:1/api")], **top)
        done = subprocess.run([paths.v2sp(), "check", "-c", path], capture_output=True, check=False, timeout=30)
        return done.returncode, done.stdout.decode() + done.stderr.decode()
    assert check(api(address, **ALL))[0] == 0
    rc, text = check(api("127.0.0.1", **ALL))
    assert rc == 1 and "experimental.v2ray_api.listen" in text
    rc, text = check(api("0.0.0.0:10085", **ALL))
    assert rc == 0 and "warning" in text and "firewall" in text


def test_h2load(serve_api, tmp_path):
    """Many connections and streams at a time, every call answered."""
    program = shutil.which("h2load")
    if not program:
        pytest.skip("h2load is not installed")
    a = serve_api()
    (tmp_path / "body").write_bytes(stats.message())
    done = subprocess.run([program, "-n", "5000", "-c", "20", "-m", "20", "-H", "content-type: application/grpc", "-H",
                           "te: trailers", "-d", str(tmp_path / "body"), f"http://{a.address}{QUERY}"], capture_output=True,
                          check=True, timeout=120)
    assert b"5000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout and b"5000 2xx" in done.stdout


def page(address, path, method="GET"):
    """(status, type, text)"""
    host, _, port = address.rpartition(":")
    c = http.client.HTTPConnection(host, int(port), timeout=15)
    try:
        c.request(method, path)
        r = c.getresponse()
        return r.status, r.getheader("Content-Type"), r.read().decode()
    finally:
        c.close()


def samples(text):
    """{'name{labels}': value}, after a look at the form."""
    out, families = {}, set()
    for line in text.splitlines():
        if line.startswith("#"):
            kind, name, _ = line[2:].split(" ", 2)
            assert kind in ("HELP", "TYPE")
            assert kind == "TYPE" or name not in families, line
            families.add(name)
            continue
        name, value = line.rsplit(" ", 1)
        assert name.partition("{")[0] in families and name not in out, line
        out[name] = float(value)
    return out


@pytest.mark.sanitizer
def test_metrics(serve, node, origin, address):
    s = serve(node, extra={"Name": 'a "node"\\'}, top={"Metrics": {"Listen": address, "Users": True}})
    tag = 'a \\"node\\"\\\\'
    wait.until(lambda: wait.connectable(*address.split(":")), 15, "the page")
    assert page(address, "/healthz")[0] == 200
    wait.until(lambda: page(address, "/readyz")[0] == 200, 15, "ready")
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        name = f'v2sp_node_traffic_bytes_total{{node="{tag}",direction="downlink"}}'
        wait.until(lambda: samples(page(address, "/metrics")[2])[name] == alice.down, 15, "the bytes")
        status, kind, text = page(address, "/scrape")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        found = samples(text)
        assert found[f'v2sp_node_users_online{{node="{tag}"}}'] == 1 and found[f'v2sp_node_users{{node="{tag}"}}'] == 2
        assert found[f'v2sp_node_serving{{node="{tag}"}}'] == 1
        assert found["v2ray_up"] == 1 and found["process_resident_memory_bytes"] > 1 << 20
        for prefix in ("v2ray", "xray"):
            assert found[f'{prefix}_traffic_uplink_bytes_total{{dimension="inbound",target="{tag}"}}'] == alice.up
            assert found[f'{prefix}_traffic_uplink_bytes_total{{dimension="user",target="{tag}|{ALICE}"}}'] == alice.up
        assert found[f'v2sp_connections_total{{node="{tag}",transport="vless+tcp+none",outcome="served"}}'] == 1
        assert found[f'v2sp_panel_calls_total{{node="{tag}",call="pull",outcome="done"}}'] >= 1
        assert found[f'v2sp_panel_calls_total{{node="{tag}",call="push",outcome="failed"}}'] == 0
        workers = [n for n in found if n.startswith("v2sp_worker_connections_open")]
        assert sum(found[n] for n in workers) == 1
        for n in workers:
            worker = n.partition("{")[2]
            assert found[f"v2sp_worker_busy_seconds_total{{{worker}"] > 0 < found[f"v2sp_worker_loop_lag_seconds{{{worker}"]
            assert f"v2sp_worker_memory_bytes{{{worker}" in found
        assert json.loads(page(address, "/debug/vars")[2])["stats"]["inbound"]['a "node"\\'] == \
            {"uplink": alice.up, "downlink": alice.down}
    for _ in range(2):
        with socket.create_connection((node.listen, node.port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert stranger.recv(1) == b""
    failed = f'v2sp_node_failures_total{{node="{tag}",cause="vless: not a request (unknown version)"}}'
    assert samples(page(address, "/metrics")[2])[failed] == 2
    assert page(address, "/metrics", "POST")[0] == 405 and page(address, "/")[0] == 404
    assert page(address, "/metrics", "HEAD")[2] == ""
    # Off with the next configuration, and nothing but the pages answers to strangers.
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as c:
        c.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
        assert b" 400 " in c.recv(1 << 16)
    s.reconfigure(extra={"Name": "x"})
    s.process.signal(signal.SIGHUP)
    wait.until(lambda: not wait.connectable(host, int(port)), 15, "the page is gone")


def test_metrics_of_panel_spool_and_certificate(serve, node, origin, address, cert):
    node = node.with_(tls=True, cert=cert)
    s = serve(node, extra={"Name": "in-1"}, top={"Metrics": {"Listen": address}}, push=1)
    wait.until(lambda: wait.connectable(*address.split(":")), 15, "the page")
    s.panel.behave("push", behaviours.status(500))
    tag = '{node="in-1"'

    def value(name, more=""):
        return samples(page(address, "/metrics")[2])[f"v2sp_{name}{tag}{more}}}"]
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        wait.until(lambda: value("spool_bytes", ',direction="downlink"') == alice.down, 30, "what is to be reported")
        wait.until(lambda: value("panel_calls_total", ',call="push",outcome="failed"') > 0, 30, "a report that failed")
        assert value("panel_reported_bytes_total", ',direction="uplink"') == 0
        s.panel.behave_normally()
        wait.until(lambda: value("panel_reported_bytes_total", ',direction="uplink"') == alice.up, 60, "the report")
        assert value("spool_bytes", ',direction="uplink"') == 0
    assert abs(value("panel_last_success_timestamp_seconds") - time.time()) < 120
    end = subprocess.run(["openssl", "x509", "-enddate", "-noout", "-in", cert.cert], capture_output=True, check=True, text=True)
    assert value("certificate_expiry_timestamp_seconds") == ssl.cert_time_to_seconds(end.stdout.strip().partition("=")[2])
    assert value("connections_total", ',transport="vless+tcp+tls",outcome="served"') == 1


def test_datagrams_over_a_limit(serve, node, address):
    """Those that do not come back are those that the page counts."""
    node.limits = {1: {"speed_limit": 1}}
    serve(node, extra={"Name": "in-1"}, top={"Metrics": {"Listen": address}})
    wait.until(lambda: wait.connectable(*address.split(":")), 15, "the page")
    echo = origins.UdpEcho()

    def dropped():
        return samples(page(address, "/metrics")[2])['v2sp_node_limited_datagrams_total{node="in-1"}']

    def open_to(user):
        s = vless.Stream(vless.connect((node.listen, node.port)), user, *echo.address, command=vless.UDP)
        s.socket.settimeout(60)
        return s
    datagram = (1000).to_bytes(2, "big") + bytes(1000)
    try:
        with open_to(BOB) as bob:
            bob.send(datagram * 50)
            bob.read(50 * len(datagram))
            assert dropped() == 0
        with open_to(ALICE) as alice:
            sent, back = 0, []
            reader = threading.Thread(target=lambda: back.extend(iter(lambda: len(alice.recv()), 0)))
            reader.start()
            while not dropped():
                alice.send(datagram * 50)
                sent += 50
            wait.until(lambda: sum(back) == (sent - dropped()) * len(datagram), 30, "all others are back")
            alice.socket.shutdown(socket.SHUT_RDWR)
            reader.join()
    finally:
        echo.stop()


def dashboard_questions():
    with open(os.path.join(paths.ROOT, "examples", "grafana", "v2sp.json"), encoding="utf-8") as f:
        def expressions(part):
            for key, value in part.items() if isinstance(part, dict) else enumerate(part):
                if key == "expr":
                    yield value
                elif isinstance(value, (dict, list)):
                    yield from expressions(value)
        return set(expressions(json.load(f)))


def test_the_dashboard_asks_for_what_there_is(serve, node, address):
    """Every series that examples/grafana uses is on the page."""
    serve(node, extra={"Name": "in-1"}, top={"Metrics": {"Listen": address}})
    wait.until(lambda: wait.connectable(*address.split(":")), 15, "the page")
    families = {line.split()[2] for line in page(address, "/metrics")[2].splitlines() if line.startswith("# TYPE")}
    used = set(re.findall(r"\b(?:v2sp|v2ray|xray|process)_[a-z_]+\b", " ".join(dashboard_questions())))
    assert len(used) > 10 and used <= families, used - families


def test_a_real_prometheus(serve, node, origin, address, stage):
    """Where Prometheus is installed: it scrapes the page, and rules over it find their numbers."""
    program = shutil.which("prometheus")
    if not program:
        pytest.skip("prometheus is not installed")
    serve(node, extra={"Name": "in-1"}, top={"Metrics": {"Listen": address}})
    wait.until(lambda: wait.connectable(*address.split(":")), 15, "the page")
    directory, port = stage.subdirectory("prometheus"), ports.free_port()
    (directory / "p.yml").write_text(f"scrape_configs: [{{job_name: v2sp, scrape_interval: 1s, static_configs: "
                                     f"[{{targets: ['{address}']}}]}}]\n")
    p = process.Process("prometheus", [program, f"--config.file={directory}/p.yml", f"--storage.tsdb.path={directory}/data",
                                       f"--web.listen-address=127.0.0.1:{port}"], str(directory))
    stage.at_end(p.stop)

    def ask(query):
        try:
            status, _, text = page(f"127.0.0.1:{port}", "/api/v1/query?query=" + urllib.parse.quote(query))
        except OSError:
            return None
        found = json.loads(text)["data"]["result"] if status == 200 else []
        return found[0]["value"][1] if found else None
    with vless.Session(node, ALICE, origin) as alice:
        alice.say(1000)
        wait.until(lambda: ask('v2sp_node_traffic_bytes_total{node="in-1",direction="uplink"}') == str(alice.up), 60,
                   "the bytes are in Prometheus")
        assert ask("sum(v2sp_node_users_online)") == "1" and ask("v2ray_up") == "1"
        for question in sorted(dashboard_questions()):
            query = re.sub(r"\$__rate_interval", "1m", re.sub(r"\$(instance|node)\b", ".*", question))
            status, _, text = page(f"127.0.0.1:{port}", "/api/v1/query?query=" + urllib.parse.quote(query))
            assert (status, json.loads(text)["status"]) == (200, "success"), query
