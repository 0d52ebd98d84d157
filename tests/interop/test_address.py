"""Addresses: listeners on IPv4, IPv6 and both; targets by IPv4, IPv6 and name."""
import socket

import pytest

from harness import origins, ports, socks5, spec, visit, wait


@pytest.fixture(scope="module")
def o4():
    with origins.Tcp("127.0.0.1") as o:
        yield o


@pytest.fixture(scope="module")
def o6():
    with origins.Tcp("::1") as o:
        yield o


@pytest.mark.sanitizer
@pytest.mark.parametrize("kind", ["xray", "sing-box"])
@pytest.mark.parametrize("listen, dialled", [
    ("127.0.0.1", ["127.0.0.1"]), ("0.0.0.0", ["127.0.0.1", "127.0.3.4"]), ("::1", ["::1"]), ("::", ["::1", "127.0.0.1"])])
def test_listener(stage, o4, o6, listen, dialled, kind):
    n = spec.Node(port=ports.free_port(listen), listen=listen)
    stage.server(n)
    for address in dialled:
        proxy = stage.client(kind, n, spec.Client(connect_to=address))
        visit.echo(proxy, o4)
        visit.echo(proxy, o6)


@pytest.mark.sanitizer
def test_name_with_a_dead_family(stage, o4):
    """localhost is ::1 and 127.0.0.1, the origin listens on one of them: happy eyeballs finds it at once."""
    n = spec.Node(port=ports.free_port())
    stage.server(n)
    proxy = stage.client("sing-box", n, spec.Client())
    visit.download(proxy, o4, 1000, host="localhost")


def test_name_that_does_not_exist(stage, o4):
    n = spec.Node(port=ports.free_port())
    stage.server(n)
    proxy = stage.client("xray", n, spec.Client())
    with socks5.connect(proxy, "no-such-name.invalid", 80) as s:
        s.settimeout(30)
        s.sendall(b"x")
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
    visit.echo(proxy, o4)


@pytest.mark.v2sp_only
def test_private_targets_are_closed_by_default(stage, o4):
    """AllowPrivate is false unless said otherwise: the host's loopback is out of reach, by address and by name."""
    from harness import v2sp
    n = spec.Node(port=ports.free_port())
    served = v2sp.Served(n, stage.subdirectory("private"), extra={"AllowPrivate": False}).start()
    stage.watch(served.process, served.stop)
    proxy = stage.client("xray", n, spec.Client())
    opened = o4.opened
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1"):
        with socks5.connect(proxy, host, o4.port) as s:
            s.settimeout(10)
            s.sendall(b"ECHO\nabc")
            try:
                assert s.recv(3) == b"", host
            except ConnectionResetError:
                pass
    assert o4.opened == opened


@pytest.mark.v2sp_only
def test_send_ip(stage, o4):
    """SendIP is the source address of outgoing connections."""
    from harness import v2sp
    n = spec.Node(port=ports.free_port())
    served = v2sp.Served(n, stage.subdirectory("sendip"), extra={"SendIP": "127.0.5.5"}).start()
    stage.watch(served.process, served.stop)
    proxy = stage.client("xray", n, spec.Client())
    visit.echo(proxy, o4)
    assert o4.peers[-1][0] == "127.0.5.5"
