"""Fallbacks of VLESS and Trojan: whoever is not a user gets the web site behind the node, chosen by SNI, ALPN and path."""
import hashlib
import http.client
import ssl

import pytest

from harness import certs, fallback, origins, ports, spec, visit, vless


@pytest.fixture(scope="module")
def site(module_stage):
    """One nginx, several sites; the body names the site."""
    names = ("default", "path-a", "h2", "sni-b", "sni-b-path")
    sites = {ports.free_port(): n for n in names}
    n = fallback.Nginx(module_stage.subdirectory("nginx"), sites).wait(*sites)
    module_stage.at_end(n.stop)
    return {name: port for port, name in sites.items()}


@pytest.fixture(scope="module")
def proxy_headers():
    with fallback.ProxyHeader() as v1, fallback.ProxyHeader() as v2:
        yield {1: v1, 2: v2}


@pytest.fixture(scope="module", params=["vless", "trojan"])
def node(request, module_stage, site, proxy_headers, tmp_path_factory):
    cert = certs.make(tmp_path_factory.mktemp("fb"), "node.test", ("b.test", "www.b.test"))
    n = spec.Node(port=ports.free_port(), protocol=request.param, tls=True, cert=cert, fallbacks=(
        {"dest": site["default"]},
        {"path": "/a", "dest": f"127.0.0.1:{site['path-a']}"},
        {"alpn": "h2", "dest": site["h2"]},
        {"path": "/v1", "dest": proxy_headers[1].port, "xver": 1},
        {"path": "/v2", "dest": proxy_headers[2].port, "xver": 2},
        {"sni": "b.test", "dest": site["sni-b"]},
        {"sni": "b.test", "path": "/only-b", "dest": site["sni-b-path"]},
    ))
    n.server = module_stage.server(n)
    return n


def tls(node, sni="node.test", alpn=("http/1.1",)):
    return vless.connect((node.listen, node.port), vless.tls_context(list(alpn)), sni)


def get(node, path="/", sni="node.test", alpn=("http/1.1",)):
    """What a browser sees."""
    c = http.client.HTTPConnection(node.listen, node.port, timeout=10)
    c.sock = tls(node, sni, alpn)
    try:
        c.request("GET", path, headers={"Host": sni})
        return c.getresponse().read().decode()
    finally:
        c.close()


@pytest.mark.sanitizer
@pytest.mark.parametrize("path, sni, alpn, expected", [
    ("/", "node.test", ("http/1.1",), "default"),
    ("/a", "node.test", ("http/1.1",), "path-a"),
    ("/a?x=1", "node.test", ("http/1.1",), "path-a"),
    ("/ab", "node.test", ("http/1.1",), "default"),
    ("/A", "node.test", ("http/1.1",), "default"),
    ("/", "node.test", ("h2",), "h2"),
    ("/a", "node.test", ("h2",), "path-a"),            # alpn h2 inherits the missing path
    ("/", "b.test", ("http/1.1",), "sni-b"),
    ("/", "www.b.test", ("http/1.1",), "sni-b"),        # longest configured name inside the SNI
    ("/", "B.TEST", ("http/1.1",), "sni-b"),
    ("/only-b", "b.test", ("http/1.1",), "sni-b-path"),
    ("/only-b", "node.test", ("http/1.1",), "default"),
    ("/a", "b.test", ("http/1.1",), "path-a"),
    ("/", "node.test", (), "default"),
])
def test_choice(node, path, sni, alpn, expected):
    assert get(node, path, sni, alpn) == expected


def test_users_are_served_beside_it(node, module_stage):
    with origins.Tcp() as o:
        for kind in ("xray", "sing-box"):
            proxy = module_stage.client(kind, node, spec.Client())
            visit.download(proxy, o, 100_000)
            visit.upload(proxy, o, 100_000, small_first=True)


@pytest.mark.sanitizer
@pytest.mark.parametrize("version", [1, 2])
def test_proxy_header(node, proxy_headers, version):
    """The target learns the visitor's address; the request arrives unchanged behind the header."""
    seen = proxy_headers[version].received
    before = len(seen)
    with tls(node) as s:
        mine = s.getsockname()
        s.sendall(f"GET /v{version} HTTP/1.1\r\nHost: node.test\r\n\r\n".encode())
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    got = seen[before]
    assert got[:4] == (version, mine[0], mine[1], node.port)
    assert got[4] == f"GET /v{version} HTTP/1.1\r\nHost: node.test\r\n\r\n".encode()


@pytest.mark.sanitizer
@pytest.mark.parametrize("first", [
    b"GET /\r\n\r\n",                                               # under 18 bytes
    vless.header("00000000-0000-4000-8000-000000000001", "127.0.0.1", 80) + b"x" * 40,     # unknown users
    hashlib.sha224(b"nobody").hexdigest().encode() + b"\r\n\x01\x01\x7f\0\0\x01\0\x50\r\n",
    b"\x01" + bytes(40),                                            # another version
    b"GET / HTTP/1.1\r\nHost: node.test\r\nX: " + b"y" * 6000 + b"\r\n\r\n",
], ids=["short", "unknown-vless-user", "unknown-trojan-user", "version", "long"])
def test_first_bytes_reach_the_site(node, first):
    """Whatever is not ours is answered by the site: nginx calls it a bad request or serves it."""
    with tls(node) as s:
        s.sendall(first)
        assert s.recv(4096).startswith((b"HTTP/1.1 ", b"<html>", b"default"))


def test_error_after_the_user_matched_closes(node):
    """A known user with a broken request is not shown the web site."""
    with tls(node) as s:
        if node.protocol == "vless":
            broken = vless.header(spec.USER, "127.0.0.1", 80, command=9)
        else:
            broken = hashlib.sha224(spec.USER.encode()).hexdigest().encode() + b"\r\n\x01\x09"
        s.sendall(broken + b"GET / HTTP/1.1\r\n\r\n")
        try:
            assert s.recv(100) == b""
        except (ssl.SSLError, ConnectionError):
            pass


def test_dead_target_closes(node, module_stage):
    dead = node.with_(port=ports.free_port(), fallbacks=({"dest": ports.free_port()},))
    module_stage.server(dead)
    with tls(dead) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: node.test\r\n\r\n")
        try:
            assert s.recv(100) == b""
        except (ssl.SSLError, ConnectionError):
            pass


def test_large_answer_and_keep_alive(node, module_stage):
    """One connection, many requests: after the fallback the node is a plain relay."""
    c = http.client.HTTPConnection(node.listen, node.port, timeout=10)
    c.sock = tls(node)
    for _ in range(50):
        c.request("GET", "/", headers={"Host": "node.test"})
        assert c.getresponse().read() == b"default"
    c.close()
