"""A REALITY node looks like its target: to a browser, to somebody who probes it, and to somebody who watches a user.

Everything is done twice, with the target itself and through the node, and what comes back must be the same: records
and their lengths, ServerHello fields, alerts, plain bytes, and how and when the connection ends. RSA certificates are
used, because the length of their signatures does not vary."""
import random
import resource
import socket
import ssl
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import certs, hello, origins, ports, probe, spec, tap, targets, visit, vless, wait

SHORT_ID = "0123456789abcdef"
KINDS = ("nginx", "s_server")


@pytest.fixture(scope="module")
def rsa(tmp_path_factory):
    return certs.make(tmp_path_factory.mktemp("rsa"), key=certs.RSA)


class Place:
    """A target, and a node in front of it. `alone` takes turns: the target serves one visitor at a time."""

    def __init__(self, stage, kind, cert, **more):
        self.kind = kind
        directory = stage.subdirectory("target")
        self.target = (targets.Nginx(directory, cert, extra="client_header_timeout 3s;") if kind == "nginx"
                       else targets.OpenSsl(directory, cert))
        stage.at_end(self.target.stop)
        self.node = spec.Node(port=ports.free_port(), flow=spec.VISION, reality=spec.Reality(
            f"127.0.0.1:{self.target.port}", short_ids=(SHORT_ID,), more={"maxTimeDiff": 60_000}))
        self.server = stage.server(self.node)
        # It looks at its target by itself, which would keep a visitor waiting where one is served at a time.
        if self.server.kind == "v2sp":
            self.server.process.wait_log("records at most follow its handshakes", 90)
        self.direct, self.through = ("127.0.0.1", self.target.port), (self.node.listen, self.node.port)
        self.workers = 16 if kind == "nginx" else 1
        self.caught = hello.catch(lambda port: stage.client("xray", self.node.with_(port=port), spec.Client()))
        self.key = spec.x25519.public_key(self.node.reality.private_key)

    def same(self, pieces, name="", **how):
        """Looks at both; a machine that is busy may need longer to be judged quiet."""
        for quiet in (probe.QUIET, 1.0, 3.0):
            more = {"quiet": quiet, **how}
            a, b = probe.look(self.direct, pieces, **more), probe.look(self.through, pieces, **more)
            if a == b:
                return a
        raise AssertionError(f"{name}: differs\ndirect  {a}\nthrough {b}")

    def all_same(self, probes, **how):
        """probes: (name, pieces) pairs. All are tried, all that differ are shown."""
        def one(probe_):
            try:
                self.same(probe_[1], probe_[0], **how)
                return None
            except AssertionError as e:
                return str(e)
        with ThreadPoolExecutor(self.workers) as pool:
            bad = list(filter(None, pool.map(one, probes)))
        assert not bad, "\n".join(bad[:20])


@pytest.fixture(scope="module", params=KINDS)
def place(request, module_stage, rsa):
    sub = type(module_stage)(module_stage.subdirectory(request.param), module_stage.cert)
    yield Place(sub, request.param, rsa)
    sub.end()


# -- a browser

@pytest.mark.sanitizer
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("sni", ["node.test", "other.test", None])
def test_browser(place, version, sni):
    """Version, cipher, ALPN, certificate, page and end are the target's."""
    def seen(address):
        context = vless.tls_context(alpn=["h2", "http/1.1"], low=certs.VERSIONS[version],
                                    high=certs.VERSIONS[version])
        try:
            with vless.connect(address, context, sni) as s:
                found = [s.version(), s.cipher(), s.selected_alpn_protocol(), s.getpeercert(binary_form=True)]
                s.sendall(b"GET / HTTP/1.0\r\nHost: node.test\r\n\r\n")
                data = b""
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    data += part
        except ssl.SSLError as e:
            return e.reason
        if place.kind == "nginx":
            found.append([line for line in data.split(b"\r\n") if not line.startswith(b"Date:")])
        return found
    assert seen(place.direct) == seen(place.through)


def plain_hello(**context):
    """A ClientHello of OpenSSL."""
    out = ssl.MemoryBIO()
    try:
        vless.tls_context(**context).wrap_bio(ssl.MemoryBIO(), out, server_hostname="node.test").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


# -- a prober

@pytest.mark.sanitizer
def test_probes(place):
    """What has been tried on such servers in the field, and what a scanner does."""
    h, own = place.caught, plain_hello()
    half, now = len(own) // 2, time.time()
    place.all_same([
        ("openssl", [own]),
        ("tls 1.2", [plain_hello(high=ssl.TLSVersion.TLSv1_2)]),
        ("wrong short id", [h.forge(place.key, "ffff")]),
        ("no short id", [h.forge(place.key, "")]),
        ("old time", [h.forge(place.key, SHORT_ID, when=now - 3600)]),
        ("time to come", [h.forge(place.key, SHORT_ID, when=now + 3600)]),
        ("another key", [h.forge(spec.x25519.public_key(bytes(31) + b"\1"), SHORT_ID)]),
        ("http", [b"GET / HTTP/1.1\r\nHost: node.test\r\n\r\n"]),
        ("http/2 preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
        ("ssh", [b"SSH-2.0-OpenSSH_9.2\r\n"]),
        ("garbage", [random.Random(1).randbytes(1000)]),
        ("zeros", [bytes(600)]),
        ("long garbage", [random.Random(2).randbytes(100_000)]),
        ("half a hello", [own[:half]]),
        ("half an authenticated hello", [h.wire[:len(h.wire) // 2]]),
        ("a record header", [own[:5]]),
        ("one byte", [b"\x16"]),
        ("nothing at all", []),
        ("record that never ends", [b"\x16\x03\x01\xff\xff" + bytes(20_000)]),
        ("empty records", [b"\x16\x03\x01\x00\x00" * 3]),
        ("hello over two records", [_split(own, 100)]),
        ("hello and early data", [own + b"\x17\x03\x03\x00\x20" + bytes(32)]),
        ("two halves", [own[:half], 0.1, own[half:]]),
        ("byte by byte", [p for i in range(0, len(own), 10) for p in (own[i:i + 10], 0.005)]),
    ])


RECORD = b"\x17\x03\x03\x00\x35" + bytes(range(53))       # as long as a Finished, and opens with no key


@pytest.mark.sanitizer
def test_probes_that_authenticate(place):
    """A hello of a user, heard on the wire and sent again; the flight is ours then, and nobody must see that."""
    ccs, key = b"\x14\x03\x03\x00\x01\x01", place.key
    behind = [("no more", []), ("garbage", [bytes(300)]), ("a record", [RECORD]), ("ccs and a record", [ccs + RECORD]),
              ("ccs", [ccs]), ("an alert", [b"\x15\x03\x03\x00\x02\x02\x28"]), ("text", [b"GET / HTTP/1.1\r\n\r\n"]),
              ("a short record", [b"\x17\x03\x03\x00\x05hello"]), ("a hello", [place.caught.wire])]
    for name, first in (("replayed", place.caught.wire), ("fresh", place.caught.forge(key, SHORT_ID))):
        place.all_same(((f"{name} hello, then {what}", [first, 0.3, *more]) for what, more in behind), fin=False, wait=1)
    place.all_same([("twice", [place.caught.wire * 2]),
                    ("an alert behind it", [place.caught.wire + b"\x15\x03\x03\x00\x02\x02\x28"])], fin=False, wait=1)


@pytest.mark.sanitizer
def test_fin_after_an_authenticated_hello(place):
    place.all_same([("replayed", [place.caught.wire]), ("fresh", [place.caught.forge(place.key, SHORT_ID)])])


@pytest.mark.sanitizer
def test_much_behind_an_authenticated_hello(place):
    """More than a server reads before it gives up: what it leaves unread resets the connection."""
    much = b"\x17\x03\x03\x48\x00" + bytes(0x4800)
    place.all_same([("replayed", [place.caught.wire, 0.3, much])], fin=False, wait=1)


def _split(record, at):
    body = record[5:]
    return b"".join(record[:3] + struct.pack("!H", len(p)) + p for p in (body[:at], body[at:]))


def altered(place, offsets):
    wire = place.caught.wire
    assert place.same([wire], fin=False, wait=1).data
    place.all_same((f"byte {i} altered", [wire[:i] + bytes([wire[i] ^ 1]) + wire[i + 1:]]) for i in offsets)


@pytest.mark.sanitizer
def test_one_altered_byte(place):
    """Of an authenticated hello: all of the first hundred bytes, then a sample."""
    n = len(place.caught.wire)
    if place.kind == "nginx":
        altered(place, [*range(0, 100), *range(100, n, 37)])
    else:
        altered(place, [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 43, 44, 60, 75, 76, 80, *range(100, n, 331)])


@pytest.mark.slow
def test_every_altered_byte(place):
    """(The target that serves one visitor at a time takes half a second for each: every fifth.)"""
    altered(place, range(0, len(place.caught.wire), 1 if place.kind == "nginx" else 5))


@pytest.mark.sanitizer
@pytest.mark.parametrize("what", ["nothing", "half", "hello", "authenticated"])
def test_resets(place, what):
    """After our RST the target is rid of us too, and serves the next one."""
    h = place.caught
    pieces = {"nothing": [], "half": [h.wire[:200]], "hello": [plain_hello()],
              "authenticated": [h.forge(place.key, SHORT_ID)]}[what]
    for _ in range(3):
        place.same(pieces, reset=True)
    assert place.same([plain_hello()]).data


@pytest.mark.sanitizer
@pytest.mark.parametrize("what", ["nothing", "half", "hello", "authenticated"])
def test_timeouts_are_the_targets(module_stage, place, what):
    """Nobody speaks any more: the node closes when the target does, three seconds here."""
    if place.kind != "nginx":
        pytest.skip("this target waits for ever")
    h = place.caught
    pieces = {"nothing": [], "half": [h.wire[:200]], "hello": [plain_hello()],
              "authenticated": [h.forge(place.key, SHORT_ID)]}[what]

    def took(address):
        begin = time.monotonic()
        view = probe.look(address, pieces, fin=False, wait=20)
        return view, time.monotonic() - begin
    for last in (False, False, True):        # a busy machine may be late once, not three times
        with ThreadPoolExecutor(2) as pool:
            (a, direct), (b, through) = pool.map(took, (place.direct, place.through))
        if a == b and abs(direct - through) < 0.7:
            return
        assert not last, f"{direct:.2f} s and {through:.2f} s\n{a}\n{b}"


# -- somebody who watches

def records(data):
    """(type, total length) of each record."""
    out, at = [], 0
    while at + 5 <= len(data):
        size = struct.unpack("!H", data[at + 3:at + 5])[0]
        out.append((data[at], 5 + size))
        at += 5 + size
    return out


@pytest.mark.sanitizer
@pytest.mark.parametrize("client", ["xray", "sing-box"])
def test_passive_reader_of_a_user(module_stage, place, client):
    """A user's handshake has the target's ServerHello fields and its records in number, order and length; the same
    client's hello, taken to the target itself, gets those."""
    with tap.Tap(place.through, keep=True) as t, origins.Tcp() as o:
        proxy = module_stage.client(client, place.node.with_(port=t.port), spec.Client())
        visit.download(proxy, o, 1000)
        flow = t.flows[-1]
        at_target = probe.look(place.direct, [bytes(flow.up[:5 + struct.unpack("!H", flow.up[3:5])[0]])])
        users = probe.View(flow.down, "").shape()
        theirs = at_target.shape()
        assert len(theirs) > 6 and users[:6] == theirs[:6]


def finished_records(address, sni="node.test"):
    """Lengths of what a TLS 1.3 server says after the client's Finished, before it is asked anything, until it has been
    silent for a second; the client offers the protocols of a browser, and the suite that a browser likes best."""
    with tap.Tap(address, keep=True) as t:
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"{t.host}:{t.port}", "-servername", sni, "-tls1_3",
                                   "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-alpn", "h2,http/1.1"],
                                  stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait.until(lambda: t.flows and len(records(t.flows[0].down)) > 6, 20, "a record behind the handshake")
            size, since = t.down, time.monotonic()
            while time.monotonic() < since + 1:
                time.sleep(wait.STEP)
                if t.down != size:
                    size, since = t.down, time.monotonic()
            return [n for _, n in records(t.flows[0].down)[6:]]
        finally:
            client.kill()
            client.wait()


def test_session_tickets_of_the_target(module_stage, place):
    """After a user's Finished come records as the target's session tickets, before anything else."""
    expected = finished_records(place.direct)
    with tap.Tap(place.through, keep=True) as t, origins.Tcp(banner=b"x") as o:
        proxy = module_stage.client("xray", place.node.with_(port=t.port), spec.Client())

        def heard():
            with visit.connect(proxy, o) as s:
                assert s.recv(1) == b"x"
            return [n for _, n in records(t.flows[-1].down)[6:6 + len(expected)]]

        def alike():
            """One in some hundred tickets of OpenSSL has a block of 16 bytes more."""
            got = heard()
            return len(got) == len(expected) and all(abs(a - b) in (0, 16) for a, b in zip(got, expected))
        wait.until(alike, 20, f"the node has learnt {expected}")


# -- many of them

@pytest.mark.slow
@pytest.mark.v2sp_only
def test_9000_held_to_the_target(stage, rsa):
    """Connections that did not authenticate, each with a finished flight of the target: 64 MiB are enough."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(9000, (limit - 1000) // 2)
    if count < 9000:
        pytest.skip(f"{limit} descriptors, 19,000 are needed")
    target = targets.Nginx(stage.subdirectory("target"), rsa, extra="client_header_timeout 600s;")
    stage.at_end(target.stop)
    node = spec.Node(port=ports.free_port(), flow=spec.VISION,
                     reality=spec.Reality(f"127.0.0.1:{target.port}"))
    server = stage.server(node)
    base = server.process.fd_count()
    wire, held = plain_hello(), []
    try:
        for i in range(count):
            s = socket.socket()
            s.bind((f"127.2.{i // 200 % 250}.{i % 200 + 1}", 0))
            s.settimeout(20)
            s.connect((node.listen, node.port))
            s.sendall(wire)
            held.append(s)
            if i >= 64:
                assert held[i - 64].recv(1 << 16)[:1] == b"\x16"
        for s in held[-64:]:
            assert s.recv(1 << 16)[:1] == b"\x16"
        assert server.process.fd_count() >= base + 2 * count, "every one of them is with the target"
        rss = server.process.rss_kib()
        assert rss <= 64 * 1024, f"{rss} KiB for {count} connections"
        print(f"{rss} KiB, {server.process.fd_count()} descriptors")
    finally:
        for s in held:
            s.close()
    server.process.wait_fds(base + 10, 30)
