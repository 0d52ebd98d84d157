"""Aborts at both ends of real clients' sessions, in the middle of transfers: nothing hangs, nothing leaks."""
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import origins, socks5, visit, wait

# The Xray client forgets to close some tunnels whose visitor was reset; its own idle timer (5 s here) ends them.
link = matrix.links(("raw", "tls13", "ws", "ws-ed-tls"), idle=5)(matrix.per_link)


@pytest.fixture
def origin():
    with origins.Tcp() as o:
        yield o


def sockets(process):
    directory = f"/proc/{process.pid}/fd"
    n = 0
    for fd in os.listdir(directory):
        try:
            n += os.readlink(f"{directory}/{fd}").startswith("socket:")
        except OSError:
            pass
    return n


@pytest.fixture
def no_leak(link, origin):
    """After the test the server has given back every socket, and serves."""
    visit.echo(link.proxy, origin)
    origin.wait_closed(1)
    process = link.server.process
    base = sockets(process)
    yield
    wait.until(lambda: origin.closed == origin.opened, 20,
               lambda: f"{origin.opened - origin.closed} sessions still open at the origin")
    wait.until(lambda: sockets(process) <= base + 2, 30, lambda: f"{base} sockets, has {sockets(process)}")
    visit.echo(link.proxy, origin)


def ended(s):
    """Reads to the end, whatever end it is; a hang is a failure."""
    s.settimeout(15)
    try:
        while s.recv(1 << 16):
            pass
    except socket.timeout:
        raise AssertionError("hangs") from None
    except OSError:
        pass
    s.close()


@pytest.mark.sanitizer
def test_visitor_resets_download(link, origin, no_leak):
    def one(i):
        s = socks5.connect(link.proxy, origin.host, origin.port)
        s.sendall(b"SOURCE 50000000 1\n")
        socks5.read_exactly(s, 1000 * (i + 1))
        origins.reset(s)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))


def test_visitor_resets_upload(link, origin, no_leak):
    def one(i):
        s = socks5.connect(link.proxy, origin.host, origin.port)
        s.sendall(b"SINK 50000000\n" + bytes(10_000 * (i + 1)))
        origins.reset(s)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))


@pytest.mark.v2sp_only      # Xray lets the visitor wait until its idle timer
@pytest.mark.sanitizer
def test_origin_resets_download(link, origin, no_leak):
    def one(i):
        s = socks5.connect(link.proxy, origin.host, origin.port)
        s.sendall(f"RESET {70_000 * i}\n".encode())
        ended(s)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))


def test_origin_stops_while_uploading(link, no_leak):
    with origins.Tcp() as o:
        s = socks5.connect(link.proxy, o.host, o.port)
        s.sendall(b"SINK 100000000\n" + bytes(1 << 20))
        o.wait_opened(1)
        o.stop()
        s.settimeout(15)
        deadline = time.monotonic() + 15
        try:
            while time.monotonic() < deadline:
                s.sendall(bytes(1 << 16))
            raise AssertionError("the upload goes nowhere and does not end")
        except socket.timeout:
            raise AssertionError("hangs") from None
        except OSError:
            pass
        s.close()


def test_connect_and_leave(link, origin, no_leak):
    """Sessions that carry nothing."""
    for _ in range(50):
        socks5.connect(link.proxy, origin.host, origin.port).close()
