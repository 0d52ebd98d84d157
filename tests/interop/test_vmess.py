"""VMess with the real clients: every security and option, what only it has, and what strangers see.

What all protocols have in common is in test_protocols.py, the transports among them.
"""
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import origins, ports, socks5, spec, tap, visit, vmess, wait

SIZES = (1, 100, 8191, 16384, 65537, 1 << 20)
# A buffer of 8 KiB less what is around a datagram.
DATAGRAMS = (1, 2, 100, 512, 1200, 1473, 4096, 8000)
# Enough for a node to have read what it reads of a stranger.
STRANGERS_FILL = bytes(7000)


class Forms:
    """A node, and one client process with a SOCKS port for each form."""

    def __init__(self, stage, kind, transport):
        self.kind = kind
        self.node = matrix.node_of(transport, stage.cert, protocol="vmess", users=[(1, spec.USER), (2, spec.BOB)])
        self.server = stage.server(self.node)
        self.client, self.proxies = vmess.start_client(kind, self.node, matrix.client_of(transport),
                                                       stage.subdirectory(kind))
        stage.at_end(self.client.stop)

    def each(self, function, but=()):
        """Calls it with every proxy, all at a time."""
        with ThreadPoolExecutor(len(self.proxies)) as pool:
            for name, done in [(n, pool.submit(function, p)) for n, p in self.proxies.items() if n not in but]:
                try:
                    done.result()
                except Exception as e:
                    raise AssertionError(f"{self.kind} {name}: {e!r}") from e


@pytest.fixture(scope="module", params=[(k, t) for t in ("raw", "tls13", "ws-tls") for k in matrix.CLIENTS],
                ids=lambda p: f"{p[0]}-{p[1]}")
def forms(request, module_stage):
    sub = type(module_stage)(module_stage.subdirectory("-".join(request.param)), module_stage.cert)
    try:
        yield Forms(sub, *request.param)
    finally:
        sub.end()


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


@pytest.mark.sanitizer
def test_bytes_through_every_form(forms, origin):
    def visits(proxy):
        for n in SIZES:
            visit.echo(proxy, origin, bytes((i * 7) & 0xff for i in range(min(n, 20000))))
            visit.upload(proxy, origin, n, seed=n)
        visit.download(proxy, origin, SIZES[-1])
    forms.each(visits)


def test_16_mib_through_every_form(forms, origin):
    if forms.node.tls:
        pytest.skip("one transport is enough")

    def visits(proxy):
        visit.download(proxy, origin, 16 << 20, seed=5)
        visit.upload(proxy, origin, 16 << 20, seed=6)
    forms.each(visits)


@pytest.mark.sanitizer
def test_server_speaks_first(forms):
    """After 100 ms of silence the Xray client opens with an empty chunk, which is no end."""
    def visits(proxy):
        with origins.Tcp(banner=b"220 ready\r\n") as o, socks5.connect(proxy, o.host, o.port) as s:
            assert socks5.read_exactly(s, 11) == b"220 ready\r\n"
            s.sendall(b"ECHO\nabc")
            assert socks5.read_exactly(s, 3) == b"abc"
    forms.each(visits)


@pytest.mark.sanitizer
def test_native_datagrams(forms):
    """Command 2, a chunk a datagram: sing-box's default; the Xray client's for port 53. (With "zero" that one sends
    them without chunks, so that nobody can tell them apart: refused.)"""
    try:
        port = 53 if forms.kind == "xray" else 0
        host = ports.free_loopback_ip(53) if port else "127.0.0.1"
    except PermissionError:
        pytest.skip("UDP port 53 needs privileges")

    with origins.UdpEcho(host, port) as o:
        def visits(proxy):
            with socks5.Udp(proxy) as u:
                for n in DATAGRAMS:
                    data = os.urandom(n)
                    u.sendto(data, o.address)
                    assert u.recvfrom() == (data, o.address), f"{n} bytes"
        forms.each(visits, but=("zero",) if forms.kind == "xray" else ())


@pytest.mark.sanitizer
def test_datagrams_that_carry_their_address(stage):
    """sing-box's packet_encoding "packetaddr": command 2 to a name that means it."""
    node = matrix.node_of("raw", stage.cert, protocol="vmess")
    stage.server(node)
    proxy = stage.client("sing-box", node, spec.Client(packet_encoding="packetaddr"))
    with origins.UdpEcho(mark=b"a") as a, origins.UdpEcho(mark=b"b") as b, socks5.Udp(proxy) as u:
        for n in DATAGRAMS:
            data = os.urandom(n)
            for o, mark in ((a, b"a"), (b, b"b")):
                u.sendto(data, o.address)
                assert u.recvfrom() == (mark + data, o.address), f"{n} bytes"


@pytest.mark.sanitizer
def test_answer_after_the_end_of_the_upload(forms, origin):
    """The Xray client announces the end of the visitor's direction, and waits a second for the rest of the answer."""
    if forms.kind != "xray":
        pytest.skip("this client closes both directions")

    def visits(proxy):
        with socks5.connect(proxy, origin.host, origin.port) as s:
            s.sendall(b"SINK 100000\n" + b"".join(origins.stream(100_000, 3)))
            s.shutdown(1)
            assert visit.read_line(s) == origins.digest(100_000, 3)
    forms.each(visits)


def test_streams_in_a_carrier(stage, origin):
    """Command 3: Mux.Cool inside chunks and inside nothing."""
    node = matrix.node_of("raw", stage.cert, protocol="vmess")
    stage.server(node)
    for security in ("aes-128-gcm", "zero"):
        client = spec.Client(options={"security": security}, mux={"enabled": True, "concurrency": 8})
        proxy = stage.client("xray", node, client)
        with ThreadPoolExecutor(10) as pool:
            for done in [pool.submit(visit.upload, proxy, origin, 200_000 + i, i) for i in range(10)]:
                done.result()


# ---- strangers

@pytest.fixture
def plain_node(stage):
    node = matrix.node_of("raw", stage.cert, protocol="vmess", users=[(1, spec.USER), (2, spec.BOB)])
    return node, stage.server(node)


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_strangers_are_read_for_a_while(plain_node):
    """The same amount for a node, but for 64 bytes; and not a byte back."""
    node, _ = plain_node
    ends = [vmess.ends_after((node.listen, node.port), os.urandom(n), 8000) for n in (16, 60, 16)]
    assert None not in ends, "a stranger is read for ever"
    assert all(54 <= n <= 54 + 3266 + 64 + 600 for n in ends), ends
    assert max(ends) - min(ends) <= 64 + 600, ends


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_replay_of_a_whole_connection(plain_node, stage, origin):
    node, _ = plain_node
    with tap.Tap((node.listen, node.port), keep=True) as t:
        proxy = stage.client("xray", node.with_(port=t.port), spec.Client())
        visit.echo(proxy, origin)
        sent = bytes(t.flows[0].up)
    opened = origin.opened
    assert vmess.ends_after((node.listen, node.port), sent, 8000) is not None
    assert origin.opened == opened


@pytest.mark.v2sp_only
def test_strangers_inside_websocket_are_closed_at_once(stage):
    node = matrix.node_of("ws", stage.cert, protocol="vmess")
    stage.server(node)
    with socket.create_connection((node.listen, node.port), 10) as s:
        s.sendall(f"GET {node.path} HTTP/1.1\r\nHost: {node.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(1)
        assert head.startswith(b"HTTP/1.1 101")
        s.sendall(b"\x82\x90" + bytes(4) + os.urandom(16))
        rest = b""
        while part := s.recv(100):
            rest += part
        assert len(rest) <= 4, "nothing but a Close frame"


@pytest.mark.v2sp_only
def test_a_user_who_is_added_is_found(plain_node, stage, origin):
    node, server = plain_node
    proxy = stage.client("xray", node, spec.Client(user=spec.CAROL))
    with pytest.raises((OSError, AssertionError)):
        visit.echo(proxy, origin, STRANGERS_FILL)
    server.panel.set_users(1, [{"id": i, "uuid": u} for i, u in [*node.users, (3, spec.CAROL)]])

    def served():
        try:
            visit.echo(proxy, origin, STRANGERS_FILL)
            return True
        except (OSError, AssertionError):
            return False
    wait.until(served, 20, "the new user is served")
