"""Mux.Cool and XUDP: many streams in one, as the real clients send them inside VLESS.

XUDP is what both clients do with UDP by default: Xray for every port but 53 and 443 (with Vision for all), sing-box with
packet_encoding xudp. Streams of TCP are Xray's `mux.enabled`.
"""
import os
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import origins, socks5, visit

XUDP = {"packet_encoding": "xudp"}
MUX = {"mux": {"enabled": True, "concurrency": 8}}
SIZES = (1, 2, 3, 100, 512, 1200, 1472, 1473, 2048, 4096, 7000)

udp = matrix.links(("raw", "tls13", "ws-ed-tls", "vision-tls", "vision-reality"), **XUDP)(matrix.per_link)
mux = matrix.links(("raw", "tls13", "ws-tls"), clients=("xray",), **MUX)(matrix.per_link)


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


@pytest.mark.sanitizer
def test_datagrams_of_all_sizes(udp):
    with origins.UdpEcho() as o, socks5.Udp(udp.proxy) as u:
        for n in SIZES:
            data = os.urandom(n)
            u.sendto(data, o.address)
            assert u.recvfrom() == (data, o.address)


@pytest.mark.sanitizer
def test_one_association_many_targets(udp):
    """Full cone: one source port for all targets, each answer bears its own source."""
    with origins.UdpEcho(mark=b"a") as a, origins.UdpEcho(mark=b"b") as b, socks5.Udp(udp.proxy) as u:
        for i in range(20):
            for o, mark in ((a, b"a"), (b, b"b")):
                u.sendto(b"%d" % i, o.address)
                assert u.recvfrom() == (mark + b"%d" % i, o.address)


@pytest.mark.sanitizer
def test_streams_down_and_up(mux, origin):
    for n in (1, 100, 8191, 8192, 16384, 65537, 1 << 20):
        visit.download(mux.proxy, origin, n, seed=n)
        visit.upload(mux.proxy, origin, n, seed=n)


@pytest.mark.sanitizer
def test_many_streams_at_once(mux, origin):
    def one(i):
        visit.download(mux.proxy, origin, 300_000 + i, seed=i)
        visit.upload(mux.proxy, origin, 100_000 + i, seed=i)
        visit.echo(mux.proxy, origin)
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(one, range(30)))


def test_server_speaks_first(mux):
    with origins.Tcp(banner=b"220 ready\r\n") as o:
        with socks5.connect(mux.proxy, o.host, o.port) as s:
            assert socks5.read_exactly(s, 11) == b"220 ready\r\n"
            s.sendall(b"ECHO\nabc")
            assert socks5.read_exactly(s, 3) == b"abc"
