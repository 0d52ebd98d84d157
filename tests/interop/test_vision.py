"""Flow xtls-rprx-vision over TLS and REALITY: what goes in comes out, whatever is inside and whenever it turns raw."""
import hashlib
import http.client
import os
import random
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import certs, fallback, origins, ports, socks5, tap, visit, wait
from harness.process import Process
from test_abort import ended, sockets

link = matrix.links(tuple(matrix.VISION))(matrix.per_link)

INNER = ("tls13", "tls12", "plain")
# Around the sizes where something changes: padding (900), the clients' first records (1186), a Vision block (8171,
# 8192), a TLS record (16384).
SIZES = (1, 2, 100, 899, 901, 1186, 8170, 8172, 8193, 16383, 16385, 40_000, 65_537, 1 << 20)


@pytest.fixture(scope="module")
def inner(cert):
    """What is visited, by what is spoken there."""
    found = {"tls13": origins.Tcp(tls=certs.server_context(cert, "1.3")),
             "tls12": origins.Tcp(tls=certs.server_context(cert, "1.2")), "plain": origins.Tcp()}
    yield found
    for o in found.values():
        o.stop()


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", INNER)
def test_sizes_down_and_up(link, inner, kind):
    # The Xray client needs half a second for each visit without TLS, also with the Xray server.
    few = link.kind == "xray" and kind == "plain"
    for n in SIZES[::3] if few else SIZES:
        visit.download(link.proxy, inner[kind], n, seed=n)
        visit.insist(link.proxy, lambda n=n: visit.upload(link.proxy, inner[kind], n, seed=n))


@pytest.mark.parametrize("kind", INNER)
def test_64_mib_down_and_up(link, inner, kind):
    visit.download(link.proxy, inner[kind], 64 << 20)
    visit.insist(link.proxy, lambda: visit.upload(link.proxy, inner[kind], 64 << 20))


@pytest.mark.slow
@pytest.mark.parametrize("kind", INNER)
def test_1_gib_down_and_up(link, inner, kind):
    visit.download(link.proxy, inner[kind], 1 << 30)
    visit.insist(link.proxy, lambda: visit.upload(link.proxy, inner[kind], 1 << 30))


@pytest.mark.sanitizer
@pytest.mark.parametrize("version", ["", "1.2", "1.3"])
def test_server_speaks_first(link, cert, version):
    tls = certs.server_context(cert, version) if version else None
    with origins.Tcp(banner=b"220 ready\r\n", tls=tls) as o:
        with visit.connect(link.proxy, o) as s:
            assert socks5.read_exactly(s, 11) == b"220 ready\r\n"
            s.sendall(b"ECHO\nabc")
            assert socks5.read_exactly(s, 3) == b"abc"


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", INNER)
def test_small_exchanges(link, inner, kind):
    """A page that asks and is answered all the time, on one connection."""
    rng = random.Random(1)
    with visit.Session(link.proxy, inner[kind]) as s:
        for _ in range(300):
            s.say(rng.randbytes(rng.choice((1, 30, 500, 1500, 3000))))


@pytest.mark.parametrize("kind", INNER)
def test_both_directions_at_once(link, inner, kind):
    """An echo of four flows: both directions carry bulk while they turn raw. (OpenSSL's sockets of Python are not made
    for two threads, so each flow writes a piece and reads it back.)"""
    data = b"".join(origins.stream(256 << 10, 9))

    def one(_):
        with visit.Session(link.proxy, inner[kind]) as s:
            for _ in range(8):
                s.say(data[:60_000])
    with ThreadPoolExecutor(4) as pool:
        visit.insist(link.proxy, lambda: list(pool.map(one, range(4))))


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", INNER)
def test_origin_dribbles(link, inner, kind):
    """Every border of the inner records falls anywhere: in a header, in the six bytes that name the version."""
    for seed in range(6):
        with tap.Tap(inner[kind].address, dribble=seed) as t:
            t.tls = inner[kind].tls
            visit.download(link.proxy, t, 150_000, seed=seed)
            visit.insist(link.proxy, lambda: visit.upload(link.proxy, t, 50_000, seed=seed))


def settle(value):
    """Waits until the value has not moved for half a second."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.5:
        if value() != last:
            last, since = value(), time.monotonic()
        time.sleep(wait.STEP)


def test_slow_reader_gets_everything(link, inner):
    n = 48 << 20
    with visit.connect(link.proxy, inner["tls13"]) as s:
        s.sendall(f"SOURCE {n} 5\n".encode())
        h, got = hashlib.sha256(s.recv(1)), 1
        settle(lambda: inner["tls13"].tx)
        while True:
            part = s.recv(1 << 18)
            if not part:
                break
            h.update(part)
            got += len(part)
        assert (got, h.hexdigest()) == (n, origins.digest(n, 5))


@pytest.mark.sanitizer
def test_200_at_once(link, inner):
    def one(i):
        o = inner[INNER[i % 3]]
        visit.download(link.proxy, o, 200_000 + i, seed=i)
        visit.upload(link.proxy, o, 60_000 + i, seed=i)
        visit.echo(link.proxy, o)
    with ThreadPoolExecutor(200) as pool:
        visit.insist(link.proxy, lambda: list(pool.map(one, range(200))))


def repeat(link, origin, times):
    """Short downloads, 8 at a time: a race between the switches of both directions shows here."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: visit.download(link.proxy, origin, 40_000, seed=i), range(times)))


def test_repeated_short_downloads(link, inner):
    repeat(link, inner["tls13"], 300)


@pytest.mark.slow
def test_5000_short_downloads(link, inner):
    repeat(link, inner["tls13"], 5000)


# -- real web servers inside

class Web:
    """nginx with TLS 1.3, TLS 1.2 and no TLS, and files of known content."""

    SIZES = {"small": 300, "page": 40_000, "big": 8 << 20}

    def __init__(self, directory, cert):
        self.port = {kind: ports.free_port() for kind in INNER}
        self.www = directory / "www"
        self.www.mkdir()
        for name, n in self.SIZES.items():
            (self.www / name).write_bytes(b"".join(origins.stream(n, n)))
        common = (f"root {self.www}; dav_methods PUT; client_max_body_size 0; sendfile on; "
                  f"ssl_certificate {cert.cert}; ssl_certificate_key {cert.key};")
        listen = {"tls13": "ssl; ssl_protocols TLSv1.3", "tls12": "ssl; ssl_protocols TLSv1.2", "plain": ""}
        sites = "".join(f"server {{ listen 127.0.0.1:{self.port[k]} {listen[k]}; {common} }}\n" for k in INNER)
        self.nginx = fallback.Nginx(directory, {}, http=sites)
        self.nginx.wait(*self.port.values())

    def open(self, proxy, kind):
        c = http.client.HTTPConnection("inner.test", timeout=30)
        c.sock = socks5.connect(proxy, "127.0.0.1", self.port[kind])
        if kind != "plain":
            c.sock = visit.INNER.wrap_socket(c.sock, server_hostname="inner.test")
        return c


@pytest.fixture(scope="module")
def web(module_stage):
    w = Web(module_stage.subdirectory("web"), module_stage.cert)
    module_stage.at_end(w.nginx.stop)
    return w


@pytest.mark.parametrize("kind", INNER)
def test_nginx(link, web, kind):
    """Pages on a connection that stays, a big file, and an upload."""
    def pages():
        c = web.open(link.proxy, kind)
        for name in ("small", "page", "small", "page", "big", "small"):
            c.request("GET", f"/{name}")
            assert c.getresponse().read() == (web.www / name).read_bytes()
        for n in (1, 70_000, 5 << 20):
            body, name = random.Random(n).randbytes(n), f"{link.kind}-{link.transport}-{kind}-{n}"
            c.request("PUT", f"/{name}", body)
            answer = c.getresponse()
            answer.read()
            assert answer.status in (201, 204)
            assert (web.www / name).read_bytes() == body
        c.close()
    visit.insist(link.proxy, pages)


@pytest.mark.parametrize("kind", ["tls13", "tls12"])
def test_s_server(link, web, module_stage, kind):
    """OpenSSL's own server, one visitor after the other."""
    directory = str(module_stage.subdirectory("s_server"))
    for name in ("small", "page", "big", "page"):
        port = ports.free_port()
        # One process a visit: it serves one connection at a time, and the Xray client may keep one open for long.
        p = Process("s_server", ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", module_stage.cert.cert,
                                 "-key", module_stage.cert.key, "-WWW", "-" + kind.replace("tls1", "tls1_")],
                    directory, cwd=str(web.www))
        try:
            p.wait_log("ACCEPT")
            with visit.INNER.wrap_socket(socks5.connect(link.proxy, "127.0.0.1", port)) as s:
                s.sendall(f"GET /{name} HTTP/1.0\r\n\r\n".encode())
                answer = b""
                while True:
                    part = s.recv(1 << 16)
                    if not part:
                        break
                    answer += part
            assert answer.partition(b"\r\n\r\n")[2] == (web.www / name).read_bytes()
        finally:
            p.stop()


# -- ends of connections

@pytest.mark.parametrize("kind", INNER)
def test_answer_after_client_shutdown(link, inner, kind):
    """As in test_tcp.py: the Xray client gives the answer a second, sing-box does not."""
    if link.kind != "xray":
        pytest.skip("this client closes both directions")
    with visit.connect(link.proxy, inner[kind]) as s:
        s.sendall(b"SINK 100000\n" + b"".join(origins.stream(100_000, 3)))
        origins.fin(s)
        assert visit.read_line(s) == origins.digest(100_000, 3)


@pytest.mark.parametrize("kind", INNER)
def test_origin_finishes_first(link, inner, kind):
    """The end of what the origin says arrives after all of it."""
    with visit.connect(link.proxy, inner[kind]) as s:
        s.sendall(b"FINISH\n")
        assert visit.read_line(s) == "bye"
        s.settimeout(10)
        try:
            assert s.recv(1) == b""
        except (ssl.SSLEOFError, ConnectionResetError):      # the origin ends TCP, not TLS
            pass


@pytest.fixture
def no_leak(link, inner):
    """After the test the server has given back every socket, and serves. The Xray client keeps spliced tunnels whose
    visitor was reset for a day; so it is replaced, and with it every connection must end."""
    link.new_client()
    wait.until(lambda: all(o.closed == o.opened for o in inner.values()), 20, "a quiet origin")
    base = sockets(link.server.process)
    yield
    link.new_client()
    wait.until(lambda: all(o.closed == o.opened for o in inner.values()), 20, "all sessions end at the origin")
    wait.until(lambda: sockets(link.server.process) <= base + 2, 30,
               lambda: f"{base} sockets, has {sockets(link.server.process)}")
    visit.echo(link.proxy, inner["plain"])


@pytest.mark.sanitizer
def test_visitor_resets_download(link, inner, no_leak):
    def one(i):
        s = visit.connect(link.proxy, inner[INNER[i % 3]])
        s.sendall(b"SOURCE 50000000 1\n")
        socks5.read_exactly(s, 20_000 * (i + 1))
        origins.reset(s)
    with ThreadPoolExecutor(18) as pool:
        list(pool.map(one, range(18)))


@pytest.mark.sanitizer
def test_visitor_resets_upload(link, inner, no_leak):
    def one(i):
        s = visit.connect(link.proxy, inner[INNER[i % 3]])
        s.sendall(b"SINK 50000000\n" + bytes(50_000 * (i + 1)))
        origins.reset(s)
    with ThreadPoolExecutor(18) as pool:
        list(pool.map(one, range(18)))


@pytest.mark.v2sp_only      # Xray lets the visitor wait until its idle timer
@pytest.mark.sanitizer
def test_origin_resets_download(link, inner, no_leak):
    def one(i):
        s = visit.connect(link.proxy, inner[INNER[i % 3]])
        s.sendall(f"RESET {70_000 * i}\n".encode())
        ended(s)
    with ThreadPoolExecutor(18) as pool:
        list(pool.map(one, range(18)))


def test_connect_and_leave(link, inner, no_leak):
    """Handshakes that carry nothing after them."""
    for i in range(9):
        visit.connect(link.proxy, inner[INNER[i % 3]]).close()


@pytest.mark.v2sp_only
def test_udp_beside_vision(module_stage, link):
    """The sing-box client sends UDP without the flow, as VLESS frames of their own connection; Xray wraps it in XUDP, inside
    Vision's blocks (test_mux.py)."""
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as u:
        for n in (1, 100, 1400):
            data = os.urandom(n)
            u.sendto(data, o.address)
            assert u.recvfrom()[0] == data
