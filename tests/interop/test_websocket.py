"""The WebSocket listener, byte by byte: answers to good and bad upgrades, early data, frames, ping and close."""
import base64
import socket

import pytest

from harness import origins, ports, spec, vless


@pytest.fixture(scope="module")
def node(module_stage):
    n = spec.Node(port=ports.free_port(), network="ws", path="/chat", host="cdn.test")
    n.server = module_stage.server(n)
    return n


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


def raw(node):
    return vless.connect((node.listen, node.port))


def upgrade(node, **more):
    s = raw(node)
    s.sendall(vless.ws_request("/chat", "cdn.test", **more))
    head = vless.http_head(s)
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n"), head
    return s, head


def payload(s, n):
    """n bytes of data frames; a Ping may come in between, the server probes clients like this one
    (Upgrade before Connection, early data, plain TCP) until it hears them."""
    data = b""
    while len(data) < n:
        opcode, part = vless.read_frame(s)
        if opcode == 9:
            continue
        assert opcode in (0, 1, 2), f"opcode {opcode}"
        data += part
    return data


def request(origin, first=b"ECHO\nabc"):
    return vless.header(spec.USER, origin.host, origin.port) + first


@pytest.mark.sanitizer
@pytest.mark.parametrize("head, status", [
    (vless.ws_request("/chat", "other.test"), 404),
    (vless.ws_request("/", "cdn.test"), 404),
    (vless.ws_request("/chat/", "cdn.test"), 404),
    (b"GET /chat HTTP/1.1\r\nHost: cdn.test\r\n\r\n", 400),
    (vless.ws_request("/chat", "cdn.test").replace(b"GET", b"POST"), 405),
    (vless.ws_request("/chat", "cdn.test").replace(b"Version: 13", b"Version: 12"), 400),
    (vless.ws_request("/chat", "cdn.test").replace(b"Key: ", b"Key: xx"), 400),
    (b"nonsense\r\n\r\n", 400),
], ids=["host", "path", "slash", "no-upgrade", "method", "version", "key", "garbage"])
def test_refusals(node, head, status):
    if node.server.kind == "sing-box":
        pytest.skip("sing-box answers otherwise")
    with raw(node) as s:
        s.sendall(head)
        assert vless.http_head(s).startswith(f"HTTP/1.1 {status} ")


@pytest.mark.sanitizer
def test_accept_key(node):
    with raw(node) as s:
        head = vless.ws_request("/chat", "cdn.test")
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        s.sendall(head.replace(key, b"dGhlIHNhbXBsZSBub25jZQ=="))
        assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in vless.http_head(s).lower()


@pytest.mark.sanitizer
def test_path_is_compared_decoded(node):
    for path in ("/chat", "/%63hat", "/chat?x=1"):
        with raw(node) as s:
            s.sendall(vless.ws_request(path, "cdn.test"))
            assert vless.http_head(s).startswith("HTTP/1.1 101"), path


def test_host_with_port_and_case(node):
    for host in ("cdn.test:8443", "CDN.test"):
        with raw(node) as s:
            s.sendall(vless.ws_request("/chat", host))
            assert vless.http_head(s).startswith("HTTP/1.1 101"), host


@pytest.mark.sanitizer
@pytest.mark.parametrize("n", [1, 40, 2048, 4000])
def test_early_data(node, origin, n):
    """Early bytes come first, the header is echoed as it came, and nothing rides behind the 101."""
    stream = request(origin, b"ECHO\n" + b"e" * 5000)
    s, head = upgrade(node, early=stream[:n])
    with s:
        sent = base64.urlsafe_b64encode(stream[:n]).decode().rstrip("=")
        assert f"sec-websocket-protocol: {sent}".lower() in head.lower()
        s.sendall(vless.ws_frame(stream[n:]))
        assert payload(s, 5002) == b"\0\0" + b"e" * 5000


def test_early_data_not_base64_is_ignored(node, origin):
    s, head = upgrade(node, extra=["Sec-WebSocket-Protocol: not base64!"])
    with s:
        assert "sec-websocket-protocol" not in head.lower()
        s.sendall(vless.ws_frame(request(origin)))
        assert payload(s, 5) == b"\0\0abc"


@pytest.mark.sanitizer
def test_fragments_and_odd_sizes(node, origin):
    """A message in fragments with control frames between, empty frames, text frames: one stream of bytes."""
    s, _ = upgrade(node)
    with s:
        stream = request(origin, b"ECHO\n" + bytes(i & 0xff for i in range(3000)))
        s.sendall(vless.ws_frame(b"", opcode=2))
        s.sendall(vless.ws_frame(stream[:7], opcode=2, fin=False))
        s.sendall(vless.ws_frame(b"beat", opcode=9))
        s.sendall(vless.ws_frame(stream[7:1000], opcode=0, fin=False) + vless.ws_frame(b"", opcode=0, fin=False))
        s.sendall(vless.ws_frame(stream[1000:2000], opcode=0))
        s.sendall(vless.ws_frame(stream[2000:], opcode=1))
        assert vless.read_frame(s) == (10, b"beat")
        assert payload(s, 3002)[2:] == bytes(i & 0xff for i in range(3000))


def test_frame_in_single_bytes(node, origin):
    s, _ = upgrade(node)
    with s:
        for b in vless.ws_frame(request(origin, b"ECHO\n" + b"z" * 300)):
            s.sendall(bytes([b]))
        assert payload(s, 302)[2:] == b"z" * 300


@pytest.mark.sanitizer
def test_ping_is_answered(node):
    s, _ = upgrade(node)
    with s:
        for text in (b"", b"x" * 125):
            s.sendall(vless.ws_frame(text, opcode=9))
            assert vless.read_frame(s) == (10, text)


@pytest.mark.sanitizer
def test_close_is_echoed(node, origin):
    s, _ = upgrade(node)
    with s:
        s.sendall(vless.ws_frame(request(origin)))
        assert payload(s, 5) == b"\0\0abc"
        s.sendall(vless.ws_frame(b"\x03\xe8", opcode=8))
        assert vless.read_frame(s) == (8, b"\x03\xe8")
        assert s.recv(1) == b""


def test_end_of_the_origin_is_a_close_frame(node, origin):
    s, _ = upgrade(node)
    with s:
        s.sendall(vless.ws_frame(request(origin, b"COUNT\n")))
        s.sendall(vless.ws_frame(b"\x03\xe8", opcode=8))
        opcode, body = vless.read_frame(s)
        while opcode != 8:
            opcode, body = vless.read_frame(s)
        assert body == b"\x03\xe8"


@pytest.mark.sanitizer
@pytest.mark.parametrize("frame", [
    vless.ws_frame(b"hello", mask=False), b"\xc2" + vless.ws_frame(b"hello")[1:], vless.ws_frame(b"x" * 126, opcode=9),
    vless.ws_frame(b"x", opcode=3), b"\x82\xff\x80\0\0\0\0\0\0\0abcd"],
    ids=["unmasked", "rsv", "long-ping", "opcode", "length-top-bit"])
def test_bad_frames_end_it(node, frame):
    s, _ = upgrade(node)
    with s:
        s.sendall(frame)
        try:
            got = s.recv(100)
            assert got == b"" or got[0] == 0x88, got
        except ConnectionResetError:
            pass


def test_pipelined_frame_is_kept(node, origin):
    """No client does it; the Go server closes without an answer, v2sp takes it."""
    if node.server.kind != "v2sp":
        pytest.skip("Go closes")
    with raw(node) as s:
        s.sendall(vless.ws_request("/chat", "cdn.test") + vless.ws_frame(request(origin)))
        assert vless.http_head(s).startswith("HTTP/1.1 101")
        assert payload(s, 5) == b"\0\0abc"


@pytest.mark.sanitizer
def test_head_limits(node):
    """A head without end, or larger than 8 KiB and the slack, is refused."""
    if node.server.kind == "sing-box":
        pytest.skip("sing-box allows 1 MiB")
    with raw(node) as s:
        s.sendall(b"GET /chat HTTP/1.1\r\nHost: cdn.test\r\n")
        try:
            for _ in range(200):
                s.sendall(b"X-Filler: " + b"y" * 100 + b"\r\n")
            head = vless.http_head(s)
            assert head == "" or head.startswith("HTTP/1.1 4")
        except OSError as e:
            assert not isinstance(e, socket.timeout)


def test_slow_head_is_closed(node):
    """4 s for the head, then a silent close."""
    with raw(node) as s:
        s.settimeout(12)
        s.sendall(b"GET /chat HTTP/1.1\r\n")
        assert s.recv(100) == b""
