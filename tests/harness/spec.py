"""One description of a node, from which every configuration is written: v2sp's, and the peers' as server and client."""
import dataclasses
import uuid

from . import x25519

USER = "7d2f3a64-8b1c-4f0e-9a55-1c2d3e4f5a6b"
VISION = "xtls-rprx-vision"
ALICE, BOB, CAROL = (str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.test")) for name in ("alice", "bob", "carol"))


@dataclasses.dataclass
class Reality:
    """REALITY settings of a node; `more` holds the rest of tls_settings (maxTimeDiff, minClientVer, ...)."""
    dest: str                       # as a panel writes it: host:port, a port, or the path of a socket
    names: tuple = ("node.test",)
    short_ids: tuple = ("0123456789abcdef", "")
    xver: int = 0
    more: dict = dataclasses.field(default_factory=dict)
    private_key: bytes = b""        # a fresh one when none is given

    def __post_init__(self):
        self.private_key = self.private_key or x25519.private_key()

    @property
    def private_text(self):
        return x25519.text(self.private_key)

    @property
    def public_text(self):
        return x25519.text(x25519.public_key(self.private_key))


@dataclasses.dataclass
class Node:
    port: int = 0
    listen: str = "127.0.0.1"
    protocol: str = "vless"         # see protocols.PROTOCOLS
    settings: dict = dataclasses.field(default_factory=dict)    # of the protocol
    users: list = dataclasses.field(default_factory=lambda: [(1, USER)])   # (id, uuid)
    limits: dict = dataclasses.field(default_factory=dict)      # user id: what the panel says of him besides
    options: dict = dataclasses.field(default_factory=dict)     # of the node in config.json
    routes: list = dataclasses.field(default_factory=list)      # block rules of the panel
    network: str = "tcp"            # tcp | ws
    path: str = "/"                 # ws
    host: str = ""                  # ws: Host the server insists on
    flow: str = ""                  # "" or VISION, of the node and so of all its users
    reality: Reality = None
    tls: bool = False
    cert: object = None             # certs.Certificate; None with tls: the node makes its own ("self")
    sni: str = "node.test"
    reject_unknown_sni: bool = False
    tls_engine: str = ""            # TlsEngine: auto | openssl; "": $V2SP_TEST_TLS_ENGINE or the default
    proxy_protocol: bool = False
    proxy_protocol_from: tuple = ()
    trusted_forwarded_for: tuple = ()
    fallbacks: tuple = ()           # dicts: sni, alpn, path, dest, xver

    def with_(self, **changes):
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass
class Client:
    """What differs between clients of one node."""
    user: str = USER
    options: dict = dataclasses.field(default_factory=dict)     # of the protocol
    mux: dict = None                # Xray: the outbound's "mux"; sing-box has none of that kind
    packet_encoding: str = ""       # sing-box, VLESS and VMess: "" or xudp
    early_data: int = 0             # ws
    tls_version: str = ""           # "1.2" or "1.3" to allow only that one
    alpn: tuple = ()
    sni: str = ""                   # other than the node's
    fingerprint: str = ""           # uTLS profile; REALITY without one: chrome
    flow: str = None                # other than the node's
    short_id: str = None            # other than the node's first
    public_key: str = ""            # other than the node's
    connect_to: str = ""            # address of the node as the client dials it
    send_through: str = ""          # Xray: source address of its connections
    idle: int = 0                   # Xray: close what is idle for so many seconds
    headers: dict = dataclasses.field(default_factory=dict)   # ws
