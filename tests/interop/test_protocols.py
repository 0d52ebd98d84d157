"""Every protocol beside VLESS with both real clients: bytes and datagrams through, users told apart, counted to the byte.

What only one protocol has is tested in a file of its own.
"""
import threading
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import origins, shadowsocks, socks5, spec, tap, visit, wait

# name: (protocol of the node and its settings, transports[, clients])
NODES = {
    "trojan": ({"protocol": "trojan"}, ("raw", "tls13", "ws-ed-tls")),
    "vmess": ({"protocol": "vmess"}, ("raw", "ws-ed-tls")),
    # The 2022 editions are in test_shadowsocks.py: their clients have flaws of their own.
    "ss-aead": ({"protocol": "shadowsocks", "settings": shadowsocks.node("aes-256-gcm")}, ("raw",)),
}
PAIRS = [(name, node, t, c) for name, (node, transports, *clients) in NODES.items()
         for t in transports for c in (clients or [matrix.CLIENTS])[0]]
# sing-box sends all datagrams of an association to the first target unless it is told to use XUDP.
PARAMS = [(c, t, {"packet_encoding": "xudp"}, {**node, "users": [(1, spec.USER), (2, spec.BOB)]})
          for _, node, t, c in PAIRS]
IDS = [f"{name}-{c}-{t}" for name, _, t, c in PAIRS]

# Xray-core's Trojan client fails inside when its header and the first write are more than 8192 bytes.
FIRST = (1, 500, 1900, 2100, 5000, 8000)
# What fits the 8 KiB buffers of the clients with every header.
DATAGRAMS = (1, 2, 100, 512, 1200, 1473, 4096, 7500)

# A VMess node reads this much of a stranger before it closes.
STRANGERS_FILL = bytes(7000)


@pytest.fixture(scope="module", params=PARAMS, ids=IDS)
def link(request, module_stage):
    yield from matrix.per_link(request, module_stage)


@pytest.fixture(scope="module")
def origin():
    with origins.Tcp() as o:
        yield o


def upload(link, origin, n, **more):
    visit.upload(link.proxy, origin, n, small_first=link.node.protocol == "trojan" and link.kind == "xray", **more)


def pattern(n, i):
    return bytes([i & 0xff]) + bytes((i * 7 + k) & 0xff for k in range(n - 1))


@pytest.mark.sanitizer
def test_sizes_down_and_up(link, origin):
    for n in (1, 100, 16384, 65537, 3_000_001):
        visit.download(link.proxy, origin, n, seed=n)
        upload(link, origin, n, seed=n)


@pytest.mark.sanitizer
def test_first_packet_sizes(link, origin):
    for n in FIRST:
        visit.echo(link.proxy, origin, bytes(i & 0xff for i in range(n - 5 if n > 5 else n)))


@pytest.mark.sanitizer
def test_30_at_once(link, origin):
    def one(i):
        visit.download(link.proxy, origin, 200_000 + i, seed=i)
        upload(link, origin, 100_000 + i, seed=i)
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(one, range(30)))


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
def test_datagrams(link):
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as u:
        for i, n in enumerate(DATAGRAMS):
            u.sendto(pattern(n, i), o.address)
            assert u.recvfrom() == (pattern(n, i), o.address), f"{n} bytes"


@pytest.mark.sanitizer
def test_two_targets_of_one_association(link):
    """Full cone: one association, two destinations, each answer says whose it is."""
    with origins.UdpEcho(mark=b"a") as a, origins.UdpEcho(mark=b"b") as b, socks5.Udp(link.proxy) as u:
        for i in range(20):
            u.sendto(pattern(50, i), a.address)
            assert u.recvfrom() == (b"a" + pattern(50, i), a.address)
            u.sendto(pattern(60, i), b.address)
            assert u.recvfrom() == (b"b" + pattern(60, i), b.address)
        assert a.peers == b.peers, "one port for all destinations"


def test_datagrams_to_a_name(link):
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as u:
        u.sendto(b"who?", ("localhost", o.port))
        assert u.recvfrom()[0] == b"who?"


@pytest.fixture
def own_link(request, stage):
    """A link of this test's own: nobody else's bytes are in the sums."""
    kind, transport, client, node = request.param
    return matrix.Link(stage, kind, transport, client, **node)


# One transport of each protocol is enough: who counts is the relay.
OWN = [(p, i) for p, i in zip(PARAMS, IDS) if p[1] == "raw"]
own = pytest.mark.parametrize("own_link", [p for p, _ in OWN], ids=[i for _, i in OWN], indirect=True)


@own
@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_sums_are_the_payload(own_link, origin):
    with tap.Tap(origin.address) as t, origins.UdpEcho(mark=b"mark") as o:
        for n in (1, 900, 40_000, 2_000_000):
            visit.download(own_link.proxy, t, n)
            upload(own_link, t, n)
        with socks5.Udp(own_link.proxy) as u:
            for i, n in enumerate((1, 100, 1200, 1)):
                u.sendto(pattern(n, i), o.address)
                assert u.recvfrom() == (b"mark" + pattern(n, i), o.address)
        own_link.client.stop()               # it may keep connections open
        wait.until(lambda: t.closed == t.opened, 30, "all sessions end")
        own_link.server.panel.wait_sum(1, t.up + o.rx, t.down + o.tx)
        assert own_link.server.panel.sum(2) == (0, 0)


@own
@pytest.mark.v2sp_only
@pytest.mark.sanitizer
def test_removed_user_is_cut(own_link, origin):
    """Within a second of the panel's answer; the other user's transfer goes on."""
    link = own_link
    _, bobs = link._stage.client_process(link.kind, link.node, spec.Client(user=spec.BOB))
    with tap.Tap(origin.address, rate=3_000_000) as t, visit.Session(bobs, origin) as bob:
        errors = []

        def transfer():
            try:
                visit.download(link.proxy, t, 300_000_000)
            except (OSError, AssertionError) as e:
                errors.append(e)
        thread = threading.Thread(target=transfer, daemon=True)
        thread.start()
        wait.until(lambda: t.down > 1_000_000, 30, "the transfer is under way")
        bob.say(b"before")
        link.server.panel.set_users(1, [{"id": 2, "uuid": spec.BOB}])
        wait.until(lambda: t.closed == t.opened, 20, "he is cut")
        thread.join(20)
        assert errors, "his transfer went on"
        bob.say(b"after")

        def refused():                   # each worker hears of it at its own time
            try:
                visit.echo(link.proxy, origin, STRANGERS_FILL)
                return False
            except (OSError, AssertionError):
                return True
        wait.until(refused, 30, "he is not served again")


@own
def test_unknown_user_is_not_served(own_link, origin):
    _, proxy = own_link._stage.client_process(own_link.kind, own_link.node, spec.Client(user=spec.CAROL))
    with pytest.raises((OSError, AssertionError)):
        visit.echo(proxy, origin, STRANGERS_FILL)
    visit.echo(own_link.proxy, origin)
