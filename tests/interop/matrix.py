"""The matrix: which client meets which kind of node."""
import dataclasses

import pytest

from harness import ports, spec, targets

CLIENTS = ("xray", "sing-box")


@dataclasses.dataclass
class Transport:
    node: dict
    client: dict = dataclasses.field(default_factory=dict)
    file_cert: bool = False


TLS = {"tls": True}
WS = {"network": "ws", "path": "/chat"}
TRANSPORTS = {
    "raw": Transport({}),
    "tls13": Transport(TLS, {"tls_version": "1.3"}, file_cert=True),
    "tls12": Transport(TLS, {"tls_version": "1.2"}, file_cert=True),
    "tls-self": Transport(TLS),
    "tls-chrome": Transport(TLS, {"fingerprint": "chrome"}),
    "ws": Transport({**WS, "host": "cdn.test"}),
    "ws-ed": Transport(WS, {"early_data": 2048}),
    "ws-tls": Transport({**WS, **TLS}, file_cert=True),
    "ws-ed-tls": Transport({**WS, **TLS}, {"early_data": 2048}, file_cert=True),
}


# With flow xtls-rprx-vision; these have tests of their own.
VISION = {
    "vision-tls": Transport({**TLS, "flow": spec.VISION}, {"tls_version": "1.3"}, file_cert=True),
    "vision-reality": Transport({"flow": spec.VISION}),
}
ALL = {**TRANSPORTS, **VISION}


def node_of(name, cert, **more):
    t = ALL[name]
    return spec.Node(port=ports.free_port(), cert=cert if t.file_cert else None, **{**t.node, **more})


def client_of(name, **more):
    return spec.Client(**{**ALL[name].client, **more})


class Link:
    """A running server of one transport and a real client that goes through it."""

    def __init__(self, stage, kind, transport, client, **more):
        self.kind, self.transport = kind, transport
        if transport == "vision-reality":
            target = targets.Script()
            stage.at_end(target.stop)
            more["reality"] = spec.Reality(f"127.0.0.1:{target.port}")
        self.node = node_of(transport, stage.cert, **more)
        self.server = stage.server(self.node)
        self._stage, self._client = stage, client_of(transport, **client)
        self.client, self.proxy = stage.client_process(kind, self.node, self._client)

    def new_client(self):
        """Another process in place of the client, whose connections end with it."""
        self.client.stop()
        self.client, self.proxy = self._stage.client_process(self.kind, self.node, self._client)

    @property
    def websocket(self):
        return self.node.network == "ws"


def links(transports=tuple(TRANSPORTS), clients=CLIENTS, node=None, **client):
    """Decorates a fixture: one module-scoped link for each combination; `client` goes into every spec.Client, the
    dict `node` into every spec.Node."""
    params = [(c, t, client, node or {}) for t in transports for c in clients]
    return pytest.fixture(scope="module", params=params, ids=[f"{c}-{t}" for c, t, _, _ in params])


def per_link(request, module_stage):
    """The body of such a fixture: a link that ends before the next begins."""
    kind, transport, client, node = request.param
    sub = type(module_stage)(module_stage.subdirectory(f"{kind}-{transport}"), module_stage.cert)
    try:
        yield Link(sub, kind, transport, client, **node)
    finally:
        sub.end()
