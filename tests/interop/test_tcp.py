"""TCP through every transport with both real clients: what goes in comes out."""
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import origins, socks5, visit

link = matrix.links()(matrix.per_link)

# Around the sizes where something changes: one byte, early data (2048), a TLS record (16384), a pooled block (16 KiB).
SIZES = (1, 2, 100, 2047, 2048, 2049, 8191, 16383, 16384, 16385, 65537, 1 << 20)


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


@pytest.mark.sanitizer
def test_sizes_down_and_up(link, origin):
    for n in SIZES:
        visit.download(link.proxy, origin, n, seed=n)
        visit.upload(link.proxy, origin, n, seed=n)


@pytest.mark.sanitizer
def test_first_packet_sizes(link, origin):
    """The first bytes may ride in the same write as the request header, or as early data."""
    for n in (1, 500, 1900, 2100, 5000, 20000):
        visit.echo(link.proxy, origin, bytes(i & 0xff for i in range(n)))


def test_64_mib_down(link, origin):
    visit.download(link.proxy, origin, 64 << 20)


def test_64_mib_up(link, origin):
    visit.upload(link.proxy, origin, 64 << 20)


def test_both_directions_at_once(link, origin):
    with socks5.connect(link.proxy, origin.host, origin.port) as s, ThreadPoolExecutor(1) as pool:
        data = b"".join(origins.stream(8 << 20, 9))
        s.sendall(b"ECHO\n")
        writing = pool.submit(s.sendall, data)
        assert socks5.read_exactly(s, len(data)) == data
        writing.result(10)


@pytest.mark.sanitizer
def test_50_at_once(link, origin):
    def one(i):
        visit.download(link.proxy, origin, 300_000 + i, seed=i)
        visit.upload(link.proxy, origin, 100_000 + i, seed=i)
        visit.echo(link.proxy, origin)
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(one, range(50)))


@pytest.mark.sanitizer
def test_server_speaks_first(link):
    with origins.Tcp(banner=b"220 ready\r\n") as o:
        with socks5.connect(link.proxy, o.host, o.port) as s:
            assert socks5.read_exactly(s, 11) == b"220 ready\r\n"
            s.sendall(b"ECHO\nabc")
            assert socks5.read_exactly(s, 3) == b"abc"


def test_domain_target(link, origin):
    visit.download(link.proxy, origin, 1000, host="localhost")


@pytest.mark.sanitizer
def test_answer_after_client_shutdown(link, origin):
    """The Xray client keeps the connection for a second after the visitor has shut down his side, without telling the
    node; sing-box closes at once. (Half-close on the wire: test_wire.py.)"""
    if link.kind != "xray":
        pytest.skip("this client closes both directions")
    with socks5.connect(link.proxy, origin.host, origin.port) as s:
        s.sendall(b"SINK 100000\n" + b"".join(origins.stream(100_000, 3)))
        s.shutdown(1)
        assert visit.read_line(s) == origins.digest(100_000, 3)


def test_slow_reader_gets_everything(link, origin):
    """Back-pressure: a visitor who does not read holds the origin back, and loses nothing."""
    n = 96 << 20
    before = origin.tx
    with socks5.connect(link.proxy, origin.host, origin.port) as s:
        s.sendall(f"SOURCE {n} 5\n".encode())
        settled = _settle(lambda: origin.tx - before)
        assert settled < n, f"the path buffered all {n} bytes"
        assert visit.read_all(s) == (n, origins.digest(n, 5))


def _settle(value):
    """The value once it has not moved for a quarter of a second."""
    import time
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.25:
        if value() != last:
            last, since = value(), time.monotonic()
        time.sleep(0.02)
    return last


def test_refused_target_is_closed(link):
    """The proxy cannot tell SOCKS in time; the visitor sees a close, not a hang."""
    from harness import ports
    with socks5.connect(link.proxy, "127.0.0.1", ports.free_port()) as s:
        s.settimeout(10)
        s.sendall(b"x")
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
