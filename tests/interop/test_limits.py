"""Limits of devices and of connections, through the real clients: who is over a limit is not served, who is in stays,
the newest connection has a place."""
import matrix
import pytest

from harness import origins, socks5, spec, visit, wait

pytestmark = [pytest.mark.v2sp_only, pytest.mark.sanitizer]

HOMES = [f"127.77.{i}.1" for i in range(1, 5)]
# Sources on this host tell no devices apart, unless the node is told so.
LOCAL = {"DeviceCountPrivate": True}


def link_of(stage, limits, node=None, transport="raw", **options):
    return matrix.Link(stage, "xray", transport, {}, users=[(1, spec.USER), (2, spec.BOB)], limits={1: limits},
                       options={**LOCAL, **options}, **(node or {}))


def device(stage, link, home, user=spec.USER):
    """A client with a source address of its own; returns its process and SOCKS address."""
    return stage.client_process("xray", link.node, spec.Client(user=user, send_through=home))


def is_served(proxy, origin):
    try:
        visit.echo(proxy, origin)
        return True
    except (OSError, AssertionError):
        return False


@pytest.fixture
def origin():
    with origins.Tcp() as o:
        yield o


@pytest.mark.parametrize("protocol", ["vless", "trojan", "vmess"])
def test_no_more_devices_than_allowed(stage, origin, protocol):
    link = link_of(stage, {"device_limit": 2}, {"protocol": protocol})
    proxies = [device(stage, link, home)[1] for home in HOMES]
    with visit.Session(proxies[0], origin) as one, visit.Session(proxies[1], origin) as two:
        one.say(b"a")
        two.say(b"b")
        assert not is_served(proxies[2], origin)
        visit.echo(proxies[0], origin)          # a second connection of a device that is in
        one.say(b"c")
        two.say(b"d")
    _, bobs = device(stage, link, HOMES[3], spec.BOB)
    visit.echo(bobs, origin)                    # he has no limit


def test_devices_on_other_nodes_count(stage, origin):
    """What the panel says of them. Who is in stays, and they count no more when they have left."""
    link = link_of(stage, {"device_limit": 2})
    panel = link.server.panel
    (_, first), (_, second) = device(stage, link, HOMES[0]), device(stage, link, HOMES[1])
    panel.alive = {"1": 2}
    panel.wait_calls("alivelist", 2)
    wait.until(lambda: not is_served(first, origin), 20, "all his devices are elsewhere")
    panel.alive = {"1": 1}
    wait.until(lambda: is_served(first, origin), 20, "one is free")
    with visit.Session(first, origin) as session:
        session.say(b"in")
        assert not is_served(second, origin)
        panel.alive = {"1": 5}
        answers = panel.count("alivelist")
        wait.until(lambda: panel.count("alivelist") >= answers + 2, 30, "the node has heard of it")
        session.say(b"still in")
        visit.echo(first, origin)


def test_a_quiet_place_goes_to_the_next(stage, origin):
    link = link_of(stage, {"device_limit": 1})
    (_, first), (_, second) = device(stage, link, HOMES[0]), device(stage, link, HOMES[1])
    visit.echo(first, origin)
    wait.until(lambda: is_served(second, origin), 20, "the first one's connections are gone: he has moved")


def test_the_oldest_device_is_kicked_where_that_is_the_rule(stage, origin):
    link = link_of(stage, {"device_limit": 1}, DeviceOverflow="kick-oldest")
    (_, first), (_, second) = device(stage, link, HOMES[0]), device(stage, link, HOMES[1])
    with visit.Session(first, origin) as session:
        session.say(b"in")
        visit.echo(second, origin)

        def is_cut():
            try:
                session.say(b"still?")
                return False
            except (OSError, AssertionError):
                return True
        wait.until(is_cut, 20, "the older device is still served")


def test_devices_of_shadowsocks_datagrams(stage):
    node = {"protocol": "shadowsocks", "settings": {"cipher": "aes-128-gcm"}}
    link = link_of(stage, {"device_limit": 1}, node)
    (_, first), (_, second) = device(stage, link, HOMES[0]), device(stage, link, HOMES[1])
    with origins.UdpEcho() as o, socks5.Udp(first) as a, socks5.Udp(second) as b:
        a.sendto(b"in", o.address)
        assert a.recvfrom() == (b"in", o.address)
        b.sendto(b"out", o.address)
        a.sendto(b"still in", o.address)
        assert a.recvfrom() == (b"still in", o.address)
        assert o.count == 2


def test_flows_of_shadowsocks_datagrams_are_connections(stage):
    """One at a time: the newer one has the place, once the other is not as fresh as itself."""
    node = {"protocol": "shadowsocks", "settings": {"cipher": "aes-256-gcm"}}
    link = link_of(stage, {"conn_limit": 1}, node)
    with origins.UdpEcho() as o, socks5.Udp(link.proxy, 1) as a, socks5.Udp(link.proxy, 1) as b:
        def answered(u, data):
            try:
                u.sendto(data, o.address)
                return u.recvfrom()[0] == data
            except OSError:
                return False

        wait.until(lambda: answered(a, b"first"), 30, "the first one's flow")
        wait.until(lambda: answered(b, b"second"), 30, "the second one's flow")
        assert len(o.peers) == 2


@pytest.mark.parametrize("mux", [None, {"enabled": True}], ids=["connections", "streams"])
def test_the_newest_connection_has_a_place(stage, origin, mux):
    link = matrix.Link(stage, "xray", "raw", {"mux": mux}, users=[(1, spec.USER)], limits={1: {"conn_limit": 3}})

    def opened():
        session = visit.Session(link.proxy, origin)
        return session if works(session) else None

    kept = []
    for _ in range(6):
        # Connections as young as a page being loaded are not ended for others: then it is refused.
        kept.append(wait.until(opened, 30, "a place"))
        wait.until(lambda: origin.opened - origin.closed <= 3, 30, "the oldest ends")
    assert [works(s) for s in kept] == [False] * 3 + [True] * 3


def works(session):
    try:
        session.say(b"x")
        return True
    except (OSError, AssertionError):
        return False
