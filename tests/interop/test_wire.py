"""What the real clients never do, sent by a client that speaks the wire protocol: broken and hostile input,
half-close, cut headers. A probe gets a close and not one byte."""
import os
import socket
import ssl
import time

import pytest

from harness import origins, ports, spec, v2sp, vless, wait

UNKNOWN = "00000000-0000-4000-8000-00000000beef"


@pytest.fixture(scope="module", params=["raw", "tls"])
def node(request, module_stage, cert):
    n = spec.Node(port=ports.free_port(), tls=request.param == "tls", cert=cert)
    sub = type(module_stage)(module_stage.subdirectory(request.param), cert)
    n.server = sub.server(n)
    yield n
    sub.end()


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


def connect(node, **more):
    return vless.connect((node.listen, node.port), vless.tls_context() if node.tls else None, **more)


def stream(node, origin, first=b"", user=spec.USER, s=None):
    return vless.Stream(s or connect(node), user, origin.host, origin.port, first=first)


def expect_silence(s, timeout=10):
    """The server closes without a byte."""
    s.settimeout(timeout)
    try:
        assert s.recv(1) == b""
    except (ConnectionError, ssl.SSLError) as e:
        assert not isinstance(e, socket.timeout)
    finally:
        s.close()


# -- probes

PROBES = {
    "zeros": bytes(64),
    "garbage": bytes((i * 37 + 11) & 0xff for i in range(300)),
    "http": b"GET / HTTP/1.1\r\nHost: node.test\r\n\r\n",
    "unknown-user": vless.header(UNKNOWN, "127.0.0.1", 80) + b"hello",
    "version-1": vless.header(spec.USER, "127.0.0.1", 80, version=1) + b"hello",
    "command-9": vless.header(spec.USER, "127.0.0.1", 80, command=9),
    "address-type-9": vless.header(spec.USER, "127.0.0.1", 80)[:-5] + b"\x09\x7f\x00\x00\x01",
    "empty-domain": vless.header(spec.USER, "x", 80)[:-2] + b"\x00",
    "bad-addons": vless.header(spec.USER, "127.0.0.1", 80, addons=b"\xff\xff\xff\xff"),
    "bad-domain": vless.header(spec.USER, "a b", 80),
}


@pytest.mark.sanitizer
@pytest.mark.parametrize("probe", PROBES)
def test_probe_learns_nothing(node, probe):
    s = connect(node)
    s.sendall(PROBES[probe])
    expect_silence(s)


@pytest.mark.sanitizer
def test_garbage_instead_of_tls(node):
    if not node.tls:
        pytest.skip("a TLS matter")
    for data in (bytes(100), b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(200),
                 b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
        with socket.create_connection((node.listen, node.port), 10) as s:
            s.settimeout(10)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(100)
                assert answer == b"" or answer[0] == 0x15, f"only an alert may come, not {answer!r}"
            except OSError as e:
                assert not isinstance(e, socket.timeout)


def test_header_in_single_bytes(node, origin):
    s = connect(node)
    for b in vless.header(spec.USER, origin.host, origin.port) + b"ECHO\nabc":
        s.sendall(bytes([b]))
    v = vless.Stream.__new__(vless.Stream)
    v.socket, v._head = s, False
    assert v.read(3) == b"abc"
    s.close()


def test_partial_header_then_close(node):
    """Cut at every length; nothing may be left behind."""
    whole = vless.header(spec.USER, "127.0.0.1", 80)
    for n in range(len(whole)):
        s = connect(node)
        if n:
            s.sendall(whole[:n])
        s.close()


@pytest.mark.sanitizer
def test_route_bytes_of_the_uuid_are_free(node, origin):
    """Bytes 6 and 7 are the client's (Xray-core proxy/vless/validator.go); sing-box servers compare them all."""
    if node.server.kind == "sing-box":
        pytest.skip("sing-box compares all 16 bytes")
    ident = bytearray(vless.uuids.UUID(spec.USER).bytes)
    ident[6] ^= 0x5a
    ident[7] ^= 0xa5
    with stream(node, origin, b"ECHO\nabc", bytes(ident)) as v:
        assert v.read(3) == b"abc"


@pytest.mark.sanitizer
def test_unknown_addons_are_ignored(node, origin):
    """Seed (field 2) and a field of the future."""
    if node.server.kind == "sing-box":
        pytest.skip("sing-box refuses them")
    head = vless.header(spec.USER, origin.host, origin.port, addons=b"\x12\x03abc\x1a\x01x")
    s = connect(node)
    v = vless.Stream.__new__(vless.Stream)
    v.socket, v._head = s, False
    s.sendall(head + b"ECHO\nabc")
    assert v.read(3) == b"abc"
    s.close()


def test_mapped_address_is_ipv4(node, origin):
    s = connect(node)
    v = vless.Stream(s, spec.USER, f"::ffff:{origin.host}", origin.port, first=b"ECHO\nabc")
    assert v.read(3) == b"abc"
    s.close()


def test_domain_that_is_an_address(node, origin):
    s = connect(node)
    head = vless.header(spec.USER, "x", origin.port)[:-2] + bytes([len(origin.host)]) + origin.host.encode()
    s.sendall(head + b"ECHO\nabc")
    v = vless.Stream.__new__(vless.Stream)
    v.socket, v._head = s, False
    assert v.read(3) == b"abc"
    s.close()


# -- ends

@pytest.mark.v2sp_only      # the peers close both ways
@pytest.mark.sanitizer
def test_fin_of_the_client_is_passed_on(node, origin):
    """Raw: the client's FIN reaches the origin, whose answer still comes back within downlinkOnly."""
    if node.tls:
        pytest.skip("next test")
    with stream(node, origin, b"COUNT\n" + b"x" * 70_000) as v:
        v.socket.shutdown(socket.SHUT_WR)
        assert v.recv(200).startswith(b"70000 ")


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_close_notify_is_a_half_close(node, origin):
    if not node.tls:
        pytest.skip("previous test")
    plain = socket.create_connection((node.listen, node.port), 10)
    t = _BioTls(plain)
    t.send(vless.header(spec.USER, origin.host, origin.port) + b"COUNT\n" + b"x" * 70_000)
    t.close_notify()
    assert t.read_some(10).startswith(b"\x00\x0070000 ")
    plain.close()


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_fin_of_the_origin_is_passed_on(node, origin):
    """The visitor sees the end at once and may still send for uplinkOnly."""
    with stream(node, origin, b"FINISH\n") as v:
        assert v.read(4) == b"bye\n"
        if not node.tls:
            assert v.recv(1) == b""
        v.send(b"late")
        wait.until(lambda: origin.after_fin == b"late", 30, "bytes after the origin's FIN")
        origin.after_fin = b""


class _BioTls:
    """A TLS client that can send close_notify and go on reading; socket-bound SSLSocket cannot."""

    def __init__(self, s):
        self.s, self.into, self.out = s, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.o = vless.tls_context().wrap_bio(self.into, self.out, server_hostname="node.test")
        self._do(self.o.do_handshake)

    def _do(self, f, *args):
        while True:
            try:
                value = f(*args)
                self.s.sendall(self.out.read())
                return value
            except ssl.SSLWantReadError:
                self.s.sendall(self.out.read())
                data = self.s.recv(65536)
                if not data:
                    self.into.write_eof()
                self.into.write(data)

    def send(self, data):
        self._do(self.o.write, data)

    def close_notify(self):
        try:
            self.o.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.s.sendall(self.out.read())

    def read_some(self, timeout):
        self.s.settimeout(timeout)
        data = b""
        while b"\n" not in data:
            data += self._do(self.o.read, 65536)
        return data


# -- load of broken connections

@pytest.mark.v2sp_only      # Xray keeps some of these until its idle timer
@pytest.mark.sanitizer
def test_resets_leak_nothing(node, origin):
    """Resets at every stage of a connection; the server lives and gives every socket back."""
    def sockets():
        base = f"/proc/{node.server.process.pid}/fd"
        n = 0
        for fd in os.listdir(base):
            try:
                n += os.readlink(f"{base}/{fd}").startswith("socket:")
            except OSError:
                pass
        return n
    visit_once(node, origin)
    base = sockets()
    head = vless.header(spec.USER, origin.host, origin.port)
    for i in range(60):
        plain = socket.create_connection((node.listen, node.port), 10)
        if i % 3 == 0:
            plain.sendall(b"\x16\x03\x01"[: i % 4])
            origins.reset(plain)
            continue
        s = vless.tls_context().wrap_socket(plain, server_hostname="node.test") if node.tls else plain
        if i % 3 == 1:
            s.sendall(head + b"SOURCE 5000000 1\n")
            s.recv(1000)
        else:
            s.sendall(head + b"SINK 5000000\n" + bytes(100_000 + 777 * i))
        origins.reset(s)
    wait.until(lambda: sockets() <= base + 2, 20, lambda: f"{base} sockets as before, has {sockets()}")
    visit_once(node, origin)


@pytest.mark.v2sp_only      # Xray lets the visitor wait until its idle timer
@pytest.mark.sanitizer
def test_origin_resets(node, origin):
    """The origin resets in the middle: the visitor gets what was sent before, or an end; never a hang."""
    for n in (0, 1, 1000, 200_000, 3_000_000):
        with stream(node, origin, f"RESET {n}\n".encode()) as v:
            v.socket.settimeout(10)
            got = 0
            try:
                while True:
                    part = v.recv()
                    if not part:
                        break
                    got += len(part)
            except (ConnectionError, ssl.SSLError) as e:
                assert not isinstance(e, socket.timeout)
            assert got <= n
    visit_once(node, origin)


def visit_once(node, origin):
    with stream(node, origin, b"ECHO\nabc") as v:
        assert v.read(3) == b"abc"


@pytest.mark.v2sp_only
def test_handshake_deadline(module_stage, cert, node):
    """`handshake` (here 2 s) ends whoever does not finish the header."""
    n = spec.Node(port=ports.free_port(), tls=node.tls, cert=cert)
    served = v2sp.Served(n, module_stage.subdirectory("deadline"), top={
        "Cores": [{"Type": "xray", "XrayConnectionConfig": {"handshake": 2}}]}).start()
    module_stage.watch(served.process, served.stop)
    for first in (b"", b"\x00" * 5):
        start = time.monotonic()
        s = connect(n) if first and n.tls else socket.create_connection((n.listen, n.port), 10)
        s.sendall(first)
        expect_silence(s, 10)
        assert 1.0 < time.monotonic() - start < 8
