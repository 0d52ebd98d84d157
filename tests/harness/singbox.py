"""Configurations and processes of the real sing-box, as client and as server."""
import json
import os

from . import paths, ports, protocols
from .process import Process


def _transport(node, client=None):
    if node.network != "ws":
        return {}
    transport = {"type": "ws", "path": node.path}
    headers = dict(client.headers) if client else {}
    if node.host:
        headers["Host"] = node.host
    if headers and client:
        transport["headers"] = headers
    if client and client.early_data:
        transport["max_early_data"] = client.early_data
        transport["early_data_header_name"] = "Sec-WebSocket-Protocol"
    elif not client:
        transport["early_data_header_name"] = "Sec-WebSocket-Protocol"
    return {"transport": transport}


def _client_tls(node, client):
    if node.reality:
        r = node.reality
        return {"tls": {"enabled": True, "server_name": client.sni or r.names[0],
                        "utls": {"enabled": True, "fingerprint": client.fingerprint or "chrome"},
                        "reality": {"enabled": True, "public_key": client.public_key or r.public_text,
                                    "short_id": r.short_ids[0] if client.short_id is None else client.short_id}}}
    if not node.tls:
        return {}
    tls = {"enabled": True, "server_name": client.sni or node.sni}
    if node.cert:
        tls["certificate_path"] = node.cert.cert
    else:
        tls["insecure"] = True
    if client.tls_version:
        tls["min_version"] = tls["max_version"] = client.tls_version
    if client.alpn:
        tls["alpn"] = list(client.alpn)
    if client.fingerprint:
        tls["utls"] = {"enabled": True, "fingerprint": client.fingerprint}
    return {"tls": tls}


def _server_tls(node):
    if node.reality:
        r = node.reality
        host, _, port = str(r.dest).rpartition(":")
        return {"tls": {"enabled": True, "server_name": r.names[0],
                        "reality": {"enabled": True, "private_key": r.private_text, "short_id": list(r.short_ids),
                                    "handshake": {"server": host or "127.0.0.1", "server_port": int(port)}}}}
    if node.tls:
        return {"tls": {"enabled": True, "certificate_path": node.cert.cert, "key_path": node.cert.key}}
    return {}


def client_config(node, client, socks_port, loglevel="info"):
    return {
        "log": {"level": loglevel, "timestamp": True},
        "inbounds": [{"type": "mixed", "listen": "127.0.0.1", "listen_port": socks_port}],
        "outbounds": [{"type": node.protocol, "server": client.connect_to or node.listen, "server_port": node.port,
                       **protocols.of(node).singbox_outbound(node, client), **_transport(node, client),
                       **_client_tls(node, client)}],
    }


def server_config(node, loglevel="warn"):
    assert not node.fallbacks and not node.proxy_protocol, "sing-box has neither"
    return {
        "log": {"level": loglevel, "timestamp": True},
        "inbounds": [{"type": node.protocol, "listen": node.listen, "listen_port": node.port,
                      **protocols.of(node).singbox_inbound(node), **_transport(node), **_server_tls(node)}],
        "outbounds": [{"type": "direct"}],
    }


def _start(name, config, directory):
    path = os.path.join(directory, f"{name}.json")
    with open(path, "w") as f:
        json.dump(config, f, indent=1)
    return Process(name, [paths.peer("sing-box"), "run", "-c", path], directory)


def start_client(node, client, directory, name="singbox-client", loglevel="info"):
    """Returns (process, (host, port) of its SOCKS inbound), ready for connections."""
    port = ports.free_port()
    return start_client_of(client_config(node, client, port, loglevel), directory, name)


def start_client_of(config, directory, name="singbox-client"):
    """As start_client(), for a configuration that client_config() does not make."""
    port = config["inbounds"][0]["listen_port"]
    p = _start(name, config, str(directory))
    p.wait_port(port)
    return p, ("127.0.0.1", port)


def start_server(node, directory, name="singbox-server"):
    p = _start(name, server_config(node), str(directory))
    p.wait_port(node.port, node.listen)
    return p
