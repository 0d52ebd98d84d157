"""VLESS encryption (mlkem768x25519plus) with the real Xray client: modes, key chains, both round-trip counts, Vision."""
import dataclasses
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import certs, origins, paths, ports, spec, tap, visit, wait
from harness import process, v2sp, xray
from harness.panel import Panel

pytestmark = pytest.mark.v2sp_only

PADDING = "100-200-900.50-5-20.75-0-700"
SIZES = (1, 100, 901, 8171, 8192, 8193, 16320, 16385, 65_537, 1 << 20)


@dataclasses.dataclass
class Case:
    mode: str
    rtt: str
    keys: tuple = ("x25519",)
    flow: str = ""
    node: dict = dataclasses.field(default_factory=dict)
    settings: bool = False      # the panel gives the parts, not a whole string
    padding: str = ""


WS = {"network": "ws", "path": "/chat"}
CASES = {
    "native-1rtt": Case("native", "1rtt", settings=True),
    "native-0rtt": Case("native", "0rtt", ("mlkem",)),
    "xorpub-1rtt-padding": Case("xorpub", "1rtt", padding=PADDING, settings=True),
    "xorpub-0rtt-chain": Case("xorpub", "0rtt", ("mlkem", "x25519")),
    "random-1rtt-mlkem": Case("random", "1rtt", ("mlkem",)),
    "random-0rtt-chain": Case("random", "0rtt", ("x25519", "mlkem")),
    "native-1rtt-vision": Case("native", "1rtt", flow=spec.VISION),
    "native-0rtt-vision": Case("native", "0rtt", flow=spec.VISION),
    "xorpub-0rtt-vision": Case("xorpub", "0rtt", flow=spec.VISION),
    "random-1rtt-vision": Case("random", "1rtt", flow=spec.VISION),
    "random-0rtt-vision": Case("random", "0rtt", flow=spec.VISION),
    "native-0rtt-vision-tls": Case("native", "0rtt", flow=spec.VISION, node={"tls": True}),
    "random-0rtt-vision-ws": Case("random", "0rtt", flow=spec.VISION, node=WS),
    "native-1rtt-ws-tls": Case("native", "1rtt", node={**WS, "tls": True}),
}


def key_pairs():
    """{"x25519": (private, public), "mlkem": (seed, public)} from our own command."""
    _, text = process.run([paths.v2sp(), "vlessenc"])
    found = re.findall(r'"(?:de|en)cryption": "mlkem768x25519plus\.native\.\w+\.([\w-]+)"', text)
    assert len(found) == 4, text
    return {"x25519": tuple(found[:2]), "mlkem": tuple(found[2:])}


class Link:
    """A node with encryption and a real client of it, by default through a tap that sees the wire."""

    def __init__(self, stage, case):
        self.case, self.stage = case, stage
        pairs = [(name, key_pairs()[name]) for name in case.keys]
        self.node = spec.Node(port=ports.free_port(), flow=case.flow, **case.node)
        private, public = (".".join(pair[i] for _, pair in pairs) for i in (0, 1))
        ticket = "600s" if case.rtt == "0rtt" else "0s"
        answer = v2sp.node_object(self.node)
        if case.settings:
            answer["encryption"] = "mlkem768x25519plus"
            answer["encryption_settings"] = {"mode": case.mode, "ticket": ticket, "server_padding": case.padding,
                                             "private_key": private}
        else:
            answer["decryption"] = f"mlkem768x25519plus.{case.mode}.{ticket}.{private}"
        self.panel = Panel()
        stage.at_end(self.panel.close)
        self.panel.add_node(1, v2sp.TOKEN, answer, v2sp.user_list(self.node))
        self.served = v2sp.Served(self.node, stage.subdirectory("server"), panel=self.panel).start()
        stage.watch_served(self.served)
        self.tap = tap.Tap((self.node.listen, self.node.port), keep=True)
        stage.at_end(self.tap.stop)
        self.encryption = f"mlkem768x25519plus.{case.mode}.{case.rtt}.{public}"
        self.proxy = self.client(self.encryption)

    def client(self, encryption):
        port = ports.free_port()
        config = xray.client_config(self.node.with_(port=self.tap.port), spec.Client(idle=5), port)
        config["outbounds"][0]["settings"]["vnext"][0]["users"][0]["encryption"] = encryption
        p, proxy = xray.start_client_of(config, self.stage.subdirectory("xray"))
        self.stage.at_end(p.stop)
        return proxy


@pytest.fixture(scope="module", params=CASES)
def link(request, module_stage):
    stage = type(module_stage)(module_stage.subdirectory(request.param), module_stage.cert)
    try:
        yield Link(stage, CASES[request.param])
    finally:
        stage.end()


@pytest.fixture(scope="module")
def inner(cert):
    found = {"tls13": origins.Tcp(tls=certs.server_context(cert, "1.3")),
             "tls12": origins.Tcp(tls=certs.server_context(cert, "1.2")), "plain": origins.Tcp()}
    yield found
    for o in found.values():
        o.stop()


INNER = ("tls13", "tls12", "plain")
# One kind is enough for what a sanitizer may find.
SOME_SANITIZED = [pytest.param(k, marks=[pytest.mark.sanitizer] if k == "tls13" else []) for k in INNER]


@pytest.mark.parametrize("kind", SOME_SANITIZED)
def test_sizes_down_and_up(link, inner, kind):
    for n in SIZES:
        visit.download(link.proxy, inner[kind], n, seed=n)
        visit.insist(link.proxy, lambda n=n: visit.upload(link.proxy, inner[kind], n, seed=n))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ("tls13", "plain"))
def test_32_mib_down_and_up(link, inner, kind):
    visit.download(link.proxy, inner[kind], 32 << 20)
    visit.insist(link.proxy, lambda: visit.upload(link.proxy, inner[kind], 32 << 20))


@pytest.mark.parametrize("kind", SOME_SANITIZED)
def test_30_at_once(link, inner, kind):
    def one(i):
        visit.download(link.proxy, inner[kind], 200_000 + i, seed=i)
        visit.upload(link.proxy, inner[kind], 100_000 + i, seed=i)
        visit.echo(link.proxy, inner[kind])
    with ThreadPoolExecutor(30) as pool:
        visit.insist(link.proxy, lambda: list(pool.map(one, range(30))))


@pytest.mark.sanitizer
def test_server_speaks_first(link):
    with origins.Tcp(banner=b"220 ready\r\n") as o, visit.connect(link.proxy, o) as s:
        assert s.recv(11, socket.MSG_WAITALL) == b"220 ready\r\n"


def replayed(link, data):
    """What the node answers to the bytes of another connection, up to its close."""
    with socket.create_connection((link.node.listen, link.node.port), 10) as s:
        s.sendall(data)
        answer = b""
        try:
            while part := s.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.sanitizer
def test_second_visit_is_0rtt_and_cannot_be_replayed(link, inner):
    if link.case.rtt != "0rtt" or link.case.node:
        pytest.skip("sees the wire of 0-RTT only without a transport around it")
    visit.echo(link.proxy, inner["plain"])
    before = inner["plain"].opened
    visit.echo(link.proxy, inner["plain"])
    last = link.tap.flows[-1]
    assert len(last.down) < 1168, "the server answered a whole hello"
    assert replayed(link, last.up) == b""
    assert inner["plain"].opened == before + 1


@pytest.mark.sanitizer
def test_a_client_with_another_key_gets_nothing(link, inner):
    if len(link.case.keys) > 1 or link.case.node:
        pytest.skip("once is enough")
    other = link.client(f"mlkem768x25519plus.{link.case.mode}.1rtt.{key_pairs()[link.case.keys[0]][1]}")
    link.tap.flows.clear()
    with pytest.raises(OSError):
        visit.echo(other, inner["plain"])
    assert link.tap.flows and all(f.down == b"" for f in link.tap.flows)


def test_unknown_ticket_after_a_restart(link, inner):
    """The client is told at once, and begins anew with its next connection."""
    if link.case.rtt != "0rtt":
        pytest.skip("needs tickets")
    visit.echo(link.proxy, inner["plain"])
    link.served.restart()

    def works():
        try:
            visit.echo(link.proxy, inner["plain"])
            return True
        except OSError:
            return False
    works()
    wait.until(works, 30, lambda: "a visit after the restart")
