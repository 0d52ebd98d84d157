"""What a node does to Vision users: counts them as bytes move, cuts them, refuses what the flow forbids."""
import os
import ssl
import threading
import time
import uuid

import matrix
import pytest

from harness import certs, origins, ports, spec, tap, visit, vless, wait

KINDS = [(c, t) for t in matrix.VISION for c in matrix.CLIENTS]


@pytest.fixture(params=KINDS, ids=["-".join(k) for k in KINDS])
def link(request, stage):
    """A link of this test's own: nobody else's bytes are in the sums."""
    kind, transport = request.param
    return matrix.Link(stage, kind, transport, {})


@pytest.fixture(scope="module", params=["tls13", "tls12", "plain"])
def origin(request, cert):
    version = {"tls13": "1.3", "tls12": "1.2"}.get(request.param)
    with origins.Tcp(tls=certs.server_context(cert, version) if version else None) as o:
        yield o


def tapped(origin, **how):
    t = tap.Tap(origin.address, **how)
    t.tls = origin.tls
    return t


def in_background(f):
    """Runs f; what it raises is kept in the thread's `error`."""
    def body():
        try:
            f()
        except Exception as e:               # the test looks at it
            thread.error = e
    thread = threading.Thread(target=body, daemon=True)
    thread.error = None
    thread.start()
    return thread


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_sums_are_the_inner_stream(link, origin):
    """To the byte, in both directions, padded and raw; the client's half second for a last word included."""
    with tapped(origin) as t:
        for n in (1, 900, 40_000, 3_000_000):
            visit.download(link.proxy, t, n)
            visit.insist(link.proxy, lambda n=n: visit.upload(link.proxy, t, n))
        link.client.stop()                   # it may keep tunnels open
        wait.until(lambda: t.closed == t.opened, 30, "all sessions end")
        link.server.panel.wait_sum(1, t.up, t.down)
        # Nothing comes after it, nor at the end, when all is reported that there is.
        assert link.server.process.stop() == 0
        assert link.server.panel.sum(1) == (t.up, t.down), "bytes out of nowhere"


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_sums_move_during_a_download(link, cert):
    """The panel sees a long download while it lasts, spliced or not."""
    with origins.Tcp(tls=certs.server_context(cert, "1.3")) as o, tapped(o, rate=2_000_000) as t:
        n = 18_000_000
        thread = in_background(lambda: visit.download(link.proxy, t, n))
        wait.until(lambda: link.server.panel.sum(1)[1] > 1_000_000, 15, "the first megabyte at the panel")
        first = link.server.panel.sum(1)[1]
        assert thread.is_alive() and first < n, "it was reported at the end"
        thread.join(40)
        assert thread.error is None and not thread.is_alive()
        link.client.stop()
        wait.until(lambda: t.closed == t.opened, 30, "the session ends")
        link.server.panel.wait_sum(1, t.up, t.down)


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_raw_bytes_are_spliced(link, cert):
    """Bytes that no layer changes pass by the process: pipes of splice(2) are there while they move."""
    with origins.Tcp(tls=certs.server_context(cert, "1.3")) as o, tapped(o, rate=20_000_000) as t:
        thread = in_background(lambda: visit.download(link.proxy, t, 20_000_000))
        wait.until(lambda: t.down > 4_000_000, 30, "the download is under way")
        assert pipes(link.server.process) >= 2
        thread.join(30)
        assert thread.error is None


def pipes(process):
    n = 0
    for fd in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            n += os.readlink(f"/proc/{process.pid}/fd/{fd}").startswith("pipe:")
        except OSError:
            pass
    return n


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
@pytest.mark.parametrize("way", ["down", "up"])
def test_removed_user_is_cut(link, cert, way):
    """Within a second of the panel's answer, in the middle of a raw transfer; what moved until then is reported."""
    with origins.Tcp(tls=certs.server_context(cert, "1.3")) as o, tapped(o, rate=3_000_000) as t:
        def session():
            if way == "down":
                visit.download(link.proxy, t, 300_000_000)
                return
            with visit.connect(link.proxy, t) as s:
                s.sendall(b"SINK 300000000\n")
                while True:
                    s.sendall(bytes(20_000))
                    time.sleep(0.01)
        thread = in_background(session)
        wait.until(lambda: getattr(t, way) > 1_000_000, 30, "the transfer is under way")
        answers = link.server.panel.count("user", 200)
        link.server.panel.set_users(1, [{"id": 2, "uuid": spec.BOB}])
        wait.until(lambda: t.closed == t.opened, 20, "he is cut")
        ended = time.monotonic()
        # The panel notes an answer after it has left; the node may be faster.
        wait.until(lambda: link.server.panel.count("user", 200) > answers, 30, "the answer that removed him")
        assert ended - link.server.panel.last("user", 200)[4] < 1.5
        thread.join(20)
        assert isinstance(thread.error, (OSError, AssertionError)), "his transfer went on"
        panel = link.server.panel
        wait.until(lambda: panel.sum(1)[way == "down"] > 1_000_000, 15, "what he moved is reported")


# -- the table of section 4 of the flow's rules; a client of our own says what real ones never do

ADDONS = b"\x0a\x10" + spec.VISION.encode()
CASES = {                   # name: (flow of the node, addons, command, is it served)
    "no-flow-where-vision-is": (spec.VISION, b"", vless.TCP, False),
    "udp-in-vision": (spec.VISION, ADDONS, vless.UDP, False),
    "udp-beside-vision": (spec.VISION, b"", vless.UDP, True),
    "vision-where-none-is": ("", ADDONS, vless.TCP, False),
    "no-flow-where-none-is": ("", b"", vless.TCP, True),
    "another-flow": (spec.VISION, b"\x0a\x10xtls-rprx-direct", vless.TCP, False),
    "no-such-flow": (spec.VISION, b"\x0a\x03abc", vless.TCP, False),
    "udp443-is-for-clients": (spec.VISION, b"\x0a\x17xtls-rprx-vision-udp443", vless.TCP, False),
}


@pytest.fixture(scope="module")
def nodes(module_stage):
    found = {}
    for flow in ("", spec.VISION):
        found[flow] = spec.Node(port=ports.free_port(), tls=True, cert=module_stage.cert, flow=flow)
        module_stage.server(found[flow])
    return found


@pytest.mark.sanitizer
@pytest.mark.parametrize("name", CASES)
def test_flow_rules(nodes, name):
    """What is refused is closed without a byte."""
    flow, addons, command, served = CASES[name]
    with origins.Tcp() as tcp, origins.UdpEcho() as udp:
        o = udp if command == vless.UDP else tcp
        first = b"\x00\x05hello" if command == vless.UDP else b"ECHO\nhello"
        with vless.connect((nodes[flow].listen, nodes[flow].port), vless.tls_context()) as s:
            s.sendall(vless.header(spec.USER, o.host, o.port, command, addons) + first)
            answer = _answer(s, 9 if command == vless.UDP else 7)
        assert bool(answer) == served
        if served:
            assert answer.endswith(b"hello")
        else:
            assert tcp.opened == 0 and udp.count == 0


def _answer(s, n):
    data = b""
    try:
        while len(data) < n:
            more = s.recv(100)
            if not more:
                break
            data += more
    except (ssl.SSLError, ConnectionError):
        pass
    return data


@pytest.mark.sanitizer
def test_vision_needs_tls13_outside(nodes):
    low = ssl.TLSVersion.TLSv1_2
    n = nodes[spec.VISION]
    with origins.Tcp() as o:
        with vless.connect((n.listen, n.port), vless.tls_context(low=low, high=low)) as s:
            s.sendall(vless.header(spec.USER, o.host, o.port, addons=ADDONS) + b"ECHO\n")
            assert _answer(s, 1) == b""
        assert o.opened == 0


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", matrix.CLIENTS)
def test_real_client_without_flow(nodes, module_stage, kind):
    proxy = module_stage.client(kind, nodes[spec.VISION], spec.Client(flow=""))
    with origins.Tcp() as o:
        with pytest.raises((OSError, AssertionError)):
            visit.echo(proxy, o)
        assert o.opened == 0


@pytest.mark.sanitizer
def test_blocks_of_our_own(nodes):
    """The server's blocks, read by a client that knows nothing but the format: UUID once, commands in order, padding."""
    n, ident = nodes[spec.VISION], uuid.UUID(spec.USER).bytes
    with origins.Tcp() as o, vless.connect((n.listen, n.port), vless.tls_context()) as s:
        s.sendall(vless.header(spec.USER, o.host, o.port, addons=ADDONS)
                  + ident + b"\x00" + (5).to_bytes(2, "big") + (30).to_bytes(2, "big") + b"ECHO\n" + bytes(30)
                  + b"\x01" + (5).to_bytes(2, "big") + (0).to_bytes(2, "big") + b"hello")
        data = _answer(s, 2 + 16 + 5)
        assert data[:2] == b"\0\0" and data[2:18] == ident
        got, at, commands = b"", 18, []
        while got != b"hello":
            while len(data) < at + 5 or len(data) < at + 5 + int.from_bytes(data[at + 1:at + 3], "big"):
                more = s.recv(4096)
                assert more, "closed inside a block"
                data += more
            size, pad = int.from_bytes(data[at + 1:at + 3], "big"), int.from_bytes(data[at + 3:at + 5], "big")
            commands.append(data[at])
            got += data[at + 5:at + 5 + size]
            at += 5 + size + pad
            assert pad < 1400 and data[at - pad:at].count(0) == len(data[at - pad:at])
        assert set(commands) <= {0, 1}, "raw only for TLS 1.3"
