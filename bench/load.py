"""Load through the real client's SOCKS port: bulk down, bulk up, short requests; with TLS inside where the origin has
it."""
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import padded
from harness import socks5, visit

STREAMS = 4
BUFFER = 1 << 20


def _discard(s, n):
    """Throws away n bytes inside the kernel (MSG_TRUNC), so that the load costs little beside what is measured."""
    scratch = bytearray(BUFFER)
    flags = [] if isinstance(s, ssl.SSLSocket) else [socket.MSG_TRUNC]
    while n > 0:
        got = s.recv_into(scratch, min(BUFFER, n), *flags)
        if got == 0:
            raise ConnectionError(f"{n} bytes missing")
        n -= got


def _head(s):
    head = b""
    while b"\r\n\r\n" not in head:
        more = s.recv(4096)
        if not more:
            raise ConnectionError("no answer")
        head += more
    head, _, body = head.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206")), head[:60]
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return length, len(body)


def _connect(proxy, origins, port):
    s = socks5.connect(proxy, "127.0.0.1", port, 15)
    try:
        return visit.INNER.wrap_socket(s, suppress_ragged_eofs=False) if origins.tls else s
    except BaseException:
        s.close()
        raise


def _get(proxy, origins, path, n=None):
    with _connect(proxy, origins, origins.web) as s:
        part = f"Range: bytes=0-{n - 1}\r\n" if n else ""
        s.sendall(f"GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{part}\r\n".encode())
        length, had = _head(s)
        _discard(s, length - had)
        return length


def one(proxy, origins, total):
    """The same over one connection, which one worker serves: steadier."""
    return _get(proxy, origins, "big", total)


def down(proxy, origins, total):
    """Bulk download over STREAMS connections; returns bytes moved."""
    with ThreadPoolExecutor(STREAMS) as pool:
        return sum(pool.map(lambda _: _get(proxy, origins, "big", total // STREAMS), range(STREAMS)))


def up(proxy, origins, total):
    block = bytes(BUFFER)

    def one(n):
        with _connect(proxy, origins, origins.sink) as s:
            s.sendall(f"S {n}\n".encode())
            # A Trojan client of Xray-core fails when its header and the first write are more than 8192 bytes.
            assert s.recv(1) == b"r"
            left = n
            if origins.tls:
                # A record that comes alone, as a browser has sent by the time it uploads: with it Xray-core's Vision
                # client turns raw. What is never read alone is in up_padded().
                left -= s.send(block[:1])
                assert s.recv(1) == b"r"
            while left > 0:
                left -= s.send(memoryview(block)[:min(left, BUFFER)])
            assert s.recv(1) == b"k"
        return n
    with ThreadPoolExecutor(STREAMS) as pool:
        return sum(pool.map(one, [total // STREAMS] * STREAMS))


def up_padded(proxy, origins, total):
    """The same through a Vision client that finds no reason to turn raw."""
    block = memoryview(bytes(BUFFER))
    with ThreadPoolExecutor(STREAMS) as pool:
        list(pool.map(lambda _: padded.upload(proxy, origins.sink, total // STREAMS, block), range(STREAMS)))
    return total


def requests(proxy, origins, count):
    """`count` short requests, each over a new proxied connection, 16 at a time."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: _get(proxy, origins, "small"), range(count)))
