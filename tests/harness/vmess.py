"""VMess clients: one process of a real client with every security there is, each behind a SOCKS port of its own; and
what a test needs to speak to a node by hand."""
import dataclasses
import os
import socket

from . import ports, singbox, xray

SECURITIES = ("aes-128-gcm", "chacha20-poly1305", "none", "zero", "auto")

# name: options of a client. Xray always masks and pads, sing-box when it is told to.
FORMS = {
    "xray": {**{s: {"security": s} for s in SECURITIES},
             **{s + "+length": {"security": s, "authenticated_length": True} for s in SECURITIES[:2]}},
    "sing-box": {**{s: {"security": s} for s in SECURITIES},
                 **{s + "+padding": {"security": s, "global_padding": True} for s in SECURITIES[:2]},
                 **{s + "+both": {"security": s, "global_padding": True, "authenticated_length": True}
                    for s in SECURITIES[:2]}},
}


def _merge(kind, configs):
    """One configuration of many: the i-th inbound goes out by the i-th outbound."""
    first = configs[0]
    rules = []
    for i, config in enumerate(configs):
        config["inbounds"][0]["tag"], config["outbounds"][0]["tag"] = f"in{i}", f"out{i}"
        rules.append({"type": "field", "inboundTag": [f"in{i}"], "outboundTag": f"out{i}"} if kind == "xray" else
                     {"inbound": [f"in{i}"], "outbound": f"out{i}"})
    merged = {**first, "inbounds": [c["inbounds"][0] for c in configs],
              "outbounds": [c["outbounds"][0] for c in configs]}
    merged["routing" if kind == "xray" else "route"] = {"rules": rules}
    return merged


def start_client(kind, node, client, directory, forms=None):
    """Returns (process, {form: (host, port) of its SOCKS inbound})."""
    module = {"xray": xray, "sing-box": singbox}[kind]
    proxies, configs = {}, []
    for name, options in (forms or FORMS[kind]).items():
        port = ports.free_port()
        proxies[name] = ("127.0.0.1", port)
        configs.append(module.client_config(node, dataclasses.replace(client, options=options), port))
    process, _ = module.start_client_of(_merge(kind, configs), str(directory), f"{kind}-forms")
    for _, port in proxies.values():
        process.wait_port(port)
    return process, proxies


def ends_after(address, data, limit, timeout=20):
    """Sends @data, then noise until the server ends the connection without a byte; returns how many bytes it took, or
    None when it takes more than @limit."""
    with socket.create_connection(address, timeout) as s:
        s.settimeout(timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(data)
        sent = len(data)
        while sent < limit:
            s.settimeout(0.02)
            try:
                got = s.recv(1)
                assert got == b"", f"the server said something: {got!r}"
                return sent
            except socket.timeout:
                pass
            except ConnectionError:
                return sent
            s.settimeout(timeout)
            try:
                s.sendall(os.urandom(200))
            except ConnectionError:
                return sent
            sent += 200
    return None
