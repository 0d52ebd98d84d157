"""Who the visitor is: PROXY protocol v1 and v2 in front of a node, X-Forwarded-For inside WebSocket, and what the
node then reports to the panel as the user's address."""
import socket
import struct

import pytest

from harness import origins, ports, spec, vless, wait

V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + socket.inet_aton("203.0.113.9") + socket.inet_aton("192.0.2.1") \
    + struct.pack("!HH", 4711, 443)
V2_TLV = SIGNATURE + b"\x21\x11" + struct.pack("!H", 12 + 7) + V2[16:] + b"\x04\x00\x04abcd"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


def works(node, origin, prefix, source=None):
    """True when a session behind the given PROXY header is served; False when the server closes."""
    try:
        with vless.connect((node.listen, node.port), vless.tls_context() if node.tls else None, prefix=prefix,
                           source=source) as s:
            v = vless.Stream(s, spec.USER, origin.host, origin.port, first=b"ECHO\nabc")
            return v.read(3) == b"abc"
    except OSError as e:
        assert not isinstance(e, socket.timeout), "neither served nor closed"
        return False


@pytest.fixture(scope="module", params=["raw", "tls"])
def node(request, module_stage, cert):
    sub = type(module_stage)(module_stage.subdirectory(request.param), cert)
    n = spec.Node(port=ports.free_port(), proxy_protocol=True, tls=request.param == "tls", cert=cert)
    n.server = sub.server(n)
    yield n
    sub.end()


@pytest.mark.sanitizer
@pytest.mark.parametrize("prefix", [V1, V1_6, b"PROXY UNKNOWN\r\n", V2, V2_TLV, LOCAL],
                         ids=["v1", "v1-ipv6", "unknown", "v2", "v2-tlv", "local"])
def test_accepted(node, origin, prefix):
    assert works(node, origin, prefix)


@pytest.mark.sanitizer
@pytest.mark.parametrize("prefix", [
    b"", b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n", b"PROXY TCP4 203.0.113.7 192.0.2.1 99999 443\r\n",
    b"PROXY TCP9 a b 1 2\r\n", b"PROXY " + b"x" * 200, SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\x00\x04" + bytes(4)],
    ids=["none", "lf-only", "port", "family", "long", "version", "short-v2"])
def test_refused(node, origin, prefix):
    assert not works(node, origin, prefix)


def test_split_header(node, origin):
    with socket.create_connection((node.listen, node.port), 10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for b in V2:
            s.sendall(bytes([b]))
        if node.tls:
            s = vless.tls_context().wrap_socket(s, server_hostname="node.test")
        assert vless.Stream(s, spec.USER, origin.host, origin.port, first=b"ECHO\nabc").read(3) == b"abc"


@pytest.mark.v2sp_only
def test_required_from_the_listed_sources_only(stage, origin):
    """ProxyProtocolFrom: a header from the listed is read; others are served without, and may not forge one."""
    n = spec.Node(port=ports.free_port(), proxy_protocol=True, proxy_protocol_from=("127.0.9.0/24",))
    stage.server(n)
    listed, other = ("127.0.9.1", 0), ("127.0.8.1", 0)
    assert works(n, origin, V1, listed)
    assert not works(n, origin, b"", listed)
    assert works(n, origin, b"", other)
    assert not works(n, origin, V1, other)


def reported_addresses(server, more_than=0):
    """What action=alive said last."""
    wait.until(lambda: server.panel.online.get(1), 30, "an alive report")
    return sorted(server.panel.online[1].get("1", []))


def hold(node, origin, prefix=b"", early=None, headers=(), source=None):
    """An open session that has moved bytes."""
    s = vless.connect((node.listen, node.port), prefix=prefix, source=source)
    if node.network != "ws":
        v = vless.Stream(s, spec.USER, origin.host, origin.port, first=b"HOLD\n")
        assert v.read(5) == b"held\n"
        return s
    s.sendall(vless.ws_request(node.path, extra=headers))
    assert vless.http_head(s).startswith("HTTP/1.1 101")
    s.sendall(vless.ws_frame(vless.header(spec.USER, origin.host, origin.port) + b"HOLD\n"))
    data = b""
    while len(data) < 7:
        data += vless.read_frame(s)[1]
    assert data == b"\0\0held\n"
    return s


@pytest.mark.v2sp_only
def test_alive_reports_the_address_of_the_header(stage, origin):
    n = spec.Node(port=ports.free_port(), proxy_protocol=True)
    server = stage.server(n)
    with hold(n, origin, V1), hold(n, origin, V2):
        wait.until(lambda: reported_addresses(server) == ["203.0.113.7", "203.0.113.9"], 20,
                   lambda: f"both addresses, panel has {server.panel.online}")


@pytest.mark.v2sp_only
@pytest.mark.parametrize("trusted, headers, expected", [
    ((), ["X-Forwarded-For: 198.51.100.5"], "127.0.7.7"),
    (("X-Forwarded-For",), ["X-Forwarded-For: 198.51.100.5, 10.0.0.1"], "198.51.100.5"),
    (("X-Real-IP",), ["X-Forwarded-For: 198.51.100.5"], "127.0.7.7"),
    (("X-Real-IP",), ["X-Forwarded-For: [2001:db8::5]", "X-Real-IP: 1.2.3.4"], "2001:db8::5"),
    (("X-Forwarded-For",), ["X-Forwarded-For: junk"], "127.0.7.7"),
], ids=["untrusted", "trusted", "trust-header-absent", "ipv6", "junk"])
def test_forwarded_for(stage, origin, trusted, headers, expected):
    n = spec.Node(port=ports.free_port(), network="ws", path="/w", trusted_forwarded_for=trusted)
    server = stage.server(n)
    with hold(n, origin, headers=headers, source=("127.0.7.7", 0)):
        wait.until(lambda: reported_addresses(server) == [expected], 20,
                   lambda: f"{expected}, panel has {server.panel.online}")
