"""Speed limits of users, and of all users of a node together: nobody is faster, however many connections, whatever
carries them; a change of the limit counts for what is running. (How close to the limit: make bench limits.)"""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import matrix
import pytest

from harness import certs, origins, ports, socks5, spec, tap, visit, wait

pytestmark = [pytest.mark.v2sp_only, pytest.mark.sanitizer]

KINDS = {"spliced": ("xray", "raw", {}), "vision": ("sing-box", "vision-tls", {}), "tls": ("sing-box", "tls13", {}),
         "mux": ("xray", "raw", {"mux": {"enabled": True}})}
MBIT = 125_000                  # bytes a second
BURST = 0.1                     # seconds of the rate that a rested user may move at once
ON_THE_WAY = 64 << 20           # more than all sockets on the way hold of who had no limit until now


def link_of(stage, what, mbps):
    """A link whose user 1 has a limit, user 2 has none."""
    kind, transport, client = KINDS[what]
    return matrix.Link(stage, kind, transport, client, users=[(1, spec.USER), (2, spec.BOB)],
                       limits={1: {"speed_limit": mbps}})


def origin_of(link, cert):
    return origins.Tcp(tls=certs.server_context(cert, "1.3") if link.transport.startswith("vision") else None)


def set_limit(link, mbps):
    """Until the node has it."""
    panel = link.server.panel
    panel.set_users(1, [{"id": 1, "uuid": spec.USER, "speed_limit": mbps}, {"id": 2, "uuid": spec.BOB}])
    answers = panel.count("user", 200)
    wait.until(lambda: panel.count("user", 200) > answers, 30, "the answer with the limit")
    answers = panel.count("user", 304)
    wait.until(lambda: panel.count("user", 304) > answers, 30, "it was taken: nothing is new any more")


def no_faster_than(mbps, moved, seconds, slack=1 << 20):
    """`slack`: what lay in sockets on the way when the clock began or stopped."""
    most = mbps * MBIT * (seconds + BURST) * 1.03 + slack
    assert moved <= most, f"{moved / MBIT / seconds:.1f} Mbit/s"


class Endless(threading.Thread):
    """A download that only the end of its client ends; `moved`: what arrived of it."""

    def __init__(self, proxy, origin):
        super().__init__(daemon=True)
        self.proxy, self.origin, self.moved = proxy, origin, 0
        self.start()

    def run(self):
        try:
            with visit.connect(self.proxy, self.origin) as s:
                s.sendall(b"SOURCE 1000000000000 1\n")
                while data := s.recv(1 << 18):
                    self.moved += len(data)
        except OSError:
            pass


@pytest.mark.parametrize("what", KINDS)
def test_connections_share_the_limit(stage, cert, what):
    """Each direction has it."""
    link = link_of(stage, what, 40)
    with origin_of(link, cert) as origin:
        for connections in (1, 8):
            for transfer in (visit.download, visit.upload):
                each = 6_000_000 // connections
                start = time.monotonic()
                with ThreadPoolExecutor(connections) as pool:
                    list(pool.map(lambda i: transfer(link.proxy, origin, each, seed=i), range(connections)))
                no_faster_than(40, each * connections, time.monotonic() - start)


@pytest.mark.parametrize("what", ["spliced", "vision"])
def test_a_change_counts_for_what_is_running(stage, cert, what):
    """1 Mbit/s, then none: what would have taken minutes is done at once. Then the other way round."""
    link = link_of(stage, what, 1)
    with origin_of(link, cert) as origin, tap.Tap(origin.address) as t:
        t.tls = origin.tls
        thread = threading.Thread(target=visit.download, args=(link.proxy, t, 40_000_000), daemon=True)
        thread.start()
        wait.until(lambda: t.down > 100_000, 20, "the download is under way")
        set_limit(link, 0)
        thread.join(60)
        assert not thread.is_alive(), "it went on at the old limit"

        before = t.down
        thread = Endless(link.proxy, t)
        wait.until(lambda: t.down > before + 20_000_000, 20, "the next one is under way")
        set_limit(link, 8)
        start, at = time.monotonic(), t.down
        time.sleep(3)
        no_faster_than(8, t.down - at, time.monotonic() - start, slack=ON_THE_WAY)
        link.client.stop()
        thread.join(20)


def test_the_other_user_is_not_slowed(stage):
    link = link_of(stage, "spliced", 1)
    _, bobs = stage.client_process(link.kind, link.node, spec.Client(user=spec.BOB))
    with origins.Tcp() as origin:
        thread = Endless(link.proxy, origin)
        start = time.monotonic()
        visit.download(bobs, origin, 20_000_000)
        assert time.monotonic() - start < 100, "as if he had the other's limit"
        link.client.stop()
        thread.join(20)


def test_datagrams_over_the_limit_are_dropped(stage):
    link = link_of(stage, "tls", 1)
    with origins.UdpEcho() as o, socks5.Udp(link.proxy) as u:
        u.sendto(b"open", o.address)
        assert u.recvfrom()[0] == b"open"
        start = time.monotonic()
        while time.monotonic() - start < 2:
            u.sendto(bytes(1000), o.address)
            time.sleep(0.0005)
        no_faster_than(1, o.rx, time.monotonic() - start, slack=20_000)


def test_all_users_share_the_total_of_the_node(stage):
    """Two users, one with eight times the connections; then the total is taken away while they run."""
    node = spec.Node(port=ports.free_port(), users=[(1, spec.USER), (2, spec.BOB)],
                     options={"NodeTotalSpeedLimit": 40})
    server = stage.server(node)
    with origins.Tcp() as origin:
        clients, loads = [], []
        for user, connections in ((spec.USER, 1), (spec.BOB, 8)):
            process, proxy = stage.client_process("xray", node, spec.Client(user=user))
            clients.append(process)
            loads.append([Endless(proxy, origin) for _ in range(connections)])

        def moved():
            return [sum(d.moved for d in load) for load in loads]

        wait.until(lambda: min(moved()) > 8_000_000, 60, "both are under way")
        start, before = time.monotonic(), moved()
        time.sleep(3)
        no_faster_than(40, sum(moved()) - sum(before), time.monotonic() - start, slack=ON_THE_WAY)

        server.reload(NodeTotalSpeedLimit=0)
        before = moved()
        wait.until(lambda: all(m > b + 60_000_000 for m, b in zip(moved(), before)), 20,
                   "what would have taken half a minute")
        for c in clients:
            c.stop()


def test_who_moves_much_is_held_to_a_rate_for_a_while(stage):
    """On the one connection he has, without a new one."""
    dynamic = {"Periodic": 60, "Traffic": "8m", "SpeedLimit": 4, "ExpireTime": "7s"}
    node = spec.Node(port=ports.free_port(), options={"LimitConfig": {"EnableDynamicSpeedLimit": True,
                                                                      "DynamicSpeedLimitConfig": dynamic}})
    server = stage.server(node)
    client, proxy = stage.client_process("xray", node, spec.Client())
    with origins.Tcp() as origin:
        d = Endless(proxy, origin)
        server.process.wait_log("user=1.*: dynamic speed limit: .*: held to 4 Mbit/s for 7 s", timeout=30)
        start, before = time.monotonic(), d.moved
        time.sleep(2)
        no_faster_than(4, d.moved - before, time.monotonic() - start, slack=ON_THE_WAY)
        server.process.wait_log("user=1.*: dynamic speed limit: over", timeout=30)
        before = d.moved
        wait.until(lambda: d.moved > before + 2 * ON_THE_WAY, 60, "what would have taken four minutes")
        client.stop()
