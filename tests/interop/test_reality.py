"""REALITY with many kinds of target: who authenticates is served behind the target's own flight; all others are with
the target itself."""
import http.client
import os
import socket
import ssl
import struct
import time
import uuid

import matrix
import pytest

from harness import (certs, fallback, hello, origins, ports, probe, socks5, spec, tap, targets, v2sp, visit, vless,
                     wait)
from harness.panel import Panel

SHORT_ID = "0123456789abcdef"


@pytest.fixture(scope="module")
def origin(cert):
    with origins.Tcp(tls=certs.server_context(cert, "1.3")) as o:
        yield o


@pytest.fixture(scope="module")
def rsa(tmp_path_factory):
    return certs.make(tmp_path_factory.mktemp("rsa"), key=certs.RSA)


def chain(directory, cert, kilobytes):
    """A certificate with a chain of so many KB behind it."""
    big = certs.make(directory, "padding.test", [f"n{i:04}.a-long-name-that-fills-the-chain.test"
                                                 for i in range(kilobytes * 1024 // 48)])
    out = certs.Certificate(str(directory), "chain")
    with open(out.cert, "w") as f:
        for name in (cert.cert, big.cert):
            with open(name) as part:
                f.write(part.read())
    os.symlink(cert.key, out.key)
    return out


def reality(dest, **more):
    return spec.Node(port=ports.free_port(), flow=spec.VISION, reality=spec.Reality(str(dest), **more))


def page(node, **context):
    """What a browser gets at the node."""
    c = http.client.HTTPConnection(node.listen, node.port, timeout=10)
    c.sock = vless.connect((node.listen, node.port), vless.tls_context(**context))
    try:
        c.request("GET", "/", headers={"Host": "node.test"})
        return c.getresponse().read()
    finally:
        c.close()


def serves(stage, node, origin, kind, **client):
    """True when a real client gets through."""
    proxy = stage.client(kind, node, spec.Client(**client))
    def both_ways():
        for n in (1, 50_000):
            visit.download(proxy, origin, n)
            visit.upload(proxy, origin, n)
        return True
    try:
        return visit.insist(proxy, both_ways)
    except OSError:
        return False


TARGETS = {
    "nginx": lambda d, cert, rsa: targets.Nginx(d, cert),
    "nginx-rsa": lambda d, cert, rsa: targets.Nginx(d, rsa),
    "nginx-h2": lambda d, cert, rsa: targets.Nginx(d, cert, listen_extra="http2"),
    "nginx-tls12-too": lambda d, cert, rsa: targets.Nginx(d, cert, "TLSv1.2 TLSv1.3"),
    "nginx-12k-chain": lambda d, cert, rsa: targets.Nginx(d, chain(d, cert, 10)),
    # The message takes two records; there are seven to copy then, and seven are copied.
    "nginx-24k-chain": lambda d, cert, rsa: targets.Nginx(d, chain(d, cert, 24)),
    "s_server": lambda d, cert, rsa: targets.OpenSsl(d, cert),
    "s_server-sha384": lambda d, cert, rsa: targets.OpenSsl(d, rsa, "-ciphersuites", "TLS_AES_256_GCM_SHA384"),
    "s_server-chacha": lambda d, cert, rsa: targets.OpenSsl(d, cert, "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
    "s_server-no-tickets": lambda d, cert, rsa: targets.OpenSsl(d, cert, "-num_tickets", "0"),
    "go-mlkem": lambda d, cert, rsa: targets.Go(d, cert),
    "go-classic": lambda d, cert, rsa: targets.Go(d, rsa, "-classic"),
    "one-record": lambda d, cert, rsa: targets.Script(targets.COMBINED),
    "one-record-sha384": lambda d, cert, rsa: targets.Script(targets.COMBINED, targets.AES256),
    "script-mlkem": lambda d, cert, rsa: targets.Script((32, 900, 100, 74), targets.AES256, targets.MLKEM),
    "certificate-of-9000": lambda d, cert, rsa: targets.Script((28, 9000, 94, 58)),
    "smallest": lambda d, cert, rsa: targets.Script((28, 213, 94, 58)),
    "early-ticket": lambda d, cert, rsa: targets.Script((*targets.SEPARATE, 271)),
    "slow": lambda d, cert, rsa: targets.Script(pause=0.3),
}
NEEDS_MLKEM = ("go-mlkem", "script-mlkem")      # sing-box 1.12 offers X25519 only; Go follows it, the script cannot


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", matrix.CLIENTS)
@pytest.mark.parametrize("name", TARGETS)
def test_handshake(stage, origin, rsa, name, kind):
    if name.startswith("go-") and not targets.go_target():
        pytest.skip("no Go target: run tests/peers/install")
    if name == "script-mlkem" and kind == "sing-box":
        pytest.skip("this client does not offer X25519MLKEM768")
    target = TARGETS[name](stage.subdirectory("target"), stage.cert, rsa)
    stage.at_end(target.stop)
    node = reality(f"127.0.0.1:{target.port}")
    stage.server(node)
    assert serves(stage, node, origin, kind)


def test_the_group_is_the_targets(stage, origin):
    """X25519MLKEM768, where client and target have it: our share has its length, and both compute the same."""
    if not targets.go_target():
        pytest.skip("no Go target: run tests/peers/install")
    for options, group in (((), targets.MLKEM), (("-classic",), targets.X25519)):
        target = targets.Go(stage.subdirectory("target"), stage.cert, *options)
        stage.at_end(target.stop)
        node = reality(f"127.0.0.1:{target.port}")
        stage.server(node)
        with tap.Tap((node.listen, node.port), keep=True) as t:
            assert serves(stage, node.with_(port=t.port), origin, "xray", fingerprint="chrome")
            hello_record = t.flows[0].down[5:5 + int.from_bytes(t.flows[0].down[3:5], "big")]
            shares = [f for f in probe.server_hello(hello_record) if f[0] == 51]
            length = 1120 if group == targets.MLKEM else 32
            assert [(size, value) for _, size, value in shares] == [(4 + length, struct.pack("!HH", group, length))]


@pytest.mark.parametrize("fingerprint", ["chrome", "firefox", "safari", "edge", "ios"])
@pytest.mark.parametrize("kind", matrix.CLIENTS)
def test_fingerprints(plain, module_stage, origin, fingerprint, kind):
    assert serves(module_stage, plain, origin, kind, fingerprint=fingerprint)


@pytest.mark.parametrize("kind", matrix.CLIENTS)
def test_randomized_fingerprint(plain, module_stage, origin, kind):
    """Drawn once a process. One in ten breaks RFC 8446 section 4.2.8: a key share of a group that it does not list. What
    the target refuses by itself is refused here, with its own words."""
    for _ in range(20):
        with tap.Tap((plain.listen, plain.port), keep=True) as t:
            if serves(module_stage, plain.with_(port=t.port), origin, kind, fingerprint="randomized"):
                return
            wire, heard = bytes(t.flows[0].up), t.flows[0].down
        host, _, port = plain.reality.dest.rpartition(":")
        direct = probe.look((host, int(port)), [wire])
        assert direct.data[:1] == b"\x15" and direct == probe.View(heard, direct.end), direct
    raise AssertionError("none of twenty")


@pytest.fixture(scope="module")
def plain(module_stage):
    """A node in front of an nginx, with several names and short ids."""
    target = targets.Nginx(module_stage.subdirectory("target"), module_stage.cert)
    module_stage.at_end(target.stop)
    node = reality(f"127.0.0.1:{target.port}", names=("node.test", "www.node.test", "other.test"),
                   short_ids=(SHORT_ID, "", "aa", "0123"))
    node.cert_file = module_stage.cert.cert
    module_stage.server(node)
    return node


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", matrix.CLIENTS)
@pytest.mark.parametrize("client, served", [
    ({}, True), ({"short_id": ""}, True), ({"short_id": "aa"}, True), ({"short_id": "0123"}, True),
    ({"sni": "www.node.test"}, True), ({"sni": "other.test", "short_id": ""}, True),
    ({"short_id": "ab"}, False), ({"short_id": SHORT_ID[:-2]}, False), ({"sni": "not.test"}, False),
    ({"public_key": spec.x25519.text(b"\x07" * 32)}, False),
], ids=lambda v: "-".join(f"{k}={x}" for k, x in v.items()) if isinstance(v, dict) else str(v))
def test_who_is_served(plain, module_stage, origin, kind, client, served):
    assert serves(module_stage, plain, origin, kind, **client) == served


@pytest.mark.sanitizer
def test_a_browser_sees_the_target(plain):
    """Its certificate and its page."""
    with open(plain.cert_file) as f:
        expected = ssl.PEM_cert_to_DER_cert(f.read())
    for _ in range(3):
        with vless.connect((plain.listen, plain.port), vless.tls_context()) as s:
            assert s.getpeercert(binary_form=True) == expected
        assert page(plain) == b"the target"


# -- one rule at a time: hellos of our own, and a target whose words can be told from ours

@pytest.fixture(scope="module")
def script():
    with targets.Script() as t:
        yield t


@pytest.fixture(scope="module")
def caught(module_stage):
    """A ClientHello of the Xray client; tests seal it anew with their own keys."""
    node = reality("127.0.0.1:1")
    return hello.catch(lambda port: module_stage.client("xray", node.with_(port=port), spec.Client()))


def authenticated(node, script, wire):
    """True when the node answered with a flight of its own, of the target's measures; False for the target's words."""
    n = len(script.sent)
    with socket.create_connection((node.listen, node.port), 10) as s:
        s.sendall(wire)
        sent, _ = wait.until(lambda: script.visit(wire, n), 30, "the target was asked")
        total = sum((127, 6, *script.records))
        got = socks5.read_exactly(s, total)
    wait.until(lambda: len(sent) >= total, 30, "the target's flight")
    theirs = bytes(sent)
    assert len(theirs) == total
    if got == theirs:
        return False
    assert got[:11 + 32] == theirs[:11 + 32], "another ServerHello than the target's"
    return True


def one_rule(module_stage, script, **more):
    node = reality(f"127.0.0.1:{script.port}", **more)
    module_stage.server(node)
    return node, spec.x25519.public_key(node.reality.private_key)


@pytest.mark.sanitizer
def test_time_difference(module_stage, script, caught):
    node, key = one_rule(module_stage, script, more={"maxTimeDiff": 60_000})
    now = time.time()
    for apart, welcome in ((0, True), (-50, True), (50, True), (-70, False), (70, False), (-10**6, False)):
        assert authenticated(node, script, caught.forge(key, when=now + apart)) == welcome, apart


def test_any_time_without_a_limit(module_stage, script, caught):
    node, key = one_rule(module_stage, script)
    for when in (0, 1, time.time() + 10**8):
        assert authenticated(node, script, caught.forge(key, when=when))


@pytest.mark.sanitizer
def test_client_versions(module_stage, script, caught):
    node, key = one_rule(module_stage, script, more={"minClientVer": "1.8.1", "maxClientVer": "25.12"})
    for version, welcome in (((1, 8, 1), True), ((1, 8, 0), False), ((1, 9, 0), True), ((25, 12, 0), True),
                             ((25, 12, 1), False), ((0, 255, 255), False), ((26, 0, 0), False)):
        assert authenticated(node, script, caught.forge(key, version=version)) == welcome, version


@pytest.mark.sanitizer
def test_short_ids(module_stage, script, caught):
    """Eight bytes exactly; the empty one only where it is configured."""
    node, key = one_rule(module_stage, script, short_ids=(SHORT_ID, "ab"))
    for short_id, welcome in ((SHORT_ID, True), ("ab", True), ("", False), ("ab01", False), ("00ab", False),
                              ("0123456789abcd00", False)):
        assert authenticated(node, script, caught.forge(key, short_id)) == welcome, short_id
    none, key = one_rule(module_stage, script, short_ids=())
    assert authenticated(none, script, caught.forge(key, ""))
    assert not authenticated(none, script, caught.forge(key, "ab"))


def test_server_name_is_case_sensitive(module_stage, script, caught):
    node, key = one_rule(module_stage, script, names=("NODE.test",))
    assert not authenticated(node, script, caught.forge(key))


@pytest.mark.sanitizer
def test_hello_in_pieces(module_stage, script, caught):
    """Over segments, byte by byte, and with the CCS glued to it."""
    node, key = one_rule(module_stage, script)
    for cuts in ((1, 2, 3, 4, 5, 6), (100,), tuple(range(0, len(caught.wire), 7))):
        wire = caught.forge(key)
        n = len(script.sent)
        with socket.create_connection((node.listen, node.port), 10) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for a, b in zip((0, *cuts), (*cuts, len(wire))):
                s.sendall(wire[a:b])
            got = socks5.read_exactly(s, 127 + 6 + sum(script.records))
        sent, received = wait.until(lambda: script.visit(wire, n), 30, "the target was asked")
        wait.until(lambda: len(sent) >= len(got), 30, "the target's flight")
        assert got != bytes(sent) and bytes(received) == wire


def test_the_target_hears_every_byte(module_stage, script, caught):
    """Also what comes behind a hello that does not authenticate."""
    node, _ = one_rule(module_stage, script)
    extra = os.urandom(5000)
    n = len(script.received)
    with socket.create_connection((node.listen, node.port), 10) as s:
        s.sendall(caught.wire + extra)
        _, received = wait.until(lambda: script.visit(caught.wire, n), 30, "the target was asked")
        wait.until(lambda: len(received) == len(caught.wire + extra), 30, "all of it at the target")
        assert bytes(received) == caught.wire + extra


# -- targets that do not do what they should

@pytest.mark.parametrize("records", [(28, 212, 94, 58), (28, 213, 93, 58), (28, 213, 94, 57), (600 - 300,), ()],
                         ids=["certificate", "verify", "finished", "one-record", "nothing"])
def test_too_small_a_flight_is_relayed(module_stage, caught, records):
    """Ours does not fit: the client gets what the target says, byte for byte."""
    with targets.Script(records) as script:
        node, key = one_rule(module_stage, script)
        wire = caught.forge(key)
        with socket.create_connection((node.listen, node.port), 10) as s:
            s.sendall(wire)
            sent, _ = wait.until(lambda: script.visit(wire), 30, "the target was asked")
            wait.until(lambda: sent, 30, "it answers")
            # What might still become a flight is held until the client gives up.
            s.shutdown(socket.SHUT_WR)
            got = b""
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
            assert got == bytes(sent)


@pytest.mark.sanitizer
def test_tls12_target(stage, origin):
    """REALITY cannot work with it; a browser gets it."""
    target = targets.Nginx(stage.subdirectory("target"), stage.cert, "TLSv1.2")
    stage.at_end(target.stop)
    node = reality(f"127.0.0.1:{target.port}")
    stage.server(node)
    assert not serves(stage, node, origin, "xray")
    with vless.connect((node.listen, node.port), vless.tls_context()) as s:
        assert s.version() == "TLSv1.2"
    assert page(node) == b"the target"


def closed_without_a_byte(node, first=b""):
    with socket.create_connection((node.listen, node.port), 10) as s:
        if first:
            s.sendall(first)
        try:
            return s.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.mark.sanitizer
def test_target_down(stage, origin, caught):
    """Closed without a byte, named in the log, and served as soon as it is up."""
    script = targets.Script()
    script.stop()
    node = reality(f"127.0.0.1:{script.port}")
    server = stage.server(node)
    assert closed_without_a_byte(node)
    assert closed_without_a_byte(node, caught.forge(spec.x25519.public_key(node.reality.private_key)))
    if server.kind == "v2sp":
        server.process.wait_log(r"REALITY target")
    with targets.Script(port=script.port):
        assert serves(stage, node, origin, "xray")


@pytest.mark.sanitizer
@pytest.mark.parametrize("after_hello", [False, True])
def test_target_that_closes(stage, caught, after_hello):
    """Whoever comes sees it close, authenticated or not."""
    with targets.Closer(after_hello) as target:
        node = reality(f"127.0.0.1:{target.port}")
        stage.server(node)
        key = spec.x25519.public_key(node.reality.private_key)
        assert closed_without_a_byte(node, caught.wire)
        assert closed_without_a_byte(node, caught.forge(key))
        assert target.opened >= 2


# -- where the target is, and what it learns

@pytest.mark.parametrize("form", ["port", "host:port", "localhost", "server_port", "unix"])
def test_forms_of_dest(stage, origin, form):
    directory = stage.subdirectory("target")
    path = str(directory / "s") if form == "unix" else None
    target = targets.Nginx(directory, stage.cert, listen=path)
    stage.at_end(target.stop)
    more, names = {}, ("node.test",)
    dest = {"port": str(target.port), "host:port": f"127.0.0.1:{target.port}", "localhost": f"localhost:{target.port}",
            "unix": path, "server_port": ""}[form]
    if form == "server_port":
        more, names = {"server_name": "localhost", "server_port": str(target.port)}, ("localhost",)
    node = reality(dest, more=more, names=names)
    stage.server(node)
    assert serves(stage, node, origin, "xray")
    assert page(node) == b"the target"


@pytest.mark.sanitizer
@pytest.mark.parametrize("xver", [1, 2])
def test_target_learns_the_visitor(stage, origin, xver):
    target = targets.Nginx(stage.subdirectory("target"), stage.cert, listen_extra="proxy_protocol",
                           body="$proxy_protocol_addr $proxy_protocol_port")
    stage.at_end(target.stop)
    node = reality(f"127.0.0.1:{target.port}", xver=xver)
    stage.server(node)
    assert serves(stage, node, origin, "xray")
    with vless.connect((node.listen, node.port), vless.tls_context()) as s:
        mine = s.getsockname()
        s.sendall(b"GET / HTTP/1.1\r\nHost: node.test\r\nConnection: close\r\n\r\n")
        assert s.recv(65536).endswith(f"{mine[0]} {mine[1]}".encode())


# -- authenticated, but no user

@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", matrix.CLIENTS)
def test_unknown_user_inside(stage, kind):
    """Closed without a byte from anybody."""
    with targets.Script() as target, origins.Tcp() as o:
        node = reality(f"127.0.0.1:{target.port}")
        stage.server(node)
        proxy = stage.client(kind, node, spec.Client(user=spec.BOB))
        with pytest.raises((OSError, AssertionError)):
            visit.echo(proxy, o)
        assert o.opened == 0 and target.received


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", matrix.CLIENTS)
def test_fallback_inside(stage, origin, kind):
    """With fallbacks the site behind the node gets what he said; users beside him are served."""
    with targets.Script() as target, fallback.ProxyHeader() as site, origins.Tcp() as o:
        node = reality(f"127.0.0.1:{target.port}").with_(fallbacks=({"dest": site.port, "xver": 1},))
        stage.server(node)
        proxy = stage.client(kind, node, spec.Client(user=spec.BOB))
        with pytest.raises((OSError, AssertionError)):
            visit.echo(proxy, o)
        wait.until(lambda: site.received, 30, "the fallback was visited")
        got = site.received[0]
        assert got[0] == 1 and got[1] == "127.0.0.1"
        assert got[4][:17] == b"\0" + uuid.UUID(spec.BOB).bytes
        assert serves(stage, node, origin, kind)


BAD = {                                  # what the panel says wrongly, and how the log names it
    "privateKey": {"private_key": "c2hvcnQ"},
    "shortIds": {"short_ids": ["0123", "xyz"]},
    "serverNames": {"server_names": ["*.node.test"]},
    "mldsa65Seed": {"mldsa65Seed": "AAAA"},
    "dest": {"dest": "node.test:0"},
    "maxTimeDiff": {"maxTimeDiff": "soon"},
}


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_a_bad_answer_changes_nothing(stage, origin, script):
    """Node and field are named; the configuration that was good is served on."""
    directory, panel, nodes = str(stage.subdirectory("bad")), Panel(), {}
    stage.at_end(panel.close)
    for i, field in enumerate(BAD, 1):
        nodes[field] = reality(f"127.0.0.1:{script.port}")
        panel.add_node(i, v2sp.TOKEN, v2sp.node_object(nodes[field]), v2sp.user_list(nodes[field]))
    entries = [v2sp.node_entry(n, panel.url, i, Name=f"node-{field}") for i, (field, n) in enumerate(nodes.items(), 1)]
    process = v2sp.start(directory, v2sp.write_config(directory, entries))
    stage.watch(process, process.stop)
    for n in nodes.values():
        process.wait_port(n.port)
    for i, (field, wrong) in enumerate(BAD.items(), 1):
        answer = panel.nodes[i].config
        panel.nodes[i].config = {**answer, "tls_settings": {**answer["tls_settings"], **wrong}}
    for field in BAD:
        process.wait_log(rf"(warning|error) \[node-{field}\].*{field}", 30)
    for n in nodes.values():
        assert serves(stage, n, origin, "xray")
