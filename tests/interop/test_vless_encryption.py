"""VLESS encryption (mlkem768x25519plus) with the real Xray client: modes, key chains, both round-trip counts, Vision."""
import dataclasses
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import certs, origins, paths, ports, spec, visit, wait
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
        self.tap = Tap((self.node.listen, self.node.port))
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


class Tap:
    """Forwards connections to a node. What either side said first is kept: [(client bytes, server bytes)]."""
    KEEP = 16384

    def __init__(self, target):
        self.target, self.seen = target, []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        ports.stop_listening(self._listener)

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            kept = (bytearray(), bytearray())
            self.seen.append(kept)
            threading.Thread(target=self._pump, args=(client, server, kept[0]), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, kept[1]), daemon=True).start()

    def _pump(self, source, sink, keep):
        try:
            while True:
                data = source.recv(1 << 18)
                if not data:
                    break
                keep += data[:max(0, self.KEEP - len(keep))]
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


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
    said, heard = link.tap.seen[-1]
    assert len(heard) < 1168, "the server answered a whole hello"
    assert replayed(link, said) == b""
    assert inner["plain"].opened == before + 1


@pytest.mark.sanitizer
def test_a_client_with_another_key_gets_nothing(link, inner):
    if len(link.case.keys) > 1 or link.case.node:
        pytest.skip("once is enough")
    other = link.client(f"mlkem768x25519plus.{link.case.mode}.1rtt.{key_pairs()[link.case.keys[0]][1]}")
    link.tap.seen.clear()
    with pytest.raises(OSError):
        visit.echo(other, inner["plain"])
    assert link.tap.seen and all(heard == b"" for _, heard in link.tap.seen)


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
    wait.until(works, 10, lambda: "a visit after the restart")
