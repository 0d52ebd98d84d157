"""Mux.Cool and XUDP: many streams in one, as the real clients send them inside every protocol.

XUDP is what both clients do with UDP by default: Xray for every port but 53 and 443 (with Vision for all), sing-box with
packet_encoding xudp. Streams of TCP, and datagrams beside them, are Xray's `mux.enabled`.
"""
import os
import socket
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import muxcool, origins, shadowsocks, socks5, spec, tap, vless, visit, wait

XUDP = {"packet_encoding": "xudp"}
MUX = {"mux": {"enabled": True, "concurrency": 8, "xudpProxyUDP443": "allow"}}
VMESS = {"protocol": "vmess"}
TROJAN = {"protocol": "trojan"}
SS_2022 = {"protocol": "shadowsocks", "settings": shadowsocks.node("2022-blake3-aes-128-gcm")}
SS_AEAD = {"protocol": "shadowsocks", "settings": shadowsocks.node("aes-128-gcm")}
USERS = {"users": [(1, spec.USER), (2, spec.BOB)]}
SIZES = (1, 2, 3, 100, 512, 1200, 1472, 1473, 2048, 4096, 7000)


def params(*rows):
    """(name, clients, transport, client, node) -> parameters of a link, one for each client."""
    found = [pytest.param((c, t, client, {**USERS, **node}), id=f"{name}-{c}-{t}")
             for name, clients, t, client, node in rows for c in clients]
    return pytest.fixture(scope="module", params=found)


udp = params(*[("vless", matrix.CLIENTS, t, XUDP, {})
               for t in ("raw", "tls13", "ws-ed-tls", "vision-tls", "vision-reality")],
             ("vmess", matrix.CLIENTS, "raw", XUDP, VMESS))(matrix.per_link)

MUX_ROWS = [(name, ("xray",), t, MUX, node) for name, t, node in (
    ("vless", "raw", {}), ("vless", "tls13", {}), ("vless", "ws-tls", {}), ("vmess", "ws", VMESS), ("ss-2022", "raw", SS_2022),
    ("ss-aead", "raw", SS_AEAD))]
mux = params(*MUX_ROWS)(matrix.per_link)


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
        assert a.peers == b.peers and len(a.peers) == 1


@pytest.mark.v2sp_only      # Xray labels by the address alone, whatever the port
def test_datagrams_to_a_name(udp):
    with origins.UdpEcho(mark=b"a") as a, origins.UdpEcho(mark=b"b") as b, socks5.Udp(udp.proxy) as u:
        for i in range(3):
            u.sendto(b"by name", ("localhost", a.port))
            assert u.recvfrom()[0] == b"aby name"
            u.sendto(b"by address", b.address)
            assert u.recvfrom() == (b"bby address", b.address)


def test_many_in_flight(udp):
    with origins.UdpEcho() as o, socks5.Udp(udp.proxy) as u:
        u.sendto(b"open", o.address)
        assert u.recvfrom()[0] == b"open"
        for burst in range(10):
            sent = [bytes([burst, i]) * (100 + i) for i in range(16)]
            for d in sent:
                u.sendto(d, o.address)
            assert [u.recvfrom()[0] for _ in sent] == sent, f"burst {burst}"


@pytest.mark.sanitizer
def test_many_associations_at_once(udp):
    """A carrier each. (No zeros: under Vision the Xray client does not send a first datagram of zeros.)"""
    def one(i):
        with origins.UdpEcho() as o, socks5.Udp(udp.proxy) as u:
            for n in range(5):
                data = bytes([i + 1, n + 1]) * 200
                u.sendto(data, o.address)
                assert u.recvfrom() == (data, o.address)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))


def bound(proxy, port):
    """An association from a local port of its own choice."""
    u = socks5.Udp(proxy)
    peer = u.socket.getpeername()
    u.socket.close()
    u.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.socket.settimeout(20)
    u.socket.bind(("127.0.0.1", port))
    u.socket.connect(peer)
    return u


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_application_keeps_its_port_when_its_client_starts_anew(udp):
    """Xray names the flow by the application's address, and v2sp finds it again by that and the user."""
    if udp.kind != "xray":
        pytest.skip("this client names no flow")
    with origins.UdpEcho() as o:
        with socks5.Udp(udp.proxy) as u:
            port = u.socket.getsockname()[1]
        for i in range(3):
            with bound(udp.proxy, port) as u:
                u.sendto(b"again", o.address)
                assert u.recvfrom() == (b"again", o.address)
            udp.new_client()
        assert len(o.peers) == 1
        _, bobs = udp._stage.client_process("xray", udp.node, matrix.client_of(udp.transport, user=spec.BOB))
        with bound(bobs, port) as u:
            u.sendto(b"other user, same flow id", o.address)
            assert u.recvfrom()[0] == b"other user, same flow id"
        assert len(o.peers) == 2


@pytest.mark.sanitizer
def test_streams_down_and_up(mux, origin):
    for n in (1, 100, 8191, 8192, 16384, 65537, 1 << 20):
        visit.download(mux.proxy, origin, n, seed=n)
        visit.upload(mux.proxy, origin, n, seed=n)


@pytest.mark.sanitizer
def test_slow_target_gets_the_last_bytes(mux):
    """They lie between the server's layers when the client has sent all, and no event brings them on."""
    data = os.urandom(3 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        for n in range(len(data) - 20 * 3001, len(data), 3001):
            with socks5.connect(mux.proxy, *listener.getsockname()) as s:
                target, _ = listener.accept()
                target.settimeout(20)
                sent = pool.submit(s.sendall, data[:n])
                futures.wait([sent], timeout=0.1)  # as much as goes out while nobody reads
                assert socks5.read_exactly(target, n) == data[:n]
                sent.result()
                target.close()


@pytest.mark.sanitizer
def test_many_streams_at_once(mux, origin):
    def one(i):
        visit.download(mux.proxy, origin, 300_000 + i, seed=i)
        visit.upload(mux.proxy, origin, 100_000 + i, seed=i)
        visit.echo(mux.proxy, origin)
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(one, range(30)))


def test_bulk_both_ways(mux, origin):
    def one(i):
        (visit.download if i % 2 else visit.upload)(mux.proxy, origin, 24 << 20, seed=i)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))


def test_server_speaks_first(mux):
    with origins.Tcp(banner=b"220 ready\r\n") as o:
        with socks5.connect(mux.proxy, o.host, o.port) as s:
            assert socks5.read_exactly(s, 11) == b"220 ready\r\n"
            s.sendall(b"ECHO\nabc")
            assert socks5.read_exactly(s, 3) == b"abc"


@pytest.mark.sanitizer
def test_datagrams_beside_streams(mux, origin):
    """Ordinary ids, not XUDP's carriers of their own. (One association: with more the client itself mixes the labels.)"""
    with origins.UdpEcho() as o, socks5.Udp(mux.proxy) as u, ThreadPoolExecutor(1) as pool:
        streams = pool.submit(visit.download, mux.proxy, origin, 5_000_000)
        for n in SIZES:
            data = os.urandom(n)
            u.sendto(data, o.address)
            assert u.recvfrom() == (data, o.address)
        streams.result(30)


def test_trojan(stage, origin):
    """On one carrier: Xray-core's Trojan client fails inside when its first write is large, so the first stream is a small
    one, and the others follow it."""
    link = matrix.Link(stage, "xray", "tls13", {"mux": {"enabled": True, "concurrency": 128}}, **USERS, **TROJAN)

    def one(i):
        visit.download(link.proxy, origin, 300_000 + i, seed=i)
        visit.upload(link.proxy, origin, 100_000 + i, seed=i)
        visit.echo(link.proxy, origin)
    visit.echo(link.proxy, origin)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(20)))


@pytest.fixture
def own_link(request, stage):
    """A link of this test's own: nobody else's bytes are in the sums."""
    kind, transport, client, node = request.param
    return matrix.Link(stage, kind, transport, client, **node)


@pytest.mark.parametrize("own_link", [("xray", "raw", MUX, {**USERS, **node}) for node in ({}, VMESS)],
                         ids=["vless", "vmess"], indirect=True)
@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_sums_are_the_payload(own_link, origin):
    """What streams carry is counted, not the frames around it."""
    with tap.Tap(origin.address) as t, origins.UdpEcho(mark=b"mark") as o:
        for n in (1, 900, 40_000, 2_000_000):
            visit.download(own_link.proxy, t, n)
            visit.upload(own_link.proxy, t, n)
        with socks5.Udp(own_link.proxy) as u:
            for n in (1, 100, 1200, 1):
                data = os.urandom(n)
                u.sendto(data, o.address)
                assert u.recvfrom() == (b"mark" + data, o.address)
        own_link.client.stop()
        wait.until(lambda: t.closed == t.opened, 30, "all sessions end")
        own_link.server.panel.wait_sum(1, t.up + o.rx, t.down + o.tx)
        assert own_link.server.panel.sum(2) == (0, 0)


# -- what no real client does

@pytest.fixture(scope="module")
def node(module_stage):
    n = matrix.node_of("raw", module_stage.cert, **USERS)
    n.server = module_stage.server(n)
    return n


def carrier(node):
    return muxcool.Carrier(vless.connect((node.listen, node.port)), spec.USER)


@pytest.mark.sanitizer
def test_strange_frames_are_answered_as_xray_does(node, origin):
    with carrier(node) as c:
        c.send(muxcool.keep(9, b"xx") + muxcool.end(77) + muxcool.keep_alive(5, b"ping"))
        assert c.frame() == (9, muxcool.END, 0, b"")
        c.send(muxcool.new(1, muxcool.TCP, origin.address, b"ECHO\nhello") + muxcool.keep(1, b""))
        assert c.frame() == (1, muxcool.KEEP, 1, b"hello")
        c.send(muxcool.end(1))
        assert c.frame() == (1, muxcool.END, 2, b"")
        c.send(muxcool.new(1, muxcool.TCP, origin.address, b"ECHO\nsame id"))
        assert c.frame() == (1, muxcool.KEEP, 1, b"same id")
        c.send(muxcool.new(1, muxcool.TCP, origin.address, b"ECHO\ntwice"))
        assert c.frame() == (1, muxcool.KEEP, 1, b"twice")


BROKEN = {"length-604": bytes.fromhex("025c0001"), "length-3": bytes.fromhex("0003000104"),
          "status-9": bytes.fromhex("000400010900"), "network-7": bytes.fromhex("000c00010100078d04017f000001"),
          "no-name": bytes.fromhex("000900010100018d040200")}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.sanitizer
def test_broken_frame_closes_the_carrier(node, origin, name):
    with carrier(node) as c:
        c.send(muxcool.new(1, muxcool.TCP, origin.address, b"ECHO\nx"))
        assert c.frame() == (1, muxcool.KEEP, 1, b"x")
        c.send(BROKEN[name])
        assert c.frame() is None


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_no_more_than_1024_streams(node):
    with origins.UdpEcho() as o, carrier(node) as c:
        for i in range(1025):
            c.send(muxcool.new(i, muxcool.UDP, o.address, b"x"))
        seen = {}
        while len(seen) < 1025:
            ident, status, option, _ = c.frame()
            seen[ident] = (status, option)
        assert seen.pop(1024) == (muxcool.END, 2)
        assert set(seen.values()) == {(muxcool.KEEP, 1)}
