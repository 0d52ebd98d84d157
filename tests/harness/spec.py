"""One description of a node, from which every configuration is written: v2sp's, and the peers' as server and client."""
import dataclasses
import uuid

USER = "7d2f3a64-8b1c-4f0e-9a55-1c2d3e4f5a6b"
ALICE, BOB, CAROL = (str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.test")) for name in ("alice", "bob", "carol"))


@dataclasses.dataclass
class Node:
    port: int = 0
    listen: str = "127.0.0.1"
    users: list = dataclasses.field(default_factory=lambda: [(1, USER)])   # (id, uuid)
    network: str = "tcp"            # tcp | ws
    path: str = "/"                 # ws
    host: str = ""                  # ws: Host the server insists on
    tls: bool = False
    cert: object = None             # certs.Certificate; None with tls: the node makes its own ("self")
    sni: str = "node.test"
    reject_unknown_sni: bool = False
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
    early_data: int = 0             # ws
    tls_version: str = ""           # "1.2" or "1.3" to allow only that one
    alpn: tuple = ()
    sni: str = ""                   # other than the node's
    fingerprint: str = ""           # uTLS profile
    connect_to: str = ""            # address of the node as the client dials it
    idle: int = 0                   # Xray: close what is idle for so many seconds
    headers: dict = dataclasses.field(default_factory=dict)   # ws
