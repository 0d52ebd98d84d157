"""What the four proxy protocols write into configurations: the panel's answer, Xray's and sing-box's in- and outbounds.

`settings` of a node hold what one protocol has and the others have not: VLESS and Trojan nothing, VMess and
Shadowsocks see their classes. `options` of a client likewise.
"""
from . import shadowsocks


def of(node):
    return PROTOCOLS[node.protocol]


def flow_of(node, client):
    return node.flow if client.flow is None else client.flow


def with_flow(flow, **fields):
    return {**fields, "flow": flow} if flow else fields


def fallbacks_of(node):
    if not node.fallbacks:
        return {}
    return {"fallbacks": [{"name": f.get("sni", ""), "alpn": f.get("alpn", ""), "path": f.get("path", ""),
                           "dest": f["dest"], "xver": f.get("xver", 0)} for f in node.fallbacks]}


class Vless:
    def panel(self, node):
        return {"flow": node.flow} if node.flow else {}

    def xray_outbound(self, node, client):
        user = with_flow(flow_of(node, client), id=client.user, encryption="none")
        return {"vnext": [{"address": client.connect_to or node.listen, "port": node.port, "users": [user]}]}

    def xray_inbound(self, node):
        return {"clients": [with_flow(node.flow, id=u, email=f"user{i}") for i, u in node.users],
                "decryption": "none", **fallbacks_of(node)}

    def singbox_outbound(self, node, client):
        return with_flow(flow_of(node, client), uuid=client.user, packet_encoding=client.packet_encoding)

    def singbox_inbound(self, node):
        return {"users": [with_flow(node.flow, name=f"user{i}", uuid=u) for i, u in node.users]}


class Trojan:
    def panel(self, node):
        return {}

    def xray_outbound(self, node, client):
        return {"servers": [{"address": client.connect_to or node.listen, "port": node.port,
                             "password": client.user}]}

    def xray_inbound(self, node):
        return {"clients": [{"password": u, "email": f"user{i}"} for i, u in node.users], **fallbacks_of(node)}

    def singbox_outbound(self, node, client):
        return {"password": client.user}

    def singbox_inbound(self, node):
        return {"users": [{"name": f"user{i}", "password": u} for i, u in node.users]}


class Vmess:
    """Options of a client: security, authenticated_length, global_padding (sing-box)."""

    def panel(self, node):
        return {}

    def xray_outbound(self, node, client):
        user = {"id": client.user, "security": client.options.get("security", "auto")}
        if client.options.get("authenticated_length"):
            user["experiments"] = "AuthenticatedLength"
        return {"vnext": [{"address": client.connect_to or node.listen, "port": node.port, "users": [user]}]}

    def xray_inbound(self, node):
        return {"clients": [{"id": u, "email": f"user{i}"} for i, u in node.users]}

    def singbox_outbound(self, node, client):
        return {"uuid": client.user, "packet_encoding": client.packet_encoding,
                **{k: client.options[k] for k in ("security", "authenticated_length", "global_padding")
                   if k in client.options}}

    def singbox_inbound(self, node):
        return {"users": [{"name": f"user{i}", "uuid": u} for i, u in node.users]}


PROTOCOLS = {"vless": Vless(), "trojan": Trojan(), "vmess": Vmess(), "shadowsocks": shadowsocks.Shadowsocks()}
