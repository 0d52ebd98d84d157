"""Block rules that need a look at what is said, through the real clients: names in TLS, HTTP and QUIC, BitTorrent; what
is allowed is not touched, what is blocked not dialled and not counted."""
import json
import os
import re
import ssl

import matrix
import pytest

from harness import certs, origins, paths, shadowsocks, socks5, spec, visit, wait

pytestmark = pytest.mark.v2sp_only

ROUTES = [
    {"id": 1, "action": "block", "match": ["domain:blocked.test", "domain:quic.sni.example.com"]},
    {"id": 2, "action": "protocol", "match": ["bittorrent"]},
    {"id": 3, "action": "block_ip", "match": ["127.66.0.0/16"]},
    {"id": 4, "action": "block_ip", "match": ["::1/128"]},
]
MUX = {"mux": {"enabled": True, "concurrency": 8, "xudpProxyUDP443": "allow"}}
TROJAN = {"protocol": "trojan"}
XUDP = {"packet_encoding": "xudp"}
SS = {"protocol": "shadowsocks", "settings": shadowsocks.node("2022-blake3-aes-128-gcm")}
DHT = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"


def params(*rows):
    return pytest.fixture(scope="module", params=[
        pytest.param((c, t, client, {**node, "routes": ROUTES}), id=f"{name}-{c}",
                     marks=[pytest.mark.sanitizer] if name in ("trojan", "ss") else [])
        for name, c, t, client, node in rows])


link = params(("raw", "xray", "raw", XUDP, {}), ("trojan", "sing-box", "tls13", {}, TROJAN), ("mux", "xray", "raw", MUX, {}),
              ("vision", "xray", "vision-reality", {}, {}), ("vmess", "sing-box", "ws", XUDP, {"protocol": "vmess"}),
              ("ss", "sing-box", "raw", {}, SS))(matrix.per_link)


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


@pytest.fixture(scope="module")
def secure(cert):
    with origins.Tcp(tls=certs.server_context(cert, "1.3")) as o:
        yield o


def log_of(link):
    return link.server.process.log()


def expect_blocked(link, text, act):
    """act() brings about one more line that says so."""
    before = len(re.findall(text, log_of(link)))
    act()
    wait.until(lambda: len(re.findall(text, log_of(link))) > before, 20, f"a line with {text}")


def ends(s):
    """The client's side ends without a byte."""
    with s:
        try:
            assert s.recv(100) == b""
        except ConnectionError:
            pass


def say(link, host, port, data):
    try:
        s = socks5.connect(link.proxy, host, port)
        s.sendall(data)
    except (OSError, AssertionError):
        return          # the client was told before it had spoken
    ends(s)


def hello_to(link, origin, name):
    raw = socks5.connect(link.proxy, origin.host, origin.port)
    with raw, pytest.raises((ssl.SSLError, OSError)):
        visit.INNER.wrap_socket(raw, server_hostname=name)


def test_a_blocked_target(link, origin):
    opened = origin.opened
    expect_blocked(link, r"tcp:www\.blocked\.test:443 blocked by rule 1: domain:blocked\.test",
                   lambda: say(link, "www.blocked.test", 443, b"x"))
    expect_blocked(link, rf"tcp:127\.66\.1\.1:{origin.port} blocked by rule 3", lambda: say(link, "127.66.1.1", origin.port, b"x"))
    assert origin.opened == opened


def test_a_name_in_a_blocked_network(link, origin):
    """localhost is ::1 and 127.0.0.1: one of them is enough, for streams and for datagrams."""
    opened = origin.opened
    expect_blocked(link, rf"tcp:localhost:{origin.port} \(::1\) blocked by rule 4",
                   lambda: say(link, "localhost", origin.port, b"x"))
    assert origin.opened == opened
    visit.echo(link.proxy, origin)                      # by its address
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as named, socks5.Udp(link.proxy) as u:
        expect_blocked(link, rf"udp:localhost:{o.port} \(::1\) blocked by rule 4",
                       lambda: named.sendto(b"blocked", ("localhost", o.port)))
        u.sendto(b"passes", o.address)
        assert u.recvfrom() == (b"passes", o.address)
        assert o.rx == len(b"passes")


def test_a_blocked_name_in_what_is_said(link, origin, secure):
    opened = origin.opened, secure.opened
    expect_blocked(link, r"\(tls a\.blocked\.test\) blocked by rule 1", lambda: hello_to(link, secure, "a.blocked.test"))
    expect_blocked(link, r"\(http1 blocked\.test\) blocked by rule 1",
                   lambda: say(link, *origin.address, b"GET / HTTP/1.1\r\nHost: Blocked.Test:80\r\n\r\n"))
    expect_blocked(link, r"\(bittorrent\) blocked by rule 2",
                   lambda: say(link, *origin.address, b"\x13BitTorrent protocol" + bytes(48)))
    assert (origin.opened, secure.opened) == opened


def test_what_is_allowed_is_whole(link, origin, secure):
    visit.echo(link.proxy, secure)                      # TLS to another name
    visit.download(link.proxy, origin, 1 << 20)
    visit.insist(link.proxy, lambda: visit.upload(link.proxy, origin, 1 << 20))
    with origins.Tcp(banner=b"220 first word\n") as first:
        with socks5.connect(link.proxy, *first.address) as s:
            assert visit.read_line(s) == "220 first word"


def test_a_blocked_name_that_is_said_late(link):
    """The target's first word shows that it has been dialled before the client said anything."""
    with origins.Tcp(banner=b"220 first word\n") as first:
        s = socks5.connect(link.proxy, *first.address)
        assert visit.read_line(s) == "220 first word"

        def speak():
            s.sendall(b"GET / HTTP/1.1\r\nHost: blocked.test\r\n\r\n")
            ends(s)
        expect_blocked(link, r"\(http1 blocked\.test\) blocked by rule 1", speak)


def quic_datagrams():
    with open(os.path.join(paths.ROOT, "src/sniff/testdata/sniff.json")) as f:
        return [bytes.fromhex(d) for d in json.load(f)["quic"]["datagrams"]]


def test_datagrams(link):
    """QUIC with a hello in two datagrams: the first may arrive, not the one that decides."""
    first, second = quic_datagrams()
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as quic, socks5.Udp(link.proxy) as bt, socks5.Udp(link.proxy) as u:
        u.sendto(b"before", o.address)
        assert u.recvfrom() == (b"before", o.address)

        def both():
            quic.sendto(first, o.address)
            quic.sendto(second, o.address)
        expect_blocked(link, r"\(quic quic\.sni\.example\.com\) blocked by rule 1", both)
        expect_blocked(link, r"udp:127\.0\.0\.1:\d+ \(bittorrent\) blocked by rule 2", lambda: bt.sendto(DHT, o.address))
        u.sendto(b"after", o.address)
        assert u.recvfrom() == (b"after", o.address)
        assert o.rx in (len(b"before" b"after"), len(b"before" b"after") + len(first))
        u.sendto(b"x", ("127.66.0.9", 9))               # a destination of a flow that goes on
        link.server.process.wait_log(r"udp:127\.66\.0\.9:9 blocked by rule 3")


def test_only_what_is_forwarded_is_counted(stage, origin):
    link = matrix.Link(stage, "sing-box", "raw", {}, routes=ROUTES)
    expect_blocked(link, r"user=1 .* blocked by rule 1",
                   lambda: say(link, *origin.address, b"GET / HTTP/1.1\r\nHost: blocked.test\r\n\r\n" + bytes(5000)))
    visit.echo(link.proxy, origin, b"hello")
    link.server.panel.wait_sum(1, len(b"ECHO\nhello"), len(b"hello"))


def test_sniffing_may_be_off(stage, origin):
    link = matrix.Link(stage, "xray", "raw", {}, routes=ROUTES, options={"DisableSniffing": True})
    with socks5.connect(link.proxy, *origin.address) as s:
        s.sendall(b"ECHO\nGET / HTTP/1.1\r\nHost: blocked.test\r\n\r\n")
        assert socks5.read_exactly(s, 10) == b"GET / HTTP"
    expect_blocked(link, r"blocked by rule 1", lambda: say(link, "blocked.test", 80, b"x"))
