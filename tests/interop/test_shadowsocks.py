"""Shadowsocks with every cipher and both real clients: streams and datagrams, on the raw port.

test_protocols.py has an AEAD cipher; here are the others, the 2022 editions, and what only Shadowsocks has.

Two flaws of clients of the 2022 editions, the same with every server: Xray's does not tell its application that the
stream has ended; sing-box's notes the salt of its request after it has sent it, and refuses an answer that is quicker.
"""
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import origins, shadowsocks, socks5, spec, tap, visit, wait

AES, AES_2022 = "aes-128-gcm", "2022-blake3-aes-128-gcm"
CIPHERS = (AES, "chacha20-ietf-poly1305", "xchacha20-ietf-poly1305", "none", AES_2022, "2022-blake3-aes-256-gcm",
           "2022-blake3-chacha20-poly1305")
PARAMS = [(c, "raw", {}, {"protocol": "shadowsocks", "settings": shadowsocks.node(cipher)})
          for cipher in CIPHERS for c in matrix.CLIENTS]
IDS = [f"{c}-{cipher}" for cipher in CIPHERS for c in matrix.CLIENTS]
DATAGRAMS = (1, 2, 100, 1200, 1473, 4096, 7500)


@pytest.fixture(scope="module", params=PARAMS, ids=IDS)
def link(request, module_stage):
    yield from matrix.per_link(request, module_stage)


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


def download(proxy, origin, n, seed=1):
    """Reads so many bytes and no end: Xray's client of the 2022 editions does not pass it on."""
    with visit.connect(proxy, origin) as s:
        s.sendall(f"SOURCE {n} {seed}\n".encode())
        for part in origins.stream(n, seed):
            assert socks5.read_exactly(s, len(part)) == part, "download differs"


def steadily(link, visits):
    """Calls visits(), and again when sing-box's client may have found the answer too quick."""
    for _ in range(10 if link.kind == "sing-box" and "2022" in link.node.settings["cipher"] else 0):
        try:
            return visits()
        except (OSError, AssertionError):
            pass
    return visits()


def node_of(cipher, **more):
    return matrix.node_of("raw", None, protocol="shadowsocks", settings=shadowsocks.node(cipher), **more)


@pytest.mark.sanitizer
def test_streams(link, origin):
    for n in (1, 100, 16383, 16384, 65537, 1 << 24):
        steadily(link, lambda n=n: download(link.proxy, origin, n, seed=n))
        steadily(link, lambda n=n: visit.upload(link.proxy, origin, n, seed=n))


@pytest.mark.sanitizer
def test_many_at_once(link, origin):
    def one(i):
        steadily(link, lambda: download(link.proxy, origin, 200_000 + i, seed=i))
        steadily(link, lambda: visit.upload(link.proxy, origin, 100_000 + i, seed=i))
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one, range(24)))


@pytest.mark.sanitizer
def test_server_speaks_first(link):
    """Xray's AEAD client then sends an empty chunk, which its own server takes for the end. sing-box with none says
    nothing before its application does."""
    if link.kind == "sing-box" and link.node.settings["cipher"] == "none":
        pytest.skip("a flaw of the client")
    def visits():
        with origins.Tcp(banner=b"220 ready\r\n") as o, socks5.connect(link.proxy, o.host, o.port) as s:
            assert socks5.read_exactly(s, 11) == b"220 ready\r\n"
            s.sendall(b"ECHO\nabc")
            assert socks5.read_exactly(s, 3) == b"abc"
    steadily(link, visits)


@pytest.mark.sanitizer
def test_datagrams(link):
    with origins.UdpEcho(mark=b"a") as a, origins.UdpEcho(mark=b"b") as b, socks5.Udp(link.proxy) as u:
        for n in DATAGRAMS:
            data = os.urandom(n)
            for o in (a, b):
                u.sendto(data, o.address)
                assert u.recvfrom() == (o.mark + data, o.address), f"{n} bytes"
        assert a.peers == b.peers, "one port for all destinations"


@pytest.mark.sanitizer
def test_bursts_of_datagrams(link):
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as u:
        for burst in range(10):
            sent = [bytes([burst, i]) * 300 for i in range(16)]
            for d in sent:
                u.sendto(d, o.address)
            assert [u.recvfrom()[0] for _ in sent] == sent, f"burst {burst}"


@pytest.mark.sanitizer
@pytest.mark.parametrize("cipher", [AES, AES_2022])
def test_mux_and_xudp(stage, cipher, origin):
    node = node_of(cipher)
    stage.server(node)
    _, proxy = stage.client_process("xray", node, spec.Client(mux={"enabled": True, "concurrency": 8}))

    def one(i):
        visit.download(proxy, origin, 200_000 + i, seed=i)
        visit.upload(proxy, origin, 100_000 + i, seed=i)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one, range(24)))
    with origins.UdpEcho(mark=b"a") as o, socks5.Udp(proxy) as u:
        for n in DATAGRAMS[:-1]:
            data = os.urandom(n)
            u.sendto(data, o.address)
            assert u.recvfrom() == (b"a" + data, o.address)


@pytest.mark.sanitizer
def test_below_tls_and_websocket(stage, origin):
    """Rare, for nodes of panels are raw; datagrams still come to the port by themselves."""
    link = matrix.Link(stage, "xray", "ws-tls", {}, protocol="shadowsocks", settings=shadowsocks.node(AES))
    visit.download(link.proxy, origin, 300_000)
    visit.upload(link.proxy, origin, 300_000)


# ---- many users ----

CROWD = [(i, f"{i:08x}-5ec2-4000-8000-{i * 2654435761 % (1 << 48):012x}") for i in range(1, 3001)]


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
@pytest.mark.parametrize("cipher", ["aes-256-gcm", "xchacha20-poly1305", AES_2022, "2022-blake3-aes-256-gcm"])
def test_each_of_many_users_is_told_apart(stage, cipher):
    node = node_of(cipher, users=CROWD)
    server = stage.server(node)
    sums = {}
    with origins.Tcp() as origin:
        for k, (uid, user) in enumerate((CROWD[0], CROWD[1500], CROWD[-1])):
            client, proxy = stage.client_process("xray", node, spec.Client(user=user))
            with tap.Tap(origin.address) as t, origins.UdpEcho(mark=b"m") as o, socks5.Udp(proxy) as u:
                for _ in range(3):           # the first one is looked for, the others are known
                    download(proxy, t, 1000 + k)
                    visit.upload(proxy, t, 70_000 + k)
                for n in (1, 500 + k):
                    u.sendto(b"x" * n, o.address)
                    assert u.recvfrom()[0] == b"m" + b"x" * n
                client.stop()
                wait.until(lambda t=t: t.closed == t.opened, 30, "all sessions end")
                sums[uid] = (t.up + o.rx, t.down + o.tx)
    for uid, (up, down) in sums.items():
        server.panel.wait_sum(uid, up, down)


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
@pytest.mark.parametrize("cipher", [AES, AES_2022])
def test_removed_user_has_no_datagrams_any_more(stage, cipher):
    node = node_of(cipher, users=[(1, spec.USER), (2, spec.BOB)])
    server = stage.server(node)
    _, mine = stage.client_process("sing-box", node, spec.Client())
    _, bobs = stage.client_process("sing-box", node, spec.Client(user=spec.BOB))
    with origins.UdpEcho() as o, socks5.Udp(mine) as me, socks5.Udp(bobs) as bob:
        for u in (me, bob):
            u.sendto(b"before", o.address)
            assert u.recvfrom()[0] == b"before"
        server.panel.set_users(1, [{"id": 2, "uuid": spec.BOB}])
        me.socket.settimeout(0.5)

        def is_cut():
            me.sendto(b"after", o.address)
            try:
                return not me.recvfrom()
            except socket.timeout:
                return True
        wait.until(is_cut, 20, "his datagrams are dropped")
        bob.sendto(b"after", o.address)
        assert bob.recvfrom()[0] == b"after"


@pytest.mark.v2sp_only
def test_users_that_the_cipher_cannot_serve_are_named(stage):
    node = node_of(AES_2022, users=[(1, spec.USER), (77, "short")])
    server = stage.server(node)
    assert "cannot be served: 77 (" in server.process.log()
    _, proxy = stage.client_process("xray", node, spec.Client())
    with origins.Tcp() as o:
        visit.echo(proxy, o)


# ---- strangers ----

def ended(address, data, wait=6):
    """How the server ends a connection that brings `data`: "reset" or "end"; "open" after `wait` seconds without, which
    are fewer than its deadline for a handshake."""
    with socket.create_connection(address, 5) as s:
        s.sendall(data)
        s.settimeout(wait)
        try:
            return "end" if s.recv(1) == b"" else "an answer"
        except socket.timeout:
            return "open"
        except ConnectionError:
            return "reset"


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_2022_resets_strangers_at_once(stage):
    node = node_of(AES_2022)
    server = stage.server(node)
    assert ended(server.address, os.urandom(58), wait=1) == "open"
    assert ended(server.address, os.urandom(59)) == "reset"
    assert ended(server.address, os.urandom(3000)) == "reset"


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_aead_eats_the_same_of_every_stranger(stage):
    node = node_of(AES)
    server = stage.server(node)
    assert ended(server.address, os.urandom(53), wait=1) == "open"
    assert ended(server.address, os.urandom(54 + 3265 + 64)) in ("end", "reset")
    _, proxy = stage.client_process("xray", node, spec.Client())
    with origins.Tcp() as o:
        visit.echo(proxy, o)


@pytest.mark.v2sp_only
@pytest.mark.sanitizer
@pytest.mark.parametrize("cipher", [AES, AES_2022, "none"])
def test_strange_datagrams_are_dropped_without_a_word(stage, cipher):
    node = node_of(cipher)
    server = stage.server(node)
    _, proxy = stage.client_process("sing-box", node, spec.Client())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, origins.UdpEcho() as o, socks5.Udp(proxy) as u:
        s.connect(server.address)
        for n in (1, 30, 31, 32, 100, 1400):
            s.send(b"\0" + os.urandom(n))
        u.sendto(b"still there?", o.address)
        assert u.recvfrom()[0] == b"still there?"
        s.settimeout(0.2)
        with pytest.raises(socket.timeout):
            s.recv(1)
