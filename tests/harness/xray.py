"""Configurations and processes of the real Xray-core, as client and as server."""
import json
import os
import signal
import time

from . import paths, ports, protocols, wait
from .process import Process


def _stream(node, client=None):
    """streamSettings; with `client` the client's side of it."""
    out = {"network": "raw" if node.network == "tcp" else node.network}
    if node.network == "ws":
        path = node.path
        if client and client.early_data:
            path += f"?ed={client.early_data}"
        out["wsSettings"] = {"path": path}
        if node.host:
            out["wsSettings"]["host"] = node.host
        if client and client.headers:
            out["wsSettings"]["headers"] = client.headers
        if not client and node.proxy_protocol:
            out["wsSettings"]["acceptProxyProtocol"] = True
    elif not client and node.proxy_protocol:
        out["rawSettings"] = {"acceptProxyProtocol": True}
    if node.reality:
        out["security"] = "reality"
        out["realitySettings"] = _reality(node, client)
        return out
    if not node.tls:
        return out
    out["security"] = "tls"
    if client is None:
        assert node.cert, "Xray needs certificate files"
        out["tlsSettings"] = {"certificates": [{"certificateFile": node.cert.cert, "keyFile": node.cert.key}],
                              "rejectUnknownSni": node.reject_unknown_sni}
        return out
    tls = {"serverName": client.sni or node.sni}
    if node.cert:
        tls["certificates"] = [{"usage": "verify", "certificateFile": node.cert.cert}]
        tls["disableSystemRoot"] = True
    else:
        tls["allowInsecure"] = True
    if client.tls_version:
        tls["minVersion"] = tls["maxVersion"] = client.tls_version
    if client.alpn:
        tls["alpn"] = list(client.alpn)
    if client.fingerprint:
        tls["fingerprint"] = client.fingerprint
    out["tlsSettings"] = tls
    return out


def _reality(node, client):
    r = node.reality
    if client is None:
        return {"target": str(r.dest), "xver": r.xver, "serverNames": list(r.names), "privateKey": r.private_text,
                "shortIds": list(r.short_ids), **r.more}
    return {"serverName": client.sni or r.names[0], "fingerprint": client.fingerprint or "chrome",
            "publicKey": client.public_key or r.public_text,
            "shortId": r.short_ids[0] if client.short_id is None else client.short_id}


def client_config(node, client, socks_port, loglevel="info"):
    policy = {"levels": {"0": {"connIdle": client.idle}}} if client.idle else {}
    return {
        "log": {"loglevel": loglevel, "access": "none"},
        "policy": policy,
        "inbounds": [{"listen": "127.0.0.1", "port": socks_port, "protocol": "socks",
                      "settings": {"auth": "noauth", "udp": True, "ip": "127.0.0.1"}}],
        "outbounds": [{"protocol": node.protocol, "settings": protocols.of(node).xray_outbound(node, client),
                       "streamSettings": _stream(node, client), **({"mux": client.mux} if client.mux else {}),
                       **({"sendThrough": client.send_through} if client.send_through else {})}],
    }


def server_config(node, loglevel="warning"):
    return {
        "log": {"loglevel": loglevel, "access": "none"},
        "inbounds": [{"listen": node.listen, "port": node.port, "protocol": node.protocol,
                      "settings": protocols.of(node).xray_inbound(node), "streamSettings": _stream(node)}],
        "outbounds": [{"protocol": "freedom"}],
    }


def _start(name, config, directory):
    path = os.path.join(directory, f"{name}.json")
    with open(path, "w") as f:
        json.dump(config, f, indent=1)
    return Process(name, [paths.peer("xray"), "run", "-c", path], directory)


_clients = {}                           # their SOCKS address: process


def start_client(node, client, directory, name="xray-client", loglevel="info"):
    """Returns (process, (host, port) of its SOCKS inbound), ready for connections."""
    port = ports.free_port()
    return start_client_of(client_config(node, client, port, loglevel), directory, name)


def start_client_of(config, directory, name="xray-client"):
    """As start_client(), for a configuration that client_config() does not make."""
    proxy = "127.0.0.1", config["inbounds"][0]["port"]
    p = _clients[proxy] = _start(name, config, str(directory))
    p.wait_port(proxy[1])
    inbound = config["inbounds"][0]
    if inbound["protocol"] == "socks" and inbound["settings"].get("udp"):
        # Datagrams go to the same port, which is bound a moment after the other.
        wait.until(lambda: wait.udp_bound(proxy[1]), 30, f"{name} takes datagrams\n{p.tail()}")
    return p, proxy


def hung(proxy):
    """True when the client behind this SOCKS address has hung itself; it is dead then. Xray-core 25.12.1 turns in
    proxy.IsCompleteRecord for ever when a piece of an upload that its Vision still pads, cut wherever the read ended, has
    two zero bytes where it takes them for the length of a record: one piece of 64 KiB in some ten thousand, with any
    server. The stack says so."""
    p = _clients.get(proxy)
    if p is None or not p.alive():
        return False
    before = p.cpu_seconds()
    time.sleep(2)
    if p.cpu_seconds() - before < 0.1:
        return False
    p.signal(signal.SIGQUIT)             # Go prints all stacks, and exits
    p.wait()
    return "proxy.IsCompleteRecord(" in p.log()


def revive(proxy):
    """Starts such a client again, in its place."""
    _clients[proxy].start()
    _clients[proxy].wait_port(proxy[1])


def start_server(node, directory, name="xray-server"):
    p = _start(name, server_config(node), str(directory))
    p.wait_port(node.port, node.listen)
    return p
