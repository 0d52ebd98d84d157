"""A node and its panel as a schedule of events sees them: people come and go, the way in changes, the panel misbehaves.

Three kinds: a scripted panel, which honours Idempotency-Key or does not, and the embedded one behind a front that can
misbehave as the scripted does."""
import uuid

from . import flows, ports, spec, ssudp, v2sp
from .embedded import EmbeddedPanel
from .front import Front
from .panel import Panel

CERT = {"CertMode": "self", "CertDomain": "node.test"}


class Person:
    """`uids`: under which of his numbers a new session may be booked; more than one after a change of number."""

    def __init__(self, name, uid):
        self.name, self.uid, self.uids = name, uid, {uid}
        self.uuid, self.limits, self.listed = None, {}, True
        self.new_uuid(0)

    def new_uuid(self, generation):
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{generation}"))

    def new_uid(self, uid):
        self.uid = uid
        self.uids.add(uid)

    def __repr__(self):
        return self.name


class Site:
    """`endpoints` are (shape, port), the panel's newest first. `variant` makes one of two identities of the node. `unknown`:
    the node may have had to send a batch twice; `replayed`: it was asked to."""
    keys, node_id, protocol, uids_change = True, 1, "vless", True

    def __init__(self, name, first_uid, shape):
        self.name = name
        self.persons = [Person(f"{name}-{i}", first_uid + i) for i in range(3)]
        self.endpoints = [(shape, ports.free_port())]
        self.configured, self.variant, self.variants, self.options = True, 0, {0}, {}
        self.next_uid, self.unknown, self.replayed = 1000 * first_uid, False, False

    def entry(self):
        """The element of Nodes[]."""
        e = {"ApiHost": self.panel.url, "ApiKey": v2sp.TOKEN, "NodeID": self.node_id, "ListenIP": "127.0.0.1",
             "AllowPrivate": True, "Timeout": 2, "Name": self.name, "CertConfig": CERT, **self.options}
        if self.variant:
            e["NodeType"] = self.protocol
        return e

    def at_most_once(self):
        return self.options.get("ReportPolicy") == "at-most-once"

    def address(self, endpoint=None):
        return "127.0.0.1", (endpoint or self.endpoints[0])[1]

    def move(self, shape):
        self.endpoints.insert(0, (shape, ports.free_port()))
        self.tell_endpoint()

    def spec(self):
        shape, port = self.endpoints[0]
        return spec.Node(port=port, protocol=self.protocol, settings={"cipher": ssudp.CIPHER} if self.protocol != "vless" else {},
                         tls=shape == flows.TLS, network="ws" if shape == flows.WS else "tcp")


class ScriptedSite(Site):
    def __init__(self, name, first_uid, shape, keys=True, protocol="vless", panel=None, node_id=1):
        super().__init__(name, first_uid, shape)
        self.keys, self.protocol, self.node_id = keys, protocol, node_id
        self.panel = panel or Panel()
        self.panel.add_node(node_id, v2sp.TOKEN, v2sp.node_object(self.spec()), [])
        for p in self.persons:
            self.tell_person(p)

    def tell_person(self, _person):
        self.panel.set_users(self.node_id, [{"id": p.uid, "uuid": p.uuid, **p.limits} for p in self.persons if p.listed])

    def tell_endpoint(self):
        self.panel.nodes[self.node_id].config = v2sp.node_object(self.spec())

    def reported(self):
        """What the panel has booked, {uid: (up, down)}."""
        ledger = self.panel.total if self.keys else self.panel.raw
        with self.panel._lock:
            return {uid: tuple(sums) for uid, sums in ledger.items()}

    def repeated(self):
        """Has a batch of this node been booked, and delivered again?"""
        return bool(self.panel.repeated[self.node_id])

    def close(self):
        self.panel.close()


class EmbeddedSite(Site):
    uids_change = False

    def __init__(self, name, shape, directory):
        super().__init__(name, 1, shape)
        self.embedded = EmbeddedPanel(directory).serve()
        self.panel = Front(self.embedded.url)
        self.embedded.call("node", "add", "--interval", "5", "--host", "127.0.0.1", "--token", v2sp.TOKEN, *self._shape())
        for p in self.persons:
            p.uid = int(self.embedded.json("user", "add", p.name, "--uuid", p.uuid)["id"])
            p.uids = {p.uid}

    def _shape(self):
        shape, port = self.endpoints[0]
        tls = ("--tls", "tls", "--sni", "node.test", "--self-signed") if shape == flows.TLS else ("--tls", "none")
        return ("--port", port, "--network", "ws" if shape == flows.WS else "tcp", "--path", "/", *tls)

    def tell_person(self, person):
        words = {"speed_limit": "--speed", "device_limit": "--devices", "conn_limit": "--conns"}
        self.embedded.call("user", "set", person.name, "--uuid", person.uuid, "--enable" if person.listed else "--disable",
                           *(x for k, v in person.limits.items() for x in (words[k], v)))

    def tell_endpoint(self):
        self.embedded.call("node", "set", "1", *self._shape())

    def reported(self):
        return {u["id"]: (u["up"], u["down"]) for u in self.embedded.json("user", "list")}

    def repeated(self):
        return False

    def close(self):
        self.panel.close()
        self.embedded.stop()
