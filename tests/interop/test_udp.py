"""UDP as VLESS command 2 (one target a session, datagrams with a length in front).

The Xray client uses command 2 for ports 53 and 443 only, so the targets listen on such a port of a free loopback
address; sing-box does it everywhere with packet_encoding "".
"""
import matrix
import pytest

from harness import origins, ports, socks5

link = matrix.links(("raw", "tls13", "ws-ed", "ws-tls"))(matrix.per_link)

# A VLESS length field holds 65535, but the clients and the Go server stop at about 8 KiB.
SIZES = (1, 2, 3, 100, 512, 1200, 1472, 1473, 2048, 4096, 7999, 8000)


def echo_server(mark=b"", port=53):
    try:
        return origins.UdpEcho(ports.free_loopback_ip(port), port, mark)
    except PermissionError:
        pytest.skip(f"UDP port {port} needs privileges")


def pattern(n, i):
    return bytes([i & 0xff]) + bytes((i * 7 + k) & 0xff for k in range(n - 1))


@pytest.mark.sanitizer
def test_sizes_one_by_one(link):
    with echo_server() as o, socks5.Udp(link.proxy) as u:
        for i, n in enumerate(SIZES):
            u.sendto(pattern(n, i), o.address)
            data, source = u.recvfrom()
            assert data == pattern(n, i)
            assert source == o.address


@pytest.mark.sanitizer
def test_many_in_flight(link):
    """Sixteen datagrams leave before the first answer is read. None is lost and the order stays. (The Xray client
    drops from its own queue when there are many more.)"""
    with echo_server() as o, socks5.Udp(link.proxy) as u:
        u.sendto(b"open", o.address)          # the session exists before the burst
        assert u.recvfrom()[0] == b"open"
        for burst in range(20):
            sent = [pattern(200 + 13 * i, i) for i in range(16)]
            for d in sent:
                u.sendto(d, o.address)
            assert [u.recvfrom()[0] for _ in sent] == sent, f"burst {burst}"


@pytest.mark.sanitizer
def test_two_targets(link):
    """Two associations side by side: with command 2 both clients keep the first target of an association."""
    with echo_server(b"a") as a, echo_server(b"b") as b, socks5.Udp(link.proxy) as ua, socks5.Udp(link.proxy) as ub:
        for i in range(50):
            ua.sendto(pattern(50, i), a.address)
            ub.sendto(pattern(60, i), b.address)
            assert ua.recvfrom() == (b"a" + pattern(50, i), a.address)
            assert ub.recvfrom() == (b"b" + pattern(60, i), b.address)


def test_port_443(link):
    with echo_server(port=443) as o, socks5.Udp(link.proxy) as u:
        u.sendto(b"quic?", o.address)
        assert u.recvfrom() == (b"quic?", o.address)


def test_unreachable_target_harms_nobody_else(link):
    """An ICMP port unreachable on one session leaves the next one alone."""
    with echo_server() as o, socks5.Udp(link.proxy) as u:
        with socks5.Udp(link.proxy) as lost:
            lost.sendto(b"lost", (o.host, 443))
            lost.sendto(b"lost", (o.host, 443))
            u.sendto(b"heard", o.address)
            assert u.recvfrom() == (b"heard", o.address)
