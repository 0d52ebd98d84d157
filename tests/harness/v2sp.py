"""v2sp under test: writes its config.json from a spec.Node, starts it against a panel."""
import json
import os

from . import paths, protocols
from .panel import Panel
from .process import Process

TOKEN = "test-token-0123456789"


def node_object(node, push=5, pull=5):
    """The panel's answer to action=config."""
    settings = {}
    if node.network == "ws":
        settings = {"path": node.path}
        if node.host:
            settings["host"] = node.host
    answer = {"node_type": node.protocol, "server_port": node.port, "network": node.network, "networkSettings": settings,
              "tls": 1 if node.tls else 0, "base_config": {"push_interval": push, "pull_interval": pull},
              **({"routes": node.routes} if node.routes else {}), **protocols.of(node).panel(node)}
    if node.reality:
        r = node.reality
        answer["tls"] = 2
        answer["tls_settings"] = {"server_names": list(r.names), "dest": str(r.dest), "private_key": r.private_text,
                                  "short_ids": list(r.short_ids), "xver": str(r.xver), **r.more}
    return answer


def user_list(node):
    return [{"id": i, "uuid": u, **node.limits.get(i, {})} for i, u in node.users]


def node_entry(node, panel_url, node_id=1, token=TOKEN, **extra):
    """One element of Nodes[]."""
    entry = {"ApiHost": panel_url, "ApiKey": token, "NodeID": node_id, "NodeType": node.protocol, "Timeout": 5,
             "ListenIP": node.listen, "AllowPrivate": True}
    if node.tls:
        if node.cert:
            entry["CertConfig"] = {"CertMode": "file", "CertDomain": node.cert.name, "CertFile": node.cert.cert,
                                   "KeyFile": node.cert.key}
        else:
            entry["CertConfig"] = {"CertMode": "self", "CertDomain": node.sni}
        entry["CertConfig"]["RejectUnknownSni"] = node.reject_unknown_sni
        engine = node.tls_engine or os.environ.get("V2SP_TEST_TLS_ENGINE")
        if engine:
            entry["TlsEngine"] = engine
    if node.proxy_protocol:
        entry["EnableProxyProtocol"] = True
        if node.proxy_protocol_from:
            entry["ProxyProtocolFrom"] = list(node.proxy_protocol_from)
    if node.trusted_forwarded_for:
        entry["TrustedXForwardedFor"] = list(node.trusted_forwarded_for)
    if node.fallbacks:
        entry["EnableFallback"] = True
        entry["FallBackConfigs"] = [{"SNI": f.get("sni", ""), "Alpn": f.get("alpn", ""), "Path": f.get("path", ""),
                                     "Dest": str(f["dest"]), "ProxyProtocolVer": f.get("xver", 0)}
                                    for f in node.fallbacks]
    return {**entry, **node.options, **extra}


def write_config(directory, nodes, **top):
    """config.json with the given Nodes[]; returns its path."""
    path = os.path.join(directory, "config.json")
    config = {"StateDir": os.path.join(directory, "state"), "Log": {"Level": "debug"}, "Nodes": nodes, **top}
    with open(path + ".new", "w") as f:
        json.dump(config, f, indent=2)
    os.replace(path + ".new", path)
    return path


def start(directory, config_path, name="v2sp", env=None, wrapper=()):
    return Process(name, [*wrapper, paths.v2sp(), "run", "-c", config_path], directory, env=env)


class Served:
    """A node that a scripted panel runs: the panel, the process, and what stops both."""

    def __init__(self, node, directory, panel=None, node_id=1, extra=None, top=None, push=5, pull=5, wrapper=()):
        self.node, self.directory, self.wrapper = node, str(directory), wrapper
        self.own_panel = panel is None
        self.panel = panel or Panel()
        self.node_id = node_id
        if node_id not in self.panel.nodes:
            self.panel.add_node(node_id, TOKEN, node_object(node, push, pull), user_list(node))
        self.config = write_config(self.directory, [node_entry(node, self.panel.url, node_id, **(extra or {}))],
                                   **(top or {}))
        self.process = None
        self.expected_to_end = False     # set by tests that end the process themselves

    def reconfigure(self, nodes=None, extra=None, top=None):
        """Writes config.json anew; SIGHUP or a restart makes it count."""
        entry = node_entry(self.node, self.panel.url, self.node_id, **(extra or {}))
        write_config(self.directory, nodes if nodes is not None else [entry], **(top or {}))

    def start(self, wait_port=True):
        self.process = start(self.directory, self.config, wrapper=self.wrapper)
        if wait_port:
            self.process.wait_port(self.node.port, self.node.listen)
        return self

    def restart(self, kill=False, wait_port=True):
        """Ends the process, by SIGTERM or SIGKILL, and starts it again on the same state."""
        if kill:
            self.process.kill()
        else:
            assert self.process.stop() == 0, self.process.tail()
        return self.start(wait_port)

    def stop(self):
        try:
            if self.process:
                return self.process.stop()
        finally:
            if self.own_panel:
                self.panel.close()
        return None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
